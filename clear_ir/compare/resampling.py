"""Resampling questions: bootstrap intervals and paired permutation tests of many directions at once.

Queries that are translations of one question stand or fall together, so questions are resampled, not queries;
with matrix products, all directions of a collection share one resampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np

from clear_ir.evaluate.results import DirectionResult

#: Resamples of a bootstrap or permutation test; with few questions all permutations are tried instead.
RESAMPLES = 9_999
BATCH = 1_000
#: Draws of so many questions are kept for the next table: at most 100 MB.
KEPT = 10_000

#: From means by direction, shape (..., num_directions), to one number each, shape (...).
Statistic = Callable[[np.ndarray], np.ndarray]


class QuestionScores:
    """A model's scores by question and direction.

    Args:
        directions: The directions' results.
        questions: ``{query id: parallel_id}``; a query that is not in it is a question of its own.
        measure: Such as ``nDCG@10``.
    """

    def __init__(self, directions: Mapping[str, DirectionResult], questions: Mapping[str, str], measure: str) -> None:
        asked = sorted({questions.get(query, query) for result in directions.values() for query in result.per_query})
        row = {question: i for i, question in enumerate(asked)}
        #: Sum of the scores and number of queries, shape (num_questions, num_directions).
        self.sums = np.zeros((len(asked), len(directions)))
        self.counts = np.zeros_like(self.sums)
        for column, result in enumerate(directions.values()):
            for query, values in result.per_query.items():
                at = row[questions.get(query, query)]
                self.sums[at, column] += values[measure]
                self.counts[at, column] += 1
        #: Means by direction.
        self.means = self.sums.sum(axis=0) / self.counts.sum(axis=0)
        self._drawn: dict[int, np.ndarray] = {}

    def bootstrap(self, seed: int = 0) -> np.ndarray:
        """Means by direction of questions drawn with replacement; kept, as many tables ask for them.

        Args:
            seed: Of the draws; the same seed draws the same questions for every model.

        Returns:
            Shape (:data:`RESAMPLES`, num_directions). A direction of which a draw holds no question keeps its mean.
        """
        if seed not in self._drawn:
            self._drawn[seed] = np.concatenate(list(self._draw(seed)))
        return self._drawn[seed]

    def _draw(self, seed: int) -> Iterator[np.ndarray]:
        for times_drawn in _draws(len(self.sums), seed):
            weights = times_drawn.astype(float)
            counts = weights @ self.counts
            yield np.where(counts > 0, weights @ self.sums / np.maximum(counts, 1), self.means)


def _draws(number: int, seed: int) -> Iterable[np.ndarray]:
    """How often each question is drawn, in batches of shape (batch, number); the same for every model and table."""
    return _kept_draws(number, seed) if number <= KEPT else _new_draws(number, seed)


@lru_cache(maxsize=2)
def _kept_draws(number: int, seed: int) -> list[np.ndarray]:
    return list(_new_draws(number, seed))


def _new_draws(number: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    for batch in _batches():
        first = np.arange(batch)[:, None] * number
        places = first + rng.integers(0, number, (batch, number))
        times = np.bincount(places.ravel(), minlength=batch * number)
        yield times.reshape(batch, number).astype(np.uint8)


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval.

    Args:
        drawn: A statistic of each resample, shape (num_resamples,).

    Returns:
        Lower and upper end.
    """
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


class PairedTest:
    """Two-sided permutation tests that swap two models' scores question by question.

    Args:
        before: Scores of one model.
        after: Scores of the other, same questions and directions.
        seed: Of the swaps; with few questions all ways are tried and it plays no part.
    """

    def __init__(self, before: QuestionScores, after: QuestionScores, seed: int = 0) -> None:
        self.before, self.after = before, after
        number = len(before.sums)
        self.exact = 2**number <= RESAMPLES
        # A swapped question moves its difference from one model's mean to the other's.
        gap = after.sums - before.sums
        parts: Iterator[np.ndarray]
        if self.exact:
            parts = iter([np.arange(2**number)[:, None] >> np.arange(number) & 1])
        else:
            rng = np.random.default_rng(seed)
            parts = (rng.integers(0, 2, (batch, number), np.int8) for batch in _batches())
        self.moved = np.concatenate([part.astype(float) @ gap for part in parts]) / before.counts.sum(axis=0)

    def p_value(self, statistic: Statistic) -> float:
        """The share of permutations in which the statistic differs at least as much as it does in truth.

        Args:
            statistic: Of the means by direction.

        Returns:
            The p-value; 1 where no question differs.
        """
        observed = abs(statistic(self.after.means) - statistic(self.before.means))
        swapped = statistic(self.after.means - self.moved) - statistic(self.before.means + self.moved)
        extreme = int(np.count_nonzero(np.abs(swapped) >= observed - 1e-12))
        # The true order counts as one of the permutations.
        return extreme / len(swapped) if self.exact else (extreme + 1) / (len(swapped) + 1)


def _batches() -> Iterator[int]:
    for begin in range(0, RESAMPLES, BATCH):
        yield min(BATCH, RESAMPLES - begin)
