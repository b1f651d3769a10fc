"""How far the study's models get above the paper's baseline in low-resource languages, and how far they might."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from clear_ir.evaluate.resampling import interval
from clear_ir.report.tables import Table
from study.cells import BASE
from study.dev_tables import NOT_RUN
from study.directions import TO_ENGLISH
from study.experiment import Experiment
from study.scores import LENGTHS, ModelScores, model_scores

#: The relative gain over infonce that a low-resource language was to reach.
TARGET = 0.15


class RelativeGain(NamedTuple):
    """A gain as a share of the baseline's score, with its 95 % bootstrap interval over questions."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} % ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


class Comparison(NamedTuple):
    """Models and the infonce that they are compared with.

    Args:
        label: What to add to the data set's name.
        baseline: Name of the infonce model.
        models: Names of the models.
    """

    label: str
    baseline: str
    models: list[str]


def gain_table(experiment: Experiment) -> str:
    """How far each low-resource language can get from the paper's baseline: relative gains and their intervals."""
    rows, num_compared = [], 0
    for data in [name for name, plan in experiment.matrix.data.items() if plan.dataset == "afriqa"]:
        scores = model_scores(experiment, data)
        of_default = [name for length in LENGTHS for name in scores.variants(experiment.matrix.default + length)]
        for label, baseline, models in comparisons(scores.by_model):
            gains = {name: relative_gains(scores, name, baseline) for name in models}
            defaults = [name for name in of_default if name in models]
            for direction, column in scores.to_english.items():
                by_model = {name: gains[name][direction] for name in models}
                largest = max(by_model, key=lambda name: by_model[name].value)
                num_reaching = sum(gain.high >= TARGET for gain in by_model.values())
                num_compared += len(by_model)
                shown = ["; ".join(str(by_model[name]) for name in defaults), largest, str(by_model[largest])]
                score = f"{100 * scores.mean(baseline, column):.1f}"
                rows.append([data + label, direction, score, *shown, f"{num_reaching}"])
    if not rows:
        return NOT_RUN
    target = f"{100 * TARGET:.0f} %"
    head = ["data", "direction", "infonce", "default", "model with the largest gain", "its gain", f"may reach {target}"]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        "infonce: nDCG@10 x 100. default, and its gain: relative to infonce, with 95 % bootstrap intervals over "
        "questions; where two are given, the first is merged. The model with the largest gain is picked on the test "
        f"questions, so its gain is an optimistic figure. The last column counts the models whose interval reaches "
        f"{target}, of {num_compared} in all rows; the intervals are not corrected for that number. Distillation takes "
        f"{experiment.matrix.distil_steps} steps on top of the planned ones, so the rows named distilled compare "
        "distilled models with infonce after three times the planned steps."
    )


def default_gains_table(experiment: Experiment, data: str) -> str:
    """How far the default is above each baseline that trains both sides, by language.

    Args:
        experiment: Plan and results.
        data: Name of the data set.

    Returns:
        Markdown.
    """
    scores, default = model_scores(experiment, data), experiment.matrix.default
    trained = {name: experiment.matrix.objective(name).training for name in scores.by_model if name != BASE}
    baselines = [name for name, settings in trained.items() if settings and settings.get("side") != "queries"]
    if default not in scores.by_model or not baselines:
        return NOT_RUN
    columns = {TO_ENGLISH: scores.columns[TO_ENGLISH]}
    differences = scores.compare([(default, name) for name in baselines], columns)
    rows = [
        [
            name,
            differences[default, name, TO_ENGLISH].points(),
            *map(str, relative_gains(scores, default, name).values()),
        ]
        for name in baselines
    ]
    return (
        f"{Table(['over', f'{TO_ENGLISH}, points', *scores.to_english], rows).markdown()}\n"
        f"Gain of {default} over each baseline, with 95 % bootstrap intervals over questions: in points of nDCG@10 x "
        "100 (p-value of a paired permutation test, corrected by Holm over the column), and by language relative to "
        "the baseline's score."
    )


def comparisons(models: Iterable[str]) -> list[Comparison]:
    """Which models are compared with which infonce: those trained as long, and distilled ones with a longer one.

    Args:
        models: Names of all models of a test set.

    Returns:
        The comparisons that have a baseline and at least one model.
    """
    names = list(models)
    planned = []
    for length in LENGTHS:
        as_long = [name for name in names if _length(name) == length]
        others = [name for name in as_long if name not in (BASE, f"infonce{length}")]
        planned.append(Comparison(length, f"infonce{length}", others))
    longest = f"infonce{LENGTHS[-1]}"
    distilled = [name for name in planned[0].models if "distil" in name and ", then" in name]
    planned.append(Comparison(f", distilled; {longest}", longest, distilled))
    return [comparison for comparison in planned if comparison.baseline in names and comparison.models]


def relative_gains(scores: ModelScores, model: str, baseline: str) -> dict[str, RelativeGain]:
    """How far a model is above a baseline, as a share of the baseline's score.

    Args:
        scores: The models of one test set.
        model: Name of one.
        baseline: Name of another.

    Returns:
        By direction to English passages.
    """
    drawn_before, drawn_after = (scores.by_model[name].bootstrap() for name in (baseline, model))
    gains = {}
    for direction, (column,) in scores.to_english.items():
        above_zero = drawn_before[:, column] > 0
        low, high = interval(drawn_after[above_zero, column] / drawn_before[above_zero, column] - 1)
        gain = scores.mean(model, [column]) / scores.mean(baseline, [column]) - 1
        gains[direction] = RelativeGain(gain, low, high)
    return gains


def _length(name: str) -> str:
    return next((length for length in LENGTHS if length and length in name), "")
