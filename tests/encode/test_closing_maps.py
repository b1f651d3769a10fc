"""An encoder that ends with linear maps: its vectors are those of the whole, and the base's embeddings do for it."""

import numpy as np
import pytest
import torch
from sentence_transformers.base.modules import Dense, Normalize
from tiny import make_encoder

from clear_ir.align.maps import AffineMap, SideMaps
from clear_ir.align.model_folder import add_maps
from clear_ir.encode.backends import InProcess
from clear_ir.encode.closing_maps import split_maps
from clear_ir.encode.text_encoder import TextEncoder

TEXTS = ["river moon", "the bread of the desert", "mwezi", "river moon"]
DIM = 32


def make_model():
    model = make_encoder(double=False)
    model.add_module("2", Normalize())
    return model


class Counted(InProcess):
    """Counts the texts that it encodes."""

    num_texts = 0

    def encode(self, model, texts, side, precision):
        Counted.num_texts += len(texts)
        return super().encode(model, texts, side, precision)


def random_map(seed):
    generator = np.random.default_rng(seed)
    return AffineMap(np.eye(DIM) + 0.1 * generator.normal(size=(DIM, DIM)), 0.1 * generator.normal(size=DIM))


def whole(model, side):
    encode = model.encode_query if side == "query" else model.encode_document
    return encode(TEXTS, show_progress_bar=False, convert_to_numpy=True)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("sides", ["both", "query", "other"])
def test_the_embeddings_of_the_base_do(tmp_path, sides, times):
    base, aligned = make_model(), make_model()
    for seed in range(times):
        query = random_map(seed)
        add_maps(aligned, SideMaps(query, {"both": query, "query": None, "other": random_map(9 + seed)}[sides]))
    Counted.num_texts = 0
    before = {side: TextEncoder(base, Counted(), tmp_path).encode(TEXTS, side) for side in ("query", "passage")}
    assert Counted.num_texts == 6
    encoder = TextEncoder(aligned, Counted(), tmp_path)
    moved = {side: encoder.encode(TEXTS, side) for side in ("query", "passage")}
    assert Counted.num_texts == 6  # nothing was encoded again
    for side, vectors in moved.items():
        np.testing.assert_allclose(vectors, whole(aligned, side), atol=1e-6)
        np.testing.assert_allclose(vectors, TextEncoder(aligned).encode(TEXTS, side), atol=1e-6)
        is_moved = side == "query" or sides != "query"
        assert np.array_equal(vectors, before[side]) != is_moved
    # The base's own embeddings are still the base's.
    np.testing.assert_array_equal(TextEncoder(base, Counted(), tmp_path).encode(TEXTS, "query"), before["query"])


def test_a_map_is_split_off_only_where_that_changes_nothing():
    def ending(*modules, **settings):
        model = make_model()
        for name, value in settings.items():
            setattr(model, name, value)
        for number, module in enumerate(modules):
            model.add_module(f"more{number}", module)
        return model

    def linear(out=DIM, activation=None):
        return Dense(DIM, out, True, activation or torch.nn.Identity())

    def num_maps(model):
        encoder, maps = split_maps(model)
        assert len(list(encoder.children())) + len(maps) == len(list(model.children()))
        assert (encoder is model) == (not maps)
        return len(maps)

    assert num_maps(make_model()) == 0
    assert num_maps(ending(linear(), Normalize())) == 2
    assert num_maps(ending(linear())) == 1
    assert num_maps(ending(Normalize())) == 0
    assert num_maps(ending(linear(activation=torch.nn.Tanh()), Normalize())) == 0
    assert num_maps(ending(linear(out=16), Normalize())) == 0
    assert num_maps(ending(linear(), Normalize(), truncate_dim=16)) == 0
    # A Dense before the encoder's own Normalize is a part of it.
    own = make_encoder(double=False)
    own.add_module("2", linear())
    own.add_module("3", Normalize())
    assert num_maps(own) == 0
    own.add_module("4", linear())
    assert num_maps(own) == 1
