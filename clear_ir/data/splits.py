"""Hold out rows, so that nothing that is asked or answered stands on both sides."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from clear_ir.data.files import hash_of
from clear_ir.data.texts import text_key

Row = TypeVar("Row")


def hold_out(
    rows: Sequence[Row], share: float, seed: int, keys_of: Callable[[Row], Sequence[str]]
) -> tuple[list[Row], list[Row]]:
    """Hold out a share of the rows, so that nothing that is asked or answered stands on both sides.

    Rows that share a key are one group, and so are rows that a chain of such rows connects: two passages that answer
    one question are held out together, and so are two questions on one passage, in all languages.

    Args:
        rows: Rows of any kind.
        share: Share of the groups to hold out, rounded; at least one group if the share is above 0.
        seed: Chooses the groups.
        keys_of: Gives a row's keys, as many for each row: its passage, then its question.

    Returns:
        The rows that remain and the rows that are held out, both in their order.
    """
    groups, names = _groups(rows, seed, keys_of)
    chosen = set(names[: max(1, round(share * len(names)))] if share > 0 else [])
    train = [row for row, group in zip(rows, groups, strict=True) if group not in chosen]
    return train, [row for row, group in zip(rows, groups, strict=True) if group in chosen]


def cross_folds(
    rows: Sequence[Row], count: int, seed: int, keys_of: Callable[[Row], Sequence[str]], most: int
) -> list[tuple[list[Row], list[Row]]]:
    """Split the rows into folds, so that each is held out once. Groups stay together, as in `hold_out`.

    Args:
        rows: Rows of any kind.
        count: Number of folds.
        seed: Chooses the groups of each.
        keys_of: As in `hold_out`.
        most: Of a fold no further group is held out once it has so many rows.

    Returns:
        For each fold the rows of the other folds, and its own that are held out, both in their order.
    """
    groups, names = _groups(rows, seed, keys_of)
    sizes = Counter(groups)
    labelled = list(zip(rows, groups, strict=True))
    folds = []
    for fold in range(count):
        own = names[fold::count]
        begins = itertools.accumulate((sizes[name] for name in own), initial=0)
        held = {name for name, begin in zip(own, begins, strict=False) if begin < most}
        others = set(names) - set(own)
        folds.append(([row for row, of in labelled if of in others], [row for row, of in labelled if of in held]))
    return folds


def _groups(rows: Sequence[Row], seed: int, keys_of: Callable[[Row], Sequence[str]]) -> tuple[list[str], list[str]]:
    """The name of each row's group, and the names of all groups in an order that the seed shuffles."""
    keys = [tuple(map(text_key, keys_of(row))) for row in rows]
    roots = connected_groups(keys)
    first: dict[int, str] = {}  # a group is named by its first key
    for root, of_row in zip(roots, keys, strict=True):
        first[root] = min(first.get(root, of_row[0]), of_row[0])
    groups = [first[root] for root in roots]
    return groups, sorted(set(groups), key=lambda group: hash_of(str(seed), group))


def connected_groups(keys: Sequence[tuple[Hashable, ...]]) -> list[int]:
    """The group of each row: rows with an equal key at an equal place are in one.

    Args:
        keys: The keys of each row, as many for each.

    Returns:
        For each row the number of one row of its group, the same for all of them.
    """
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]  # halves the path for the next time
            row = parent[row]
        return row

    first_with: dict[tuple[int, Hashable], int] = {}
    for row, of_row in enumerate(keys):
        for place, key in enumerate(of_row):
            parent[root(row)] = root(first_with.setdefault((place, key), row))
    return [root(row) for row in range(len(keys))]
