"""Choosing negatives from a ranking: windows of ranks, margins, the random draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clear_ir.mining_settings import MiningSettings


class Picked(NamedTuple):
    """One row's negatives on one side: their columns and scores, best first, and how they were found."""

    columns: list[int]
    scores: list[float]
    positive_score: float
    filtered: int
    widened: bool


def score_limits(positives: np.ndarray, settings: MiningSettings) -> np.ndarray:
    """The highest score that a negative may have.

    Args:
        positives: Score of each row's right pair.
        settings: Margins.

    Returns:
        One limit a row, infinite without margins.
    """
    limits = np.full(len(positives), np.inf, positives.dtype)
    if settings.absolute_margin is not None:
        limits = positives - settings.absolute_margin
    if settings.relative_margin is not None:
        # A share of the absolute value, so that a negative positive score does not turn the margin round.
        limits = np.minimum(limits, positives - np.abs(positives) * settings.relative_margin)
    return limits


def pick_in_windows(
    scores: np.ndarray,
    columns: np.ndarray,
    excluded: list[list[int]],
    positives: np.ndarray,
    limits: np.ndarray,
    numbers: np.ndarray,
    settings: MiningSettings,
) -> list[Picked | None]:
    """Choose the negatives of rows whose windows hold enough; None for the others.

    Args:
        scores: Of the candidates, best first, shape (num_rows, num_ranked).
        columns: Which candidates they are, same shape.
        excluded: For each row the candidates that are no negatives.
        positives: Score of each row's right pair.
        limits: The highest score that a negative may have.
        numbers: Tell rows and sides apart, for the random draw.
        settings: Window, margins and number.

    Returns:
        What was found, one a row.
    """
    row_of = np.repeat(np.arange(len(excluded)), [len(barred) for barred in excluded])
    barred = np.array([column for row in excluded for column in row], np.int64)
    size = int(max(columns.max(), barred.max(initial=0))) + 1
    allowed = ~np.isin(np.arange(len(columns))[:, None] * size + columns, row_of * size + barred)
    ranks = np.cumsum(allowed, axis=1) - 1
    in_window = allowed & (ranks >= settings.range_min) & (ranks < settings.range_max)
    low_enough = scores <= limits[:, None]
    eligible = in_window & low_enough
    order = ranks.astype(np.uint64)
    if settings.sampling == "random":
        order = _shuffled(settings.seed, numbers[:, None], ranks)
    n = settings.num_negatives
    enough = eligible.sum(axis=1) >= n
    if scores.shape[1] < n:
        return [None] * len(scores)
    order[~eligible] = np.iinfo(np.uint64).max
    chosen = np.sort(np.argpartition(order, n - 1, axis=1)[:, :n], axis=1)
    picked = zip(
        np.take_along_axis(columns, chosen, 1).tolist(),
        np.take_along_axis(scores, chosen, 1).tolist(),
        positives.tolist(),
        (in_window & ~low_enough).sum(axis=1).tolist(),
        strict=True,
    )
    return [Picked(*values, widened=False) if whole else None for whole, values in zip(enough, picked, strict=True)]


def _shuffled(seed: int, numbers: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Random numbers that hang on seed, row and rank alone, so that blocks do not matter (splitmix64, Steele 2014)."""
    with np.errstate(over="ignore"):
        mixed = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + numbers.astype(np.uint64)
        for value in (np.uint64(0), ranks.astype(np.uint64) + np.uint64(1)):
            mixed = (mixed + value) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


def pick_nearest(
    scores: np.ndarray,
    columns: np.ndarray,
    excluded: list[int],
    positive: float,
    limit: float,
    settings: MiningSettings,
) -> Picked | None:
    """Choose the negatives of a row whose window holds too few: those ranked nearest to it.

    Args:
        scores: Of all candidates, best first, shape (num_candidates,).
        columns: Which candidates they are, same shape.
        excluded: Candidates that are no negatives.
        positive: Score of the right pair.
        limit: The highest score that a negative may have.
        settings: Window, margins and number.

    Returns:
        What was found; None if all ranks hold too few.
    """
    allowed = ~np.isin(columns, excluded)
    scores, columns = scores[allowed], columns[allowed]
    low_enough = scores <= limit
    ranks = np.arange(len(scores))
    in_window = (settings.range_min <= ranks) & (ranks < settings.range_max)
    # The ranks next to the window come first, on a tie the harder.
    distance = np.maximum(settings.range_min - ranks, ranks - settings.range_max + 1)
    nearest = np.argsort(np.maximum(distance, 0), kind="stable")
    chosen = np.sort(nearest[low_enough[nearest]][: settings.num_negatives])
    if len(chosen) < settings.num_negatives:
        return None
    filtered = int((in_window & ~low_enough).sum())
    return Picked(columns[chosen].tolist(), scores[chosen].tolist(), float(positive), filtered, widened=True)
