"""Choosing negatives from a ranking: windows of ranks, margins, the random draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clear_ir.mine.settings import MiningSettings


@dataclass(frozen=True)
class Picked:
    """The negatives of some rows on one side.

    Args:
        columns: Which candidates they are, best first, shape (num_rows, n).
        scores: Theirs, same shape.
        filtered: Candidates in the window that a margin removed, shape (num_rows,).
        found: Whether there were enough, shape (num_rows,); elsewhere the rest says nothing.
    """

    columns: np.ndarray
    scores: np.ndarray
    filtered: np.ndarray
    found: np.ndarray


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
    limits: np.ndarray,
    numbers: np.ndarray,
    settings: MiningSettings,
) -> Picked:
    """Choose the negatives of rows whose windows hold enough.

    Args:
        scores: Of the candidates, best first, shape (num_rows, num_ranked).
        columns: Which candidates they are, same shape.
        excluded: For each row the candidates that are no negatives.
        limits: The highest score that a negative may have.
        numbers: Tell rows and sides apart, for the random draw.
        settings: Window, margins and number.

    Returns:
        What was found.
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
    order[~eligible] = np.iinfo(np.uint64).max
    n = min(settings.num_negatives, scores.shape[1])
    chosen = np.sort(np.argpartition(order, n - 1, axis=1)[:, :n], axis=1)
    return Picked(
        np.take_along_axis(columns, chosen, 1),
        np.take_along_axis(scores, chosen, 1),
        (in_window & ~low_enough).sum(axis=1),
        eligible.sum(axis=1) >= settings.num_negatives,
    )


def _shuffled(seed: int, numbers: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Random numbers that hang on seed, row and rank alone, so that blocks do not matter (splitmix64, Steele 2014)."""
    with np.errstate(over="ignore"):
        mixed: np.ndarray = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + numbers.astype(np.uint64)
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
    limit: float,
    settings: MiningSettings,
) -> Picked:
    """Choose the negatives of a row whose window holds too few: those ranked nearest to it.

    Args:
        scores: Of all candidates, best first, shape (num_candidates,).
        columns: Which candidates they are, same shape.
        excluded: Candidates that are no negatives.
        limit: The highest score that a negative may have.
        settings: Window, margins and number.

    Returns:
        What was found, for one row.
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
    filtered = np.array([np.count_nonzero(in_window & ~low_enough)])
    return Picked(
        columns[None, chosen], scores[None, chosen], filtered, np.array([len(chosen) == settings.num_negatives])
    )
