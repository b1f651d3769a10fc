import hashlib
import multiprocessing
import os
import random
import shutil
import time

import numpy as np
import pytest
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Router,
    WordEmbeddings,
)
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from tiny import make_encoder, quiet

from clear_ir.encode.cache import EmbeddingCache, default_cache
from clear_ir.encode.model_loading import load_encoder, weights_hash

TEXTS = ["river desert", "moon bread", "tree", "river desert"]


def everything_in(cache, texts):
    """The vectors of the texts that the cache has, by text."""
    blocks = list(cache.read(texts))
    return {texts[place]: vector for places, vectors in blocks for place, vector in zip(places, vectors, strict=True)}


@pytest.fixture
def count(monkeypatch):
    """Encode with a cache; gives the embeddings and the texts that the encoder really read."""

    def call(encoder, texts, cache, side="query"):
        seen = []
        for name in ("encode_query", "encode_document"):
            original = getattr(type(encoder), name)

            def counting(batch, _original=original, **settings):
                seen.extend(batch)
                return _original(encoder, batch, **settings)

            monkeypatch.setattr(encoder, name, counting)
        return quiet(encoder, cache=cache).encode(texts, side), seen

    return call


def test_the_second_time_nothing_is_encoded(tmp_path, count):
    encoder = make_encoder(double=False)
    first, seen = count(encoder, TEXTS, tmp_path)
    assert sorted(seen) == ["moon bread", "river desert", "tree"]
    second, seen = count(encoder, TEXTS, tmp_path)
    assert seen == []
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, quiet(encoder).encode(TEXTS, "query"))
    third, seen = count(encoder, [*TEXTS, "drum"], tmp_path)
    assert seen == ["drum"]
    np.testing.assert_array_equal(third[:4], first)
    assert not list(tmp_path.rglob("*.partial"))


def test_whatever_changes_embeddings_has_its_own_entries(tmp_path, count):
    encoder = make_encoder(double=False)
    plain, _ = count(encoder, TEXTS, tmp_path)

    def fresh(change, side="query"):
        changed = make_encoder(double=False)
        change(changed)
        vectors, seen = count(changed, TEXTS, tmp_path, side)
        assert len(seen) == 3
        np.testing.assert_array_equal(vectors, quiet(changed).encode(TEXTS, side))
        return vectors

    def pool_by_first(changed):
        changed[1].pooling_mode = "cls"

    assert np.abs(fresh(lambda changed: changed.prompts.update(query="query: ")) - plain).max() > 1e-3
    fresh(lambda changed: setattr(changed, "max_seq_length", 3))
    fresh(lambda changed: changed.double())
    fresh(lambda changed: setattr(changed, "similarity_fn_name", "dot"))
    fresh(lambda changed: setattr(changed, "truncate_dim", 8))
    fresh(lambda changed: changed.append(Dense(32, 32)))
    fresh(lambda changed: changed.append(Normalize()))
    fresh(lambda changed: None, side="passage")
    assert np.abs(fresh(pool_by_first) - plain).max() > 1e-3


def test_two_local_checkpoints_never_share_an_entry(tmp_path, count, tiny_folder):
    other = tmp_path / "elsewhere" / tiny_folder.name
    make_encoder(double=False, seed=1).save_pretrained(str(other), create_model_card=False)
    same = tmp_path / "copy"
    shutil.copytree(tiny_folder, same)
    first, _ = count(load_encoder(str(tiny_folder)), TEXTS, tmp_path / "cache")
    second, seen = count(load_encoder(str(other)), TEXTS, tmp_path / "cache")
    assert len(seen) == 3
    assert np.abs(first - second).max() > 1e-3
    third, seen = count(load_encoder(str(same)), TEXTS, tmp_path / "cache")
    assert seen == [], "a copy of the folder is the same encoder"
    np.testing.assert_array_equal(first, third)


def test_the_hash_sees_modules_within_a_router_and_slow_tokenizers(encoder):
    def routed(mode):
        transformer = make_encoder(double=False)[0]
        route = [transformer, Pooling(32, pooling_mode=mode)]
        return SentenceTransformer(modules=[Router.for_query_document(route, [transformer, Pooling(32)])], device="cpu")

    assert weights_hash(routed("cls")) != weights_hash(routed("max"))
    assert weights_hash(routed("cls")) == weights_hash(routed("cls"))

    def by_words(words, stop_words=()):
        tokenizer = WhitespaceTokenizer(words, stop_words=stop_words)
        weights = np.ones((len(words), 8), np.float32)
        return SentenceTransformer(modules=[WordEmbeddings(tokenizer, weights), Pooling(8)], device="cpu")

    assert weights_hash(by_words(["river", "moon"])) != weights_hash(by_words(["moon", "river"]))
    assert weights_hash(by_words(["river", "moon"])) == weights_hash(by_words(["river", "moon"]))
    assert weights_hash(by_words(["river", "moon"], ["moon"])) != weights_hash(by_words(["river", "moon"]))


