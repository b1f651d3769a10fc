"""Is one model better than another? Paired differences with intervals and corrected p-values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clear_ir.evaluation import Results
from clear_ir.files import InputError

RESAMPLES = 9_999


@dataclass(frozen=True)
class Difference:
    """One model against the base in one direction.

    Args:
        model: The model's name.
        direction: Such as ``q-de.p-en``.
        measure: Such as ``nDCG@10``.
        base: The base's mean.
        value: The model's mean.
        low: Lower end of the 95 % bootstrap interval of the difference.
        high: Its upper end.
        p: Two-sided p-value of the paired permutation test.
        p_holm: The same, corrected by Holm over all differences of the comparison.
        num_queries: Queries compared.
    """

    model: str
    direction: str
    measure: str
    base: float
    value: float
    low: float
    high: float
    p: float
    num_queries: int
    p_holm: float = 1.0

    @property
    def change(self) -> float:
        """Value minus base."""
        return self.value - self.base

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below .05."""
        return self.p_holm < 0.05


def paired_p_value(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value of the paired permutation test, which flips the signs of the differences.

    Args:
        differences: Shape (num_queries,).
        seed: Of the resampling; with few queries all flips are tried and it plays no part.

    Returns:
        The p-value; 1 where no query differs.
    """
    from scipy.stats import permutation_test

    if not np.any(differences):
        return 1.0
    rng = np.random.default_rng(seed)
    test = permutation_test(
        (differences,),
        lambda flipped, axis: np.mean(flipped, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1_000,
        rng=rng,
    )
    return float(test.pvalue)


def bootstrap_interval(values: Sequence[float] | np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean over queries.

    Args:
        values: Shape (num_queries,).
        seed: Of the resampling.

    Returns:
        Lower and upper end.
    """
    from scipy.stats import bootstrap

    values = np.asarray(values, dtype=float)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=1_000,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method (Holm 1979), which bounds the family-wise error.

    Args:
        p_values: Uncorrected.

    Returns:
        Corrected, in the same order: the k-th smallest times (m - k + 1), made monotone and cut at 1.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for k, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - k) * p_values[i]))
        corrected[i] = highest
    return corrected


def compare_results(
    base: Results, others: Sequence[Results], measure: str = "nDCG@10", seed: int = 0
) -> list[Difference]:
    """Compare models with a base, query by query, in every direction.

    Args:
        base: The reference.
        others: Models evaluated on the same data.
        measure: One of :data:`clear_ir.evaluation.MEASURES`.
        seed: Of the resampling.

    Returns:
        One difference for each model and direction; p-values corrected over all of them.

    Raises:
        InputError: If the data differ.
    """
    found: list[Difference] = []
    for other in others:
        if other.data_hash != base.data_hash:
            raise InputError(
                f"{other.model} was evaluated on other data ({other.data}) than {base.model} ({base.data}); "
                "evaluate both on the same collection."
            )
        for direction, result in base.directions.items():
            if direction not in other.directions:
                raise InputError(f"The results of {other.model} lack the direction {direction}; evaluate it again.")
            theirs = other.directions[direction].per_query
            if theirs.keys() != result.per_query.keys():
                raise InputError(f"{other.model} and {base.model} have other queries in {direction}; evaluate again.")
            before = np.array([result.per_query[query][measure] for query in result.per_query])
            after = np.array([theirs[query][measure] for query in result.per_query])
            low, high = bootstrap_interval(after - before, seed)
            found.append(
                Difference(
                    other.model,
                    direction,
                    measure,
                    float(before.mean()),
                    float(after.mean()),
                    low,
                    high,
                    paired_p_value(after - before, seed),
                    num_queries=len(before),
                )
            )
    corrected = holm([difference.p for difference in found])
    return [replace(difference, p_holm=p) for difference, p in zip(found, corrected, strict=True)]
