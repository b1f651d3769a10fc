"""Choose negatives from a ranking: the window of ranks, the margins, the random draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clear_ir.mine.settings import MiningSettings


@dataclass(frozen=True)
class ChosenNegatives:
    """The negatives that were chosen for some rows on one side.

    Args:
        columns: Columns of the negatives among the candidates, best score first, shape (num_rows, n).
        scores: Scores of the negatives, same shape.
        filtered: Number of candidates in the window that a margin removed, shape (num_rows,).
        complete: Whether the row has n negatives, shape (num_rows,). If not, its other values are meaningless.
    """

    columns: np.ndarray
    scores: np.ndarray
    filtered: np.ndarray
    complete: np.ndarray


def score_limits(positives: np.ndarray, settings: MiningSettings) -> np.ndarray:
    """The highest score that a negative may have.

    Args:
        positives: Score of each row's positive, shape (num_rows,).
        settings: The margins.

    Returns:
        One limit per row, shape (num_rows,); infinity without margins.
    """
    limits = np.full(len(positives), np.inf, positives.dtype)
    if settings.absolute_margin is not None:
        limits = positives - settings.absolute_margin
    if settings.relative_margin is not None:
        # A share of the absolute value: if the positive's score is below 0, the limit is still below that score.
        limits = np.minimum(limits, positives - np.abs(positives) * settings.relative_margin)
    return limits


def pick_in_windows(
    scores: np.ndarray,
    columns: np.ndarray,
    excluded: list[list[int]],
    limits: np.ndarray,
    numbers: np.ndarray,
    settings: MiningSettings,
) -> ChosenNegatives:
    """Choose negatives for many rows at once, only from the window.

    Args:
        scores: Scores of the candidates, best first, shape (num_rows, num_ranked).
        columns: Columns of these candidates, same shape.
        excluded: For each row, the columns of candidates that must not be negatives.
        limits: The highest score that a negative may have, shape (num_rows,).
        numbers: A number per row that differs between rows and between sides, for the random draw.
        settings: Window, margins and number of negatives.

    Returns:
        The negatives. Rows whose window has too few candidates are not complete.
    """
    allowed, ranks = _ranks(columns, excluded)
    in_window = allowed & (ranks >= settings.range_min) & (ranks < settings.range_max)
    low_enough = scores <= limits[:, None]
    eligible = in_window & low_enough
    # The n eligible candidates with the lowest keys are chosen. With ranks as keys these are the top of the window,
    # with random numbers a uniform draw without replacement. Other candidates get the highest key: they are chosen only
    # if the row has too few, and `complete` says so.
    keys = ranks.astype(np.uint64)
    if settings.sampling == "random":
        keys = _random_numbers(settings.seed, numbers[:, None], ranks)
    keys[~eligible] = np.iinfo(np.uint64).max
    n = min(settings.num_negatives, scores.shape[1])
    chosen = np.sort(np.argpartition(keys, n - 1, axis=1)[:, :n], axis=1)
    return ChosenNegatives(
        np.take_along_axis(columns, chosen, 1),
        np.take_along_axis(scores, chosen, 1),
        (in_window & ~low_enough).sum(axis=1),
        eligible.sum(axis=1) >= settings.num_negatives,
    )


def _ranks(columns: np.ndarray, excluded: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Which candidates may be negatives, and the rank of each among these, both of shape (num_rows, num_ranked)."""
    # Each row has another list of excluded columns. One np.isin tests all rows: (row, column) becomes the single number
    # row * num_columns + column, which no other pair has.
    excluded_columns = np.array([column for row in excluded for column in row], np.int64)
    excluded_rows = np.repeat(np.arange(len(excluded)), [len(row) for row in excluded])
    num_columns = int(max(columns.max(), excluded_columns.max(initial=0))) + 1
    pairs = np.arange(len(columns))[:, None] * num_columns + columns
    allowed = ~np.isin(pairs, excluded_rows * num_columns + excluded_columns)
    # Excluded candidates have no rank: the others are counted without them.
    return allowed, np.cumsum(allowed, axis=1) - 1


