"""Fit the settings of mining to the data: more negatives than there are candidates, a window wider than a pool."""

from __future__ import annotations

import numpy as np

from clear_ir.mine.settings import MiningSettings


def fit_num_negatives(settings: MiningSettings, candidates: np.ndarray) -> tuple[MiningSettings, list[str]]:
    """Lower the number of negatives if more than half of the rows have fewer candidates.

    Otherwise rows with too few candidates are left out, so that a few of them do not cost the others their negatives.

    Args:
        settings: The settings that the user gave.
        candidates: How many candidates each row has, on the side that has fewer, shape (num_rows,).

    Returns:
        The settings, and a sentence if the number changed.
    """
    # The lower median: at least half of the rows have as many.
    most_have = int(np.sort(candidates)[(len(candidates) - 1) // 2])
    if most_have < 1 or settings.num_negatives <= most_have:
        return settings, []
    many = "1 candidate" if most_have == 1 else f"{most_have} candidates"
    note = f"Most rows have no more than {many}: num_negatives {settings.num_negatives} -> {most_have}."
    return settings.model_copy(update={"num_negatives": most_have}), [note]


def fit_window(settings: MiningSettings, pool: str, size: int) -> tuple[MiningSettings, list[str]]:
    """Scale a window that ends beyond the last candidate, so that it covers the same share of the ranking.

    Args:
        settings: The settings.
        pool: What the candidates are, for the sentence.
        size: How many a row has at most.

    Returns:
        The settings, and a sentence if the window changed.
    """
    if size >= settings.range_max:
        return settings, []
    begin, end = settings.range_min, settings.range_max
    # Rounded up: a window that skips candidates still skips one. But it holds the negatives.
    fitted = max(0, min(-(-begin * size // end), size - settings.num_negatives))
    changes = {"range_min": (begin, fitted), "range_max": (end, max(1, size))}
    shown = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items() if old != new)
    note = f"A row has at most {size} other {pool} as candidates: {shown}."
    return settings.model_copy(update={name: new for name, (_, new) in changes.items()}), [note]
