import importlib.util
import itertools
import json
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import make_encoder, quiet

from clear_ir.data.collection import Text
from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow
from clear_ir.encode.backends import InProcess
from clear_ir.encode.model_loading import MINILM, load_encoder, weights_hash
from clear_ir.encode.search import rank_passages, search_top_k
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.encode.vectors import new_matrix
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings

on_disk = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room on the disk cannot be reserved here")

TEXTS = ["river desert", "moon", "river desert"]


def test_repeats_are_encoded_once_and_given_back():
    encoder = make_encoder(double=False)
    vectors = quiet(encoder).encode(TEXTS, "passage")
    assert vectors.shape == (3, 32)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_each_side_gets_its_own_prompt():
    encoder = make_encoder(double=False)
    plain = quiet(encoder).encode(TEXTS, "query")
    encoder.prompts = {"query": "query: ", "document": "the "}
    query = quiet(encoder).encode(TEXTS, "query")
    passage = quiet(encoder).encode(TEXTS, "passage")
    expected = encoder.encode(["query: " + text for text in TEXTS], normalize_embeddings=True)
    np.testing.assert_allclose(query, expected, atol=1e-5)
    assert np.abs(query - plain).max() > 1e-3
    assert np.abs(query - passage).max() > 1e-3


def test_dot_product_models_keep_their_lengths_and_others_are_refused():
    encoder = make_encoder(double=False)
    encoder.similarity_fn_name = "dot"
    lengths = np.linalg.norm(quiet(encoder).encode(TEXTS, "query"), axis=1)
    assert np.abs(lengths - 1).min() > 0.01
    encoder.similarity_fn_name = "manhattan"
    with pytest.raises(InputError, match="only cosine and dot"):
        quiet(encoder).encode(TEXTS, "query")


def test_the_hash_tells_settings_that_change_embeddings():
    encoder = make_encoder(double=False)
    before = weights_hash(encoder)
    encoder.max_seq_length = 8
    assert weights_hash(encoder) != before


def test_minilm_is_loaded_only_if_it_is_the_official_file(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match="is not the official all-MiniLM-L6-v2"):
        load_encoder(MINILM)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'clear-ir\[quickstart\]'"):
        load_encoder(MINILM)


def test_minilm_itself():
    model = load_encoder(MINILM)
    assert model.max_seq_length == 256
    vectors = quiet(model).encode(["How wide is the river?", "The river is a mile wide.", "Bread is baked."], "query")
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


class Backwards:
    """A place to encode that gives one text at a time, the last first."""

    def __init__(self):
        self.encoded = []

    def encode(self, model, texts, side, precision):
        for text in reversed(texts):
            self.encoded.append((text, side, precision))
            yield [text], np.full((1, 32), len(text), np.float32)


def test_a_new_place_to_encode_is_one_object(tmp_path):
    place = Backwards()
    encoder = quiet(make_encoder(double=False), backend=place, cache=tmp_path, precision="bf16")
    np.testing.assert_array_equal(encoder.encode(TEXTS, "passage")[:, 0], [12, 4, 12])
    assert place.encoded == [("moon", "passage", "bf16"), ("river desert", "passage", "bf16")]
    rows = [ParallelRow(str(i), f"what {i}", f"passage {i}", f"p{i}", f"nini {i}", "sw") for i in range(9)]
    settings = MiningSettings(num_negatives=1, range_min=0, range_max=4)
    mine_hard_negatives(encoder, rows, settings)
    count = len(place.encoded)
    assert count > 2, "mining encodes there too"
    mine_hard_negatives(encoder, rows, settings)
    assert len(place.encoded) == count, "the second time mining finds its texts in the cache"


def test_what_an_interrupted_run_has_encoded_is_not_encoded_again(tmp_path):
    texts = [f"{text} {i}" for i, text in enumerate(TEXTS * 3)]

    class Interrupted(InProcess):
        def encode(self, *args):
            batches = super().encode(*args)
            yield from itertools.islice(batches, 2)
            raise KeyboardInterrupt

    model = make_encoder(double=False)
    with pytest.raises(KeyboardInterrupt):
        quiet(model, backend=Interrupted(2), cache=tmp_path).encode(texts, "passage")
    encoded = []

    class Counting(InProcess):
        def encode(self, model, texts, side, precision):
            encoded.extend(texts)
            return super().encode(model, texts, side, precision)

    vectors = quiet(model, backend=Counting(2), cache=tmp_path).encode(texts, "passage")
    assert len(encoded) == len(texts) - 4
    np.testing.assert_allclose(vectors, quiet(model).encode(texts, "passage"), atol=1e-6)


def test_precision_is_used_and_has_its_own_entries(tmp_path):
    model = make_encoder(double=False)
    full, half = (quiet(model, cache=tmp_path, precision=precision) for precision in ("fp32", "bf16"))
    gap = np.abs(full.encode(TEXTS, "query") - half.encode(TEXTS, "query")).max()
    assert 1e-5 < gap < 0.05
    assert len(list(tmp_path.iterdir())) == 2


def test_an_encoder_as_the_settings_say(tmp_path, monkeypatch):
    model = make_encoder(double=False)
    monkeypatch.setenv("CLEAR_IR_CACHE", str(tmp_path / "default"))
    assert TextEncoder.from_settings(model, EncodingSettings()).cache == tmp_path / "default"
    assert TextEncoder.from_settings(model, EncodingSettings(cache=tmp_path / "mine")).cache == tmp_path / "mine"
    chosen = TextEncoder.from_settings(model, EncodingSettings(no_cache=True, batch_size=3, precision="bf16"))
    assert (chosen.cache, chosen.backend.batch_size, chosen.precision) == (None, 3, "bf16")


