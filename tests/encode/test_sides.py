"""Modules behind an encoder that differ by side: the same vectors as by hand, saved, loaded and trained."""

import copy

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router
from test_architecture import losses, two_towers
from tiny import make_encoder, quiet

from clear_ir import used_vocabulary
from clear_ir.encode.architecture import routers
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.sides import add_to_sides, ends_normalized
from clear_ir.loss.vocabulary import used_rows_of

TEXTS = ["the river is wide", "what moon", "bread and metal light"]


def encoder_with(*modules):
    return SentenceTransformer(modules=[*make_encoder(double=False).children(), *modules], device="cpu")


def linear(seed):
    torch.manual_seed(seed)
    return Dense(32, 32, bias=True, activation_function=None)


def by_hand(vectors, *modules):
    features = {"sentence_embedding": torch.from_numpy(vectors)}
    with torch.no_grad():
        for module in modules:
            features = module(features)
    return features["sentence_embedding"].numpy()


def test_queries_move_and_passages_stay_bit_for_bit(tmp_path):
    base = encoder_with(Normalize())
    base.prompts, base.similarity_fn_name = {"query": "query : ", "document": ""}, "cosine"
    queries, passages = base.encode_query(TEXTS), base.encode_document(TEXTS)
    dense = linear(1)
    model = add_to_sides(copy.deepcopy(base), [dense, Normalize()], [])
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    assert len(list((tmp_path / "model").rglob("model.safetensors"))) == 2, "the transformer and the map, each once"
    for loaded in (model, SentenceTransformer(str(tmp_path / "model")), load_encoder(str(tmp_path / "model"))):
        np.testing.assert_array_equal(loaded.encode_document(TEXTS), passages)
        np.testing.assert_allclose(loaded.encode_query(TEXTS), by_hand(queries, dense, Normalize()), atol=1e-6)
        assert loaded.prompts == base.prompts
        assert loaded.max_seq_length == base.max_seq_length
        assert loaded.get_embedding_dimension() == 32
    assert np.abs(model.encode_query(TEXTS) - queries).max() > 0.1, "a map that moves nothing shows nothing"


def test_both_sides_alike_need_no_router():
    base = encoder_with(Normalize())
    before = base.encode_query(TEXTS)
    modules = [linear(1), Normalize()]
    model = add_to_sides(base, modules, modules)
    assert not routers(model)
    for side in ("query", "passage"):
        np.testing.assert_allclose(quiet(model).encode(TEXTS, side), by_hand(before, *modules), atol=1e-6)


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_router_gets_longer_routes(place):
    if place == "first":
        base = SentenceTransformer(modules=two_towers(1), device="cpu")
    else:
        base = add_to_sides(encoder_with(Normalize()), [linear(3)], [linear(4), Normalize()])
    queries, passages = base.encode_query(TEXTS), base.encode_document(TEXTS)
    assert np.abs(queries - passages).max() > 0.01
    model = add_to_sides(base, [linear(1)], [linear(2), Normalize()])
    assert len(routers(model)) == 1
    np.testing.assert_allclose(model.encode_query(TEXTS), by_hand(queries, linear(1)), atol=1e-6)
    np.testing.assert_allclose(model.encode_document(TEXTS), by_hand(passages, linear(2), Normalize()), atol=1e-6)


def test_a_router_that_goes_by_other_things_stays_before_a_new_one():
    towers = {"text": list(make_encoder(double=False).children())}
    base = SentenceTransformer(modules=[Router(towers)], device="cpu")
    before = base.encode_query(TEXTS)
    model = add_to_sides(base, [linear(1)], [linear(2)])
    np.testing.assert_allclose(model.encode_query(TEXTS), by_hand(before, linear(1)), atol=1e-6)
    np.testing.assert_allclose(model.encode_document(TEXTS), by_hand(before, linear(2)), atol=1e-6)


def test_whether_an_encoder_scales_its_vectors():
    assert ends_normalized(encoder_with(Normalize()))
    assert not ends_normalized(encoder_with())
    assert ends_normalized(add_to_sides(encoder_with(), [linear(1), Normalize()], [Normalize()]))
    assert not ends_normalized(add_to_sides(encoder_with(), [linear(1)], [Normalize()]))


@pytest.mark.parametrize("cached", [False, True])
def test_each_side_is_trained_through_its_own_modules(tmp_path, cached):
    """The loss is that of two whole encoders, one for each side."""
    shared = add_to_sides(encoder_with(), [linear(1)], [linear(2)])
    parts = [[*make_encoder(double=False).children(), linear(seed)] for seed in (1, 2)]
    whole = SentenceTransformer(modules=[Router.for_query_document(*parts)], device="cpu")
    swapped = add_to_sides(encoder_with(), [linear(2)], [linear(1)])
    found = {}
    for name, model in (("shared", shared), ("whole", whole), ("swapped", swapped)):
        model.save_pretrained(str(tmp_path / name), create_model_card=False)
        found[name] = losses(tmp_path / name, tmp_path / f"m-{name}", cached=cached)[0]
    assert found["shared"] == pytest.approx(found["whole"], rel=1e-5)
    assert abs(found["swapped"] - found["whole"]) > 0.01


def test_only_the_rows_in_use_are_trained_before_a_router():
    dataset = Dataset.from_list([{"anchor": "river moon", "positive": "the river"}])
    with used_vocabulary(add_to_sides(encoder_with(), [linear(1)], [linear(2)]), dataset) as said:
        assert "those that the texts use" in said
    towers = SentenceTransformer(modules=two_towers(1), device="cpu")
    with used_vocabulary(towers, dataset) as said:
        assert said.endswith("the encoder has routes, each with a table of its own.")
        assert not used_rows_of(towers)
