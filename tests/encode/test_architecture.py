"""Encoders with unusual parts are loaded, encode and train, or one sentence says why they cannot."""

import json

import pytest
import torch
from commands import refused
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Router
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from tiny import WORDS, make_encoder, make_training_rows, quiet, settings
from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import Translation
from clear_ir.encode.architecture import limit_length
from clear_ir.encode.model_loading import load_encoder
from clear_ir.train.distillation import distil_model
from clear_ir.train.run import train_model


def save(modules, folder):
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


def losses(folder, out, **changes):
    """The losses of two steps. Dropout is off, so that they can be compared."""
    chosen = settings(max_steps=2, dev_share=0.2, **changes)
    return [e["loss"] for e in train_model(str(folder), make_training_rows(), chosen, out) if "loss" in e]


def gpt(folder, **tokens):
    tokenizer = make_encoder().tokenizer
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=64)
    GPT2Model(config).save_pretrained(folder)
    plain = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", **tokens)
    plain.save_pretrained(folder)
    return folder


def test_a_tokenizer_without_padding_token_pads_with_the_end_of_text(tmp_path):
    folder = gpt(tmp_path / "gpt", eos_token="[SEP]")
    encoder = load_encoder(str(folder))
    assert encoder.tokenizer.pad_token == "[SEP]"
    texts = ["river", "the moon of bread and the old river"]
    together, alone = quiet(encoder).encode(texts, "query"), [quiet(encoder).encode([t], "query")[0] for t in texts]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-6), "the padding changes nothing"
    assert len(losses(folder, tmp_path / "m")) == 2
    assert load_encoder(str(tmp_path / "m")).tokenizer.pad_token == "[SEP]"


def test_a_tokenizer_without_any_token_to_pad_with_is_named(tmp_path, run):
    folder = gpt(tmp_path / "gpt")
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows().records)
    result = run("train", "--model", folder, "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "m")
    refused(result, f"The tokenizer of {folder} has neither pad_token nor eos_token", "tokenizer_config.json")
    assert not list(tmp_path.glob("m*"))


def two_towers(document_seed):
    towers = [list(make_encoder(double=False, seed=seed).children()) for seed in (0, document_seed)]
    return [Router.for_query_document(*towers)]


def moved_routes(base, trained):
    before, after = (load_encoder(str(folder))[0].sub_modules for folder in (base, trained))
    pairs = {name: zip(before[name].parameters(), after[name].parameters(), strict=True) for name in before}
    return {name: any(not torch.equal(one, two) for one, two in of_route) for name, of_route in pairs.items()}


@pytest.mark.parametrize("cached", [False, True])
def test_a_router_gets_queries_and_passages_by_their_routes(tmp_path, tiny_folder, cached):
    same = save(two_towers(0), tmp_path / "same")
    other = save(two_towers(1), tmp_path / "other")
    plain = losses(tiny_folder, tmp_path / "m-plain", cached=cached)
    assert losses(same, tmp_path / "m-same", cached=cached)[0] == pytest.approx(plain[0], rel=1e-5)
    assert abs(losses(other, tmp_path / "m-other", cached=cached)[0] - plain[0]) > 0.01
    assert moved_routes(other, tmp_path / "m-other") == {"query": True, "document": True}


def test_only_the_route_of_queries_is_distilled(tmp_path):
    folder = save(two_towers(1), tmp_path / "base")
    pairs = [Translation(" ".join(WORDS[i : i + 3]), " ".join(WORDS[-3 - i :][:3]), "sw") for i in range(8)]
    chosen = settings(distil_steps=3, learning_rate=1e-2)
    distil_model(load_encoder(str(folder)), pairs, chosen, tmp_path / "distilled")
    assert moved_routes(folder, tmp_path / "distilled") == {"query": True, "document": False}


def test_parts_behind_an_encoder_may_differ_by_side(tmp_path):
    router = Router.for_query_document(query_modules=[Dense(32, 16)], document_modules=[Dense(32, 16)])
    folder = save([*make_encoder(double=False).children(), router], tmp_path / "asymmetric")
    assert len(losses(folder, tmp_path / "m")) == 2
    assert quiet(load_encoder(str(folder))).encode(["river"], "query").shape == (1, 16)


def test_a_router_of_other_things_is_refused(tmp_path):
    towers = {name: list(make_encoder(double=False).children()) for name in ("left", "right")}
    folder = save([Router(towers)], tmp_path / "sides")
    with pytest.raises(InputError, match=r"routes its inputs by left, right, but queries and passages need the routes"):
        load_encoder(str(folder))


def test_static_embeddings_train_also_where_the_cache_is_asked_for(tmp_path, caplog):
    folder = save([StaticEmbedding(make_encoder().tokenizer, embedding_dim=16)], tmp_path / "static")
    plain = losses(folder, tmp_path / "plain")
    with caplog.at_level("WARNING", "clear_ir"):
        assert losses(folder, tmp_path / "cached", cached=True) == plain
    assert "cached is off: static embeddings need no gradient cache" in caplog.text
    assert "Infinity" not in (tmp_path / "plain" / "train_log.jsonl").read_text()
    with pytest.raises(InputError, match="max_seq_length cannot be set: the encoder has static embeddings"):
        losses(folder, tmp_path / "m", max_seq_length=16)


def test_static_embeddings_of_queries_beside_an_encoder_of_passages(tmp_path):
    encoder = make_encoder(double=False)
    static = StaticEmbedding(encoder.tokenizer, embedding_dim=32)
    router = Router.for_query_document(query_modules=[static], document_modules=list(encoder.children()))
    folder = save([router], tmp_path / "mixed")
    assert len(losses(folder, tmp_path / "m", cached=True, max_seq_length=16)) == 2


def test_more_tokens_than_positions_are_refused_with_the_limit(tmp_path, tiny_folder, run):
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows().records)
    train = ["train", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "m"]
    result = run(*train, "--max-seq-length", 65)
    refused(result, "clear-ir: --max-seq-length is 65, but the encoder has 64 positions; give 64 or fewer.")
    assert not list(tmp_path.glob("m*"))
    assert run(*train, "--max-seq-length", 64, "--max-steps", 1, "--batch-size", 8)[0] == 0
    # XLM-R's table has two rows more than it has positions.
    tokenizer = make_encoder().tokenizer
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=66, pad_token_id=1,
    )  # fmt: skip
    XLMRobertaModel(config).save_pretrained(tmp_path / "xlmr")
    tokenizer.save_pretrained(tmp_path / "xlmr")
    encoder = SentenceTransformer(modules=[Transformer(str(tmp_path / "xlmr")), Pooling(32)], device="cpu")
    limit_length(encoder, 64)
    assert encoder.encode([" ".join(WORDS * 2)]).shape == (1, 32), "as many work"
    with pytest.raises(InputError, match="has 64 positions"):
        limit_length(encoder, 65)


def test_a_maximum_length_beyond_the_positions_is_cut_with_a_warning(tmp_path, caplog):
    make_encoder(double=False).save_pretrained(str(tmp_path / "m"), create_model_card=False)
    settings_file = tmp_path / "m" / "sentence_bert_config.json"
    settings_file.write_text(json.dumps(json.loads(settings_file.read_text()) | {"max_seq_length": 512}))
    encoder = load_encoder(str(tmp_path / "m"))
    assert encoder.max_seq_length == 64
    assert f"{tmp_path / 'm'} has 64 positions, so max_seq_length 512 -> 64." in caplog.messages
    assert quiet(encoder).encode([" ".join(WORDS * 3)], "passage").shape == (1, 32)