def test_the_hash_sees_pooling_and_tokenizer(tiny_folder):
    encoder = load_encoder(str(tiny_folder))
    before = weights_hash(encoder)
    quiet(encoder).encode(TEXTS, "query")
    assert weights_hash(encoder) == before, "encoding must not change the hash"
    encoder[1].pooling_mode = "cls"
    assert weights_hash(encoder) != before
    encoder[1].pooling_mode = "mean"
    assert weights_hash(encoder) == before
    encoder.tokenizer.add_tokens(["jangwa2"])
    assert weights_hash(encoder) != before


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_damaged_files_are_found_and_rebuilt(tmp_path, count, damage):
    encoder = make_encoder(double=False)
    first, _ = count(encoder, TEXTS, tmp_path)
    [file] = tmp_path.rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[-5] ^= 1  # one bit of one number
    file.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "text": b"no tensors"}[damage])
    with pytest.warns(UserWarning, match=f"are damaged. They were removed, and their texts are encoded again: {file}"):
        second, seen = count(encoder, TEXTS, tmp_path)
    assert len(seen) == 3
    np.testing.assert_array_equal(first, second)
    third, seen = count(encoder, TEXTS, tmp_path)
    assert seen == []
    np.testing.assert_array_equal(first, third)


def test_an_interrupted_run_keeps_what_it_encoded(tmp_path, monkeypatch):
    encoder = make_encoder(double=False)
    texts = [f"river {'moon ' * (i % 7)}{i}" for i in range(300)]
    calls = iter(range(100))
    original = type(encoder).encode_query

    def stopping(batch, **settings):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return original(encoder, batch, **settings)

    monkeypatch.setattr(encoder, "encode_query", stopping)
    monkeypatch.setattr("clear_ir.encode.text_encoder.SAVE_INTERVAL", 0.0)
    monkeypatch.setattr("clear_ir.encode.backends.NUM_TOKENS", {"cpu": 512})
    with pytest.raises(KeyboardInterrupt):
        quiet(encoder, cache=tmp_path).encode(texts, "query")
    [folder] = tmp_path.iterdir()
    kept = EmbeddingCache(tmp_path, "none")
    kept.folder = folder
    # The longest come first: two batches of 512 tokens.
    assert 60 < len(found := everything_in(kept, texts)) < 160
    assert set(found) <= set(sorted(texts, key=len, reverse=True)[:200])


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("CLEAR_IR_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"
    monkeypatch.delenv("CLEAR_IR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache().parts[-2:] == ("clear-ir", "embeddings")


def test_any_damage_is_found(tmp_path):
    """Bytes of a file are changed, cut off and added at random; right vectors or none are read."""
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    EmbeddingCache(tmp_path, "a").add(TEXTS[:3], vectors)
    [file] = tmp_path.rglob("*.safetensors")
    whole, draw = file.read_bytes(), random.Random(0)
    damages = [b"", whole[:8], whole.replace(b"F32", b"I32"), whole.replace(b'"U8"', b'"F8_E4M3"')]
    for _ in range(300):
        data = bytearray(whole)
        data[draw.randrange(len(data))] = draw.randrange(256)
        damages.append(bytes(data[: draw.choice([len(data), draw.randrange(len(data))])]))
    for data in damages:
        file.write_bytes(data)
        found = everything_in(EmbeddingCache(tmp_path, "a"), TEXTS[:3])
        for text, vector in found.items():
            np.testing.assert_array_equal(vector, vectors[TEXTS.index(text)])
        assert bool(found) == file.exists()


@pytest.mark.parametrize("obstacle", ["file", "full", "read-only"])
def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path, count, obstacle, monkeypatch):
    cache = tmp_path / "cache"
    encoder = make_encoder(double=False)
    expected = quiet(encoder).encode(TEXTS, "query")
    if obstacle == "file":
        cache.write_text("x")
    elif obstacle == "full":

        def fail(tensors, path, metadata):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("safetensors.numpy.save_file", fail)
    else:
        monkeypatch.setattr("pathlib.Path.mkdir", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no")))
    with pytest.warns(UserWarning, match=f"cannot be kept in {cache}.*encoded again next time"):
        vectors, seen = count(encoder, TEXTS, cache)
    np.testing.assert_array_equal(vectors, expected)
    assert len(seen) == 3
    assert not list(tmp_path.rglob("*.partial"))


def test_a_damaged_file_that_cannot_be_removed_is_passed_over(tmp_path, count):
    encoder = make_encoder(double=False)
    expected, _ = count(encoder, TEXTS, tmp_path)
    [file] = tmp_path.rglob("*.safetensors")
    file.unlink()
    file.mkdir()
    (file.parent / "gone.safetensors").symlink_to(tmp_path / "nowhere")  # as if another process had just removed it
    vectors, seen = count(encoder, TEXTS[:2], tmp_path)
    assert len(seen) == 2
    np.testing.assert_array_equal(vectors, expected[:2])


def test_what_killed_runs_left_half_written_is_removed_after_a_day(tmp_path):
    cache = EmbeddingCache(tmp_path, "a")
    cache.folder.mkdir()
    for name, age in (("old", 2 * 86400), ("new", 60)):
        (cache.folder / f"{name}.partial").touch()
        os.utime(cache.folder / f"{name}.partial", times=(time.time() - age,) * 2)
    cache.add(["a"], np.zeros((1, 4), np.float32))
    assert [path.name for path in cache.folder.glob("*.partial")] == ["new.partial"]


def _fill(root, worker):
    """Add and read the same texts again and again, as two runs with one cache do."""
    for i in range(60):
        texts = [f"{i // 2} {k}" for k in range(20)]
        vectors = np.stack([np.full(8, hash_number(text), np.float32) for text in texts])
        cache = EmbeddingCache(root, "a")
        found = everything_in(cache, texts)
        assert not cache.damaged
        assert all((vector == hash_number(text)).all() for text, vector in found.items())
        cache.add(texts, vectors)
        assert not cache.unwritable


def hash_number(text):
    return sum(map(ord, text)) % 1000


def test_two_processes_with_one_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(tmp_path, k)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    texts = [f"{i // 2} {k}" for i in range(60) for k in range(20)]
    found = everything_in(EmbeddingCache(tmp_path, "a"), texts)
    assert set(found) == set(texts)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_cache_of_many_files_is_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("clear_ir.encode.vectors.BLOCK_BYTES", 3 * 4 * 4)  # three vectors
    texts = [f"text {i}" for i in range(40)]
    vectors = np.arange(160, dtype=np.float32).reshape(40, 4)
    for chosen in (range(0, 17), range(10, 25), [3, 39, 30]):
        EmbeddingCache(tmp_path, "a").add([texts[i] for i in chosen], vectors[list(chosen)])
    wanted = [*texts[5:35][::-1], "another", texts[39]]
    blocks = list(EmbeddingCache(tmp_path, "a").read(wanted))
    assert max(len(places) for places, _ in blocks) <= 3
    places = np.concatenate([places for places, _ in blocks])
    known = [*range(5, 25), 30, 39]
    assert sorted(wanted[place] for place in places) == sorted(texts[i] for i in known)
    found = everything_in(EmbeddingCache(tmp_path, "a"), wanted)
    for i in known:
        np.testing.assert_array_equal(found[texts[i]], vectors[i])
    assert not list(EmbeddingCache(tmp_path, "a").read([]))


def test_files_of_earlier_versions_are_read(tmp_path):
    """Written as they always were: keys, vectors, and the checksum of both."""
    vectors = np.arange(8, dtype=np.float32).reshape(2, 4)
    keys = np.stack([np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in TEXTS[:2]])
    digest = hashlib.sha256(repr((keys.shape, vectors.shape)).encode() + keys.tobytes() + vectors.tobytes())
    cache = EmbeddingCache(tmp_path, "a")
    cache.folder.mkdir()
    metadata = {"sha256": digest.hexdigest()}
    save_file({"keys": keys, "vectors": vectors}, cache.folder / "x.safetensors", metadata)
    found = everything_in(cache, TEXTS[:3])
    assert set(found) == set(TEXTS[:2])
    np.testing.assert_array_equal(found[TEXTS[1]], vectors[1])
    assert not cache.damaged
