"""Resampling questions: bootstrap intervals and paired permutation tests of many directions at once.

Translations of one question are not independent, so questions are resampled, not queries. A resample is a row of
weights over the questions, so that one matrix product gives the means of all directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np

from clear_ir.evaluate.results import DirectionResult

#: Resamples of a bootstrap or permutation test; with few questions all permutations are tried instead.
RESAMPLES = 9_999
#: Resamples computed at once.
BATCH = 1_000
#: Up to this number of questions, draws stay in memory for the next table: at most 100 MB.
MOST_CACHED = 10_000

#: From means by direction, shape (..., num_directions), to one number each, shape (...).
Statistic = Callable[[np.ndarray], np.ndarray]


class QuestionScores:
    """A model's scores by question and direction.

    Args:
        directions: The directions' results.
        questions: `{query id: parallel_id}`; a query that is not in it is a question by itself.
        measure: Such as `nDCG@10`; every query must have it.
    """

    def __init__(self, directions: Mapping[str, DirectionResult], questions: Mapping[str, str], measure: str) -> None:
        queries = (query for result in directions.values() for query in result.per_query)
        row = {question: i for i, question in enumerate(sorted({questions.get(query, query) for query in queries}))}
        #: Sum of the scores, shape (num_questions, num_directions).
        self.sums = np.zeros((len(row), len(directions)))
        #: Number of queries, same shape.
        self.counts = np.zeros_like(self.sums)
        for column, result in enumerate(directions.values()):
            for query, values in result.per_query.items():
                question = row[questions.get(query, query)]
                self.sums[question, column] += values[measure]
                self.counts[question, column] += 1
        #: Means by direction, shape (num_directions,).
        self.means = self.sums.sum(axis=0) / self.counts.sum(axis=0)
        self._drawn: dict[int, np.ndarray] = {}

    def bootstrap(self, seed: int = 0) -> np.ndarray:
        """Means by direction of questions drawn with replacement; computed once, since several tables need them.

        Args:
            seed: Of the draws; the same seed draws the same questions for every model.

        Returns:
            Shape (`RESAMPLES`, num_directions). Where a draw holds no question of a direction, the direction
            has its mean over all questions.
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
    return _cached_draws(number, seed) if number <= MOST_CACHED else _new_draws(number, seed)


@lru_cache(maxsize=2)
def _cached_draws(number: int, seed: int) -> list[np.ndarray]:
    return list(_new_draws(number, seed))


def _new_draws(number: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    for batch in _batches():
        # One count for all draws of the batch: each draw has its range of numbers.
        offsets = np.arange(batch)[:, None] * number
        drawn = offsets + rng.integers(0, number, (batch, number))
        counts = np.bincount(drawn.ravel(), minlength=batch * number)
        yield counts.reshape(batch, number).astype(np.uint8)


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
        seed: Of the swaps; not used with few questions, where all ways are tried.
    """

    def __init__(self, before: QuestionScores, after: QuestionScores, seed: int = 0) -> None:
        self.before, self.after = before, after
        number = len(before.sums)
        self.exact = 2**number <= RESAMPLES
        # A swapped question moves its difference from one model's mean to the other's.
        difference = after.sums - before.sums
        parts: Iterator[np.ndarray]
        if self.exact:
            parts = iter([np.arange(2**number)[:, None] >> np.arange(number) & 1])
        else:
            rng = np.random.default_rng(seed)
            parts = (rng.integers(0, 2, (batch, number), np.int8) for batch in _batches())
        self.moved = np.concatenate([part.astype(float) @ difference for part in parts]) / before.counts.sum(axis=0)

    def p_value(self, statistic: Statistic) -> float:
        """The share of permutations in which the two models differ at least as much as without any swap.

        Args:
            statistic: Of the means by direction.

        Returns:
            The p-value; 1 where no question differs.
        """
        observed = abs(statistic(self.after.means) - statistic(self.before.means))
        swapped = statistic(self.after.means - self.moved) - statistic(self.before.means + self.moved)
        extreme = int(np.count_nonzero(np.abs(swapped) >= observed - 1e-12))
        # The order without any swap counts as one of the permutations.
        return extreme / len(swapped) if self.exact else (extreme + 1) / (len(swapped) + 1)


def _batches() -> Iterator[int]:
    for begin in range(0, RESAMPLES, BATCH):
        yield min(BATCH, RESAMPLES - begin)
