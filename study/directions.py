"""The directions that the study looks at, by what they tell."""

from __future__ import annotations

from collections.abc import Collection as Items
from collections.abc import Iterable, Mapping

import numpy as np

from clear_ir.data.collection import Collection
from clear_ir.data.directions import ENGLISH_DIRECTION, Direction

#: Headings of the means over directions.
TO_ENGLISH = "q-L.p-en"
UNSEEN_TO_ENGLISH = "unseen q-L.p-en"
FROM_ENGLISH = "q-en.p-L"
WITHIN_LANGUAGE = "q-L.p-L"


def evaluated_directions(collection: Collection) -> list[Direction]:
    """The directions with English on at least one side, or one language on both."""
    return [d for d in collection.directions if "en" in (d.query_lang, d.passage_lang) or not d.crosses]


def to_english(directions: Iterable[str]) -> list[str]:
    """The directions from another language to English passages."""
    return [name for name in directions if name.endswith(".p-en") and name != ENGLISH_DIRECTION]


def mean_to_english(scores: Mapping[str, float]) -> float:
    """The study's cross-lingual mean: over the directions from another language to English passages.

    Args:
        scores: nDCG@10 by direction.

    Returns:
        The mean; directions to passages in other languages do not count.
    """
    return float(np.mean([scores[name] for name in to_english(scores)]))


def direction_groups(directions: list[str], unseen_langs: Items[str]) -> dict[str, list[str]]:
    """The directions by the heading of the column that shows their mean.

    Args:
        directions: All evaluated directions.
        unseen_langs: Languages without training rows; they have a column of their own.

    Returns:
        By heading, the names of directions; no heading without directions.
    """
    unseen = [f"q-{lang}.p-en" for lang in unseen_langs if f"q-{lang}.p-en" in directions]
    groups = {
        ENGLISH_DIRECTION: [name for name in directions if name == ENGLISH_DIRECTION],
        TO_ENGLISH: [name for name in to_english(directions) if name not in unseen],
        UNSEEN_TO_ENGLISH: unseen,
        FROM_ENGLISH: [name for name in directions if name.startswith("q-en.") and name != ENGLISH_DIRECTION],
        WITHIN_LANGUAGE: [name for name in directions if not name.endswith(".p-en") and not name.startswith("q-en.")],
    }
    return {heading: names for heading, names in groups.items() if names}