def test_a_hub_name_keeps_its_slash_on_every_system(monkeypatch):
    asked = []

    def load(name, **settings):
        asked.append(name)
        raise OSError("no network")

    class OtherPath(type(Path())):
        def __str__(self):
            return super().__str__().replace("/", "\\")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", load)
    monkeypatch.setattr("clear_ir.encode.model_loading.Path", OtherPath)
    with pytest.raises(InputError, match="BAAI/bge-m3 cannot be loaded: no network"):
        load_encoder("BAAI/bge-m3")
    assert asked == ["BAAI/bge-m3"]


def test_a_mistyped_folder_is_no_hub_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "swahili").mkdir(parents=True)
    with pytest.raises(InputError, match=r"^There is no folder models/swahilli; did you mean models/swahili\?$"):
        load_encoder("models/swahilli")
    with pytest.raises(InputError, match=r"^There is no folder models/german; check its name\.$"):
        load_encoder("models/german")
    with pytest.raises(InputError, match=r"There is no folder swahilli here"):
        load_encoder("swahilli")


def test_weights_that_are_a_pointer_or_broken_or_an_adapter_alone(tmp_path):
    for name in ("pointer", "broken", "adapter"):
        make_encoder(double=False).save_pretrained(str(tmp_path / name))
    (tmp_path / "pointer" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=r"model\.safetensors is a pointer of git LFS"):
        load_encoder(str(tmp_path / "pointer"))
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no tensors" * 9)
    with pytest.raises(InputError, match=r"broken cannot be loaded: Error while deserializing header"):
        load_encoder(str(tmp_path / "broken"))
    adapter = tmp_path / "adapter"
    (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
    (adapter / "config.json").unlink()
    base = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "gone")}
    (adapter / "adapter_config.json").write_text(json.dumps(base))
    with pytest.raises(InputError, match=r"It is an adapter, which needs the package peft and its base model .*gone"):
        load_encoder(str(adapter))


@on_disk
def test_large_matrices_are_in_a_file_and_the_same(tmp_path, monkeypatch):
    model = make_encoder(double=False)
    texts = [f"river {'moon ' * (i % 7)}" for i in range(90)] + ["tree", "bird", "river moon"]  # many repeat
    expected = quiet(model).encode(texts, "passage")
    monkeypatch.setattr("clear_ir.encode.vectors.MAPPED_FROM", 0)
    monkeypatch.setattr("clear_ir.encode.vectors.BLOCK_BYTES", 32 * 4 * 7)
    monkeypatch.setattr("clear_ir.encode.text_encoder.SAVE_BYTES", 1)
    for cache in (tmp_path / "cache", tmp_path / "cache", None):
        mapped = quiet(model, cache=cache, backend=InProcess(batch_size=4)).encode(texts, "passage")
        np.testing.assert_allclose(mapped, expected, atol=1e-6)
        assert is_mapped(mapped)
    assert len(list((tmp_path / "cache").rglob("*.*"))) > 1, "many vectors are written before the end"
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_file()], "the matrix leaves nothing behind"


def is_mapped(vectors):
    while isinstance(vectors, np.ndarray):
        if isinstance(vectors, np.memmap):
            return True
        vectors = vectors.base
    return False


@on_disk
def test_without_room_on_the_disk_matrices_are_in_memory(monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clear_ir.encode.vectors.MAPPED_FROM", 0)
    assert is_mapped(new_matrix(3, 4))
    monkeypatch.setattr(os, "posix_fallocate", full)
    matrix = new_matrix(3, 4)
    assert not is_mapped(matrix)
    assert (matrix.shape, matrix.dtype) == ((3, 4), np.float32)


@on_disk
def test_large_matrices_are_never_copied(tmp_path, monkeypatch):
    """A matrix of 64 MiB in a file; what is allocated beside it stays far below its size."""
    monkeypatch.setattr("clear_ir.encode.vectors.MAPPED_FROM", 2**25)
    monkeypatch.setattr("clear_ir.encode.text_encoder.SAVE_BYTES", 2**22)
    texts = [f"t{i}" for i in range(2**15)]

    class Place:
        def encode(self, model, texts, side, precision):
            for begin in range(0, len(texts), 512):
                batch = texts[begin : begin + 512]
                yield batch, np.array([[int(text[1:]) % 97] for text in batch], np.float32).repeat(512, 1)

    encoder = quiet(make_encoder(double=False), backend=Place(), cache=tmp_path)
    queries, ids = np.ones((3, 512), np.float32), texts[::-1]
    rows = [ParallelRow(str(i), f"q{i}", f"t{i}", f"p{i}", f"c{i}", "sw") for i in range(20)]
    corpus = [Text(text, text, "en") for text in texts]
    tracemalloc.start()
    try:
        for _ in range(2):  # the second time from the cache
            passages = encoder.encode(texts, "passage")
        search_top_k(queries, passages, ["a", "b", "c"], ids)
        rank_passages(queries, passages, ["a", "b", "c"], ids, {name: [ids[5]] for name in "abc"})
        monkeypatch.setattr(Place, "encode", lambda self, model, texts, *_: [(texts, np.ones((len(texts), 512)))])
        mine_hard_negatives(encoder, rows, MiningSettings(num_negatives=1, range_min=0, range_max=9), corpus)
        assert tracemalloc.get_traced_memory()[1] < 2**25 + 2**24
    finally:
        tracemalloc.stop()
