"""What is trained where the user leaves it open."""

import pytest

from clear_ir.train.settings import TrainingSettings


@pytest.mark.parametrize(
    ("given", "side", "loss", "guard", "distil", "scale"),
    [
        ({}, "queries", "infonce-both", 5, 5, 20),
        ({"side": "queries"}, "queries", "infonce-both", 5, 5, 20),
        ({"guard": 1, "scale": 50}, "queries", "infonce-both", 1, 5, 50),
        ({"side": None, "loss": None, "guard": None, "distil": None}, "queries", "infonce-both", 5, 5, 20),
        # Who names a loss gets that loss and nothing with it: a baseline stays a baseline.
        ({"loss": "infonce"}, "both", "infonce", 0, 0, 20),
        ({"loss": "clear"}, "both", "clear", 0.5, 0, 20),
        ({"alpha": 0.2}, "both", "clear", 0.5, 0, 20),
        ({"side": "both"}, "both", "clear", 0.5, 0, 20),
        ({"side": "queries", "loss": "infonce"}, "queries", "infonce", 0, 0, 20),
        ({"side": "queries", "beta": 0.2}, "queries", "clear", 0.5, 0, 20),
    ],
)
def test_what_is_left_open_follows_from_what_is_given(given, side, loss, guard, distil, scale):
    settings = TrainingSettings(**given)
    assert (settings.side, settings.loss, settings.guard, settings.distil) == (side, loss, guard, distil)
    assert settings.scale_for("cosine") == scale
    assert settings.scale_for("dot") == given.get("scale", 1)
    # A recipe that a run wrote down repeats the run.
    assert TrainingSettings(**settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("given", "in_both", "distil", "cross_guard"),
    [
        ({}, False, 5, 0),
        ({}, True, 0, 5),
        ({"distil_to": "english"}, True, 5, 0),
        ({"distil_to": "own", "distil": 2}, False, 0, 2),
        ({"loss": "infonce", "distil": 2}, True, 2, 0),  # both sides are trained
        ({"loss": "infonce"}, True, 0, 0),
    ],
)
def test_where_distil_draws_to(given, in_both, distil, cross_guard):
    weights = TrainingSettings(**given).with_distil_to(in_both).weights
    assert (weights["distil"], weights["cross_guard"]) == (distil, cross_guard)


def test_soft_labels_need_fixed_passages():
    with pytest.raises(ValueError, match="soft_labels rank fixed passages; set side to queries"):
        TrainingSettings(loss="infonce", soft_labels=0.5)


@pytest.mark.parametrize(
    ("given", "steps_per_epoch", "expected"),
    [
        ({}, 27.3, 128),
        ({}, 1, 20),  # few rows: not more than 20 times each
        ({}, 500, 500),  # many rows: each once
        ({"loss": "infonce"}, 27.3, 136),
        ({"epochs": 2}, 27.3, 55),
        ({"epochs": 2, "max_steps": 7}, 27.3, 7),
        ({"epochs": 0.001}, 27.3, 1),
    ],
)
def test_the_number_of_steps(given, steps_per_epoch, expected):
    assert TrainingSettings(**given).steps_for(steps_per_epoch) == expected
