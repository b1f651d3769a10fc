"""The models of one test set, their scores question by question, and tests of their differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from clear_ir.compare.comparison import holm
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.resampling import PairedTest, QuestionScores, interval
from clear_ir.evaluate.results import DirectionResult
from study.cells import BASE, Cell
from study.choices import best_dev_cell, complete_objectives
from study.directions import direction_groups, mean_to_english, to_english
from study.experiment import Experiment

#: The baselines. Another scale of the scores, as in `infonce, scale 50`, makes no other method of them.
BASELINES = ("infonce-en", "infonce", "infonce-both", "infonce-symmetric", "distil on queries", "distil on NTREX")
#: Seeds that a matrix may name.
SEEDS = range(10)
#: Endings of objectives that are trained longer than planned. Models are compared with those of the same ending.
LENGTHS = ("", ", 3x the steps")


class PairedDifference(NamedTuple):
    """By how much one model is ahead of another, as a share of 1.

    Args:
        change: Difference of the means.
        low: Lower end of its 95 % bootstrap interval over questions.
        high: Upper end.
        p: Two-sided p-value of the paired permutation test, corrected by Holm.
    """

    change: float
    low: float
    high: float
    p: float

    def points(self) -> str:
        """As `+1.5 (+0.9 to +2.1; p 0.001)`, in points of nDCG@10 x 100."""
        return f"{100 * self.change:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f}; p {self.p:.3f})"


class ModelScores:
    """Scores of the models of one test set, averaged over seeds question by question.

    Args:
        experiment: Plan and results.
        data: Name of the data set in the matrix.

    Attributes:
        by_model: Scores by the model's name, such as `clear, merged 0.5`.
        seeds: Number of seeds by the model's name.
        columns: By heading, the numbers of the directions whose mean a column of a table shows.
        to_english: The same for each direction to English passages by itself.
        strongest: The baseline with the best mean to English passages on dev; None if none has been run.
    """

    def __init__(self, experiment: Experiment, data: str) -> None:
        self.by_model: dict[str, QuestionScores] = {}
        self.seeds: dict[str, int] = {}
        results = experiment.results
        for cell in experiment.stage_cells("test"):
            if cell.data != data or cell.seed != 0 or not results.has(cell):
                continue
            runs = [run for run in (replace(cell, seed=seed) for seed in SEEDS) if results.has(run)]
            for weight in results.read(cell)["scores"]:
                name = cell.objective + (f", merged {weight}" if weight not in ("0", "1") else "")
                self.by_model[name] = QuestionScores(mean_over_seeds(experiment, runs, weight), {}, MAIN_MEASURE)
                self.seeds[name] = len(runs)
        directions = list(results.questions("test", data))
        groups = direction_groups(directions, experiment.matrix.data[data].unseen)
        self.columns = {heading: [directions.index(d) for d in group] for heading, group in groups.items()}
        self.to_english = {d: [directions.index(d)] for d in to_english(directions)}
        complete = complete_objectives(experiment)
        baselines = [name for name in self.by_model if name.split(", scale")[0] in BASELINES and name in complete]
        self.strongest = max(baselines, key=lambda name: _dev_mean(experiment, name), default=None)

    def variants(self, objective: str) -> list[str]:
        """The names of an objective's models, merged and as trained."""
        return [name for name in self.by_model if name.split(", merged")[0] == objective]

    def mean(self, model: str, directions: list[int]) -> float:
        """The mean of a model's scores over directions.

        Args:
            model: Its name.
            directions: Numbers of directions.

        Returns:
            nDCG@10, from 0 to 1.
        """
        return float(self.by_model[model].means[directions].mean())

    def compare(
        self, pairs: Iterable[tuple[str, str]], columns: Mapping[str, list[int]]
    ) -> dict[tuple[str, str, str], PairedDifference]:
        """Test the differences between pairs of models.

        Args:
            pairs: Names of models: the one that may be ahead, the one that it is compared with.
            columns: By heading, the numbers of the directions whose mean is compared.

        Returns:
            By the two names and the heading; p-values are corrected by Holm over all of them.
        """
        tested = {}
        for after, before in pairs:
            test = PairedTest(self.by_model[before], self.by_model[after])
            for heading, directions in columns.items():
                tested[after, before, heading] = _paired_difference(test, directions)
        corrected = holm([difference.p for difference in tested.values()])
        return {key: tested[key]._replace(p=p) for key, p in zip(tested, corrected, strict=True)}

    def compare_with_strongest(self, columns: Mapping[str, list[int]]) -> dict[tuple[str, str], PairedDifference]:
        """Test every model against the strongest baseline: by the model's name and the heading, see `compare`."""
        if self.strongest is None:
            return {}
        pairs = [(name, self.strongest) for name in self.by_model if name != self.strongest]
        return {(name, heading): d for (name, _, heading), d in self.compare(pairs, columns).items()}


@cache
def model_scores(experiment: Experiment, data: str) -> ModelScores:
    """The scores of one test set, read once for all tables."""
    return ModelScores(experiment, data)


def mean_over_seeds(experiment: Experiment, runs: list[Cell], weight: str) -> dict[str, DirectionResult]:
    """Every question's score, averaged over the seeds of an objective.

    Args:
        experiment: Plan and results.
        runs: Cells that differ in their seed alone.
        weight: The merging weight, as the results have it.

    Returns:
        By direction.
    """
    scores = [experiment.results.scores(run, weight) for run in runs]
    means = {}
    for direction, ids in experiment.results.questions(runs[0].stage, runs[0].data).items():
        values = np.mean([of_seed[direction] for of_seed in scores], axis=0)
        per_query = {query: {MAIN_MEASURE: float(value)} for query, value in zip(ids, values, strict=True)}
        means[direction] = DirectionResult(per_query, 0)
    return means


def base_is_compared(scores: ModelScores, objectives: Iterable[str]) -> bool:
    """Whether the base and all these objectives have been run."""
    return {BASE, *objectives} <= scores.by_model.keys()


def _dev_mean(experiment: Experiment, objective: str) -> float:
    return mean_to_english(experiment.results.means(best_dev_cell(experiment, objective), "1"))


def _paired_difference(test: PairedTest, directions: list[int]) -> PairedDifference:
    """The difference of a mean over directions, its p-value not corrected yet."""

    def mean(values: np.ndarray) -> np.ndarray:
        of_directions: np.ndarray = values[..., directions].mean(axis=-1)
        return of_directions

    before, after = test.before, test.after
    low, high = interval(mean(after.bootstrap()) - mean(before.bootstrap()))
    return PairedDifference(float(mean(after.means) - mean(before.means)), low, high, test.p_value(mean))