@dataclass(frozen=True)
class OrderedCandidates:
    """All candidates of some rows, in the order in which they are tried as negatives.

    Args:
        columns: Their columns, shape (num_rows, num_ranked).
        scores: Their scores, same shape.
        ranks: Their ranks, same shape.
        outside: Whether they are outside of the window, same shape.
        counts: How many a row has, shape (num_rows,). What is behind these must not be tried.
        filtered: Number of candidates in the window that a margin removed, shape (num_rows,).
    """

    columns: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    outside: np.ndarray
    counts: np.ndarray
    filtered: np.ndarray


def order_candidates(
    scores: np.ndarray,
    columns: np.ndarray,
    excluded: list[list[int]],
    limits: np.ndarray,
    numbers: np.ndarray,
    settings: MiningSettings,
) -> OrderedCandidates:
    """Order the candidates of many rows: those that `pick_in_windows` takes first, then those nearest to the window.

    Args:
        scores: As in `pick_in_windows`.
        columns: As in `pick_in_windows`.
        excluded: As in `pick_in_windows`.
        limits: As in `pick_in_windows`.
        numbers: As in `pick_in_windows`.
        settings: Window, margins and sampling.

    Returns:
        The candidates.
    """
    allowed, ranks = _ranks(columns, excluded)
    low_enough = scores <= limits[:, None]
    distance = _distance(ranks, settings)
    in_window = allowed & (distance == 0)
    keys = ranks.astype(np.uint64)
    if settings.sampling == "random":
        keys = np.where(in_window, _random_numbers(settings.seed, numbers[:, None], ranks), keys)
    distance[~(allowed & low_enough)] = np.iinfo(np.int64).max
    order = np.lexsort((keys, distance), axis=-1)
    return OrderedCandidates(
        columns=np.take_along_axis(columns, order, 1),
        scores=np.take_along_axis(scores, order, 1),
        ranks=np.take_along_axis(ranks, order, 1),
        outside=np.take_along_axis(~in_window, order, 1),
        counts=(allowed & low_enough).sum(axis=1),
        filtered=(in_window & ~low_enough).sum(axis=1),
    )


def _distance(ranks: np.ndarray, settings: MiningSettings) -> np.ndarray:
    """How far each rank is from the window; 0 within it."""
    distance: np.ndarray = np.maximum(0, np.maximum(settings.range_min - ranks, ranks - settings.range_max + 1))
    return distance


def _random_numbers(seed: int, numbers: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """A random 64-bit number for each row and rank.

    A generator with a state would give a row other numbers when the rows are cut into other blocks. Here a number
    depends on nothing but seed, row and rank: they are mixed by splitmix64 (Steele, Lea and Flood, OOPSLA 2014), first
    seed and row, then the rank. Each round of shifts and products spreads a change in one input bit over all output
    bits, so neighbouring rows and ranks get unrelated numbers.

    Args:
        seed: Seed of the draw.
        numbers: The rows' numbers, shape (num_rows, 1).
        ranks: The candidates' ranks, shape (num_rows, num_ranked).

    Returns:
        Shape (num_rows, num_ranked), uint64.
    """
    with np.errstate(over="ignore"):  # the products are meant modulo 2**64
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
) -> ChosenNegatives:
    """Choose negatives for one row whose window has too few: also the candidates nearest to the window.

    Args:
        scores: Scores of all candidates, best first, shape (num_candidates,).
        columns: Columns of these candidates, same shape.
        excluded: Columns of candidates that must not be negatives.
        limit: The highest score that a negative may have.
        settings: Window, margins and number of negatives.

    Returns:
        The negatives of the one row.
    """
    allowed = ~np.isin(columns, excluded)
    scores, columns = scores[allowed], columns[allowed]
    low_enough = scores <= limit
    ranks = np.arange(len(scores))
    in_window = (settings.range_min <= ranks) & (ranks < settings.range_max)
    # By distance of the rank to the window. The sort is stable, so on a tie the better rank, the harder negative, wins.
    nearest = np.argsort(_distance(ranks, settings), kind="stable")
    chosen = np.sort(nearest[low_enough[nearest]][: settings.num_negatives])
    filtered = np.array([np.count_nonzero(in_window & ~low_enough)])
    return ChosenNegatives(
        columns[None, chosen], scores[None, chosen], filtered, np.array([len(chosen) == settings.num_negatives])
    )
