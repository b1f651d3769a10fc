"""Two encoders in one model: each side is what it was, in clear-ir and in plain sentence-transformers."""

import copy

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Router
from tiny import WORDS, make_encoder, quiet

from clear_ir.data.files import InputError
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.encode.two_encoders import join_encoders, side_of

TEXTS = [" ".join(WORDS[:20]), "moon", "river desert"]


def other_than(encoder):
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.manual_seed(0))
    return other


@pytest.fixture
def base(tmp_path):
    encoder = make_encoder(double=False)
    encoder.prompts = {"query": "query: ", "document": "the "}
    encoder.similarity_fn_name = "cosine"
    encoder.save_pretrained(str(tmp_path / "base"))
    return load_encoder(str(tmp_path / "base"))


def test_saved_and_loaded_each_side_is_bit_for_bit_what_it_was(tmp_path, base):
    adapted = other_than(base)
    adapted.max_seq_length = 8
    join_encoders(adapted, base).save_pretrained(str(tmp_path / "joined"))
    for joined in (SentenceTransformer(str(tmp_path / "joined")), load_encoder(str(tmp_path / "joined"))):
        np.testing.assert_array_equal(joined.encode_document(TEXTS), base.encode_document(TEXTS))
        np.testing.assert_array_equal(joined.encode_query(TEXTS), adapted.encode_query(TEXTS))
        assert (joined.similarity_fn_name, joined.prompts["query"]) == ("cosine", "query: ")
        assert [side_of(joined, side).max_seq_length for side in ("query", "passage")] == [8, 32]
        for side, encoder in (("query", adapted), ("passage", base)):
            np.testing.assert_array_equal(quiet(joined).encode(TEXTS, side), quiet(encoder).encode(TEXTS, side))
            assert weights_hash(side_of(joined, side)) == weights_hash(encoder)
        side_of(joined, "query").save_pretrained(str(tmp_path / "queries"))
        alone = SentenceTransformer(str(tmp_path / "queries"))
        np.testing.assert_array_equal(alone.encode_query(TEXTS), adapted.encode_query(TEXTS))
    assert np.abs(adapted.encode_query(TEXTS) - base.encode_query(TEXTS)).max() > 0.01


def test_passages_that_the_base_encoded_are_found_in_the_cache(tmp_path, base, monkeypatch):
    expected = quiet(base, cache=tmp_path / "cache").encode(TEXTS, "passage")
    joined = quiet(join_encoders(other_than(base), base), cache=tmp_path / "cache")
    with monkeypatch.context() as patched:
        asked = []
        patched.setattr(type(joined.backend), "encode", lambda _, __, texts, *___: asked.extend(texts) or iter(()))
        np.testing.assert_array_equal(joined.encode(TEXTS, "passage"), expected)
    assert not asked
    assert np.abs(joined.encode(TEXTS, "query") - quiet(base).encode(TEXTS, "query")).max() > 0.01


def test_a_base_with_routes_after_shared_modules_is_taken_apart(tmp_path, base):
    torch.manual_seed(0)
    dense = Dense(32, 32, bias=False, activation_function=torch.nn.Identity())
    modules = [*base.children(), Router({"query": [dense], "document": [Normalize()]})]
    routed = SentenceTransformer(modules=modules, prompts=base.prompts, similarity_fn_name="cosine")
    query_side = side_of(routed, "query")
    assert [type(module).__name__ for module in query_side.children()] == ["Transformer", "Pooling", "Dense"]
    np.testing.assert_array_equal(query_side.encode_query(TEXTS), routed.encode_query(TEXTS))
    adapted = other_than(query_side)
    join_encoders(adapted, routed).save_pretrained(str(tmp_path / "joined"))
    joined = load_encoder(str(tmp_path / "joined"))
    np.testing.assert_array_equal(joined.encode_document(TEXTS), routed.encode_document(TEXTS))
    np.testing.assert_array_equal(joined.encode_query(TEXTS), adapted.encode_query(TEXTS))
    assert np.abs(adapted.encode_query(TEXTS) - routed.encode_query(TEXTS)).max() > 0.01


def test_a_model_without_routes_is_its_own_side_and_other_similarities_do_not_fit(base):
    assert side_of(base, "query") is base
    other = copy.deepcopy(base)
    other.similarity_fn_name = "dot"
    with pytest.raises(InputError, match="similarity cosine, 32 dimensions and similarity dot, 32 dimensions"):
        join_encoders(base, other)
