"""A new loss term is one object: columns, weight, log, curve and settings follow from it."""

import inspect

import pytest
import torch
from loss_batches import features_of, make_texts, value_and_gradient
from tiny import make_training_rows, settings

from clear_ir import CachedCLEARLoss, CLEARLoss
from clear_ir.loss.terms import TERMS, Rows, Term, Weights
from clear_ir.report.figures import training_curves
from clear_ir.train.run import train_model
from clear_ir.train.settings import TrainingSettings


def distance_of_queries(rows: Rows) -> torch.Tensor:
    """1 - cosine of a row's two queries."""
    batch = rows.batch
    return 1 - torch.cosine_similarity(batch.anchors[rows.numbers], batch.queries[rows.numbers])


@pytest.fixture
def toy(monkeypatch):
    term = Term(
        "toy",
        weight="delta",
        reads=("anchor", "cross_anchor"),
        formula=distance_of_queries,
        teaches="both queries are one",
        colour="#123456",
    )
    monkeypatch.setitem(TERMS, "toy", term)
    return term


class ToySettings(TrainingSettings):
    """The one field that a new term needs."""

    delta: float = 0.2
    """Weight of the toy term of clear."""


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_the_loss_takes_its_weight_and_reads_its_columns(toy, encoder, cls):
    texts = make_texts(1)
    alone = cls(encoder, alpha=0, beta=0, delta=1.0)
    value, _ = value_and_gradient(alone, encoder, texts)
    first, second = (encoder.encode(texts[column], convert_to_tensor=True) for column in (0, 3))
    assert value == pytest.approx((1 - torch.cosine_similarity(first, second)).mean().item(), rel=1e-9)
    assert set(alone.pop_terms()) == {"clear/toy", "clear/toy_weighted"}
    assert alone._pack(features_of(encoder, texts)).columns.used == (0, 1, 3)
    assert alone.get_config_dict()["delta"] == 1.0
    with pytest.raises(ValueError, match=r"alpha \+ beta \+ gamma \+ delta is 1.4"):
        cls(encoder, alpha=0.4, beta=0, delta=1.0)


def test_training_logs_it_and_the_curve_draws_it(toy, tmp_path, tiny_folder):
    chosen = ToySettings(**settings(max_steps=2).model_dump())
    assert chosen.weights["delta"] == 0.2
    log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m")
    entry = next(entry for entry in log if "loss" in entry)
    assert entry["clear/toy"] > 0
    svg = training_curves({"m": log})
    assert toy.colour in svg
    assert ">toy<" in svg


def test_the_curve_draws_every_term():
    log = [{"step": step, "loss": 1.0} | {f"clear/{name}": 0.5 for name in TERMS} for step in (1, 2)]
    svg = training_curves({"m": log})
    for term in TERMS.values():
        assert f">{term.name}<" in svg
        assert term.colour in svg
    assert len({term.colour for term in TERMS.values()}) == len(TERMS)


def test_an_unknown_weight_is_an_error(encoder):
    with pytest.raises(TypeError, match="no weight 'delta'; the weights are alpha, beta, gamma, guard"):
        CLEARLoss(encoder, delta=0.1)
    with pytest.raises(TypeError):
        Weights(delta=0.1)


def test_the_cached_loss_shows_the_arguments_of_both():
    shown = inspect.signature(CachedCLEARLoss).parameters
    plain = inspect.signature(CLEARLoss).parameters
    added = {"mini_batch_num_tokens", "mini_batch_size", "show_progress_bar"}
    assert set(shown) == set(plain) | added
    assert all(shown[name] == parameter for name, parameter in plain.items())


def test_the_plain_loss_has_no_field_of_the_cached_one(encoder):
    assert not [name for name in vars(CLEARLoss(encoder)) if "mini_batch" in name]
