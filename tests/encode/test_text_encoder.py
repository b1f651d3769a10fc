import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import make_encoder, quiet

from clear_ir.data.files import InputError
from clear_ir.encode.models import MINILM, load_encoder, weights_hash

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
