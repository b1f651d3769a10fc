"""How encoders are chosen, checkpoints as well as merges: by the mean across languages, above a floor in English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction
from clear_ir.evaluate.measures import MAIN_MEASURE

#: What chooses a checkpoint, in the training log: the mean across languages.
PRIMARY_METRIC = f"cross_lingual_{MAIN_MEASURE}"

Score = TypeVar("Score", float, np.ndarray)


def mean_cross_lingual(scores: Mapping[str, Score]) -> Score:
    """Mean over the directions whose sides differ in language.

    Args:
        scores: By direction: numbers, or arrays of one shape.

    Returns:
        Their mean; of arrays, element by element.

    Raises:
        ValueError: If no direction crosses languages.
    """
    crossing = [score for name, score in scores.items() if parse_direction(name).crosses]
    if not crossing:
        raise ValueError("no direction crosses languages")
    total = crossing[0]
    for score in crossing[1:]:
        total = total + score
    return total / len(crossing)


def mean_within_languages(scores: Mapping[str, float]) -> float | None:
    """Mean over the directions with one language on both sides, English included.

    Args:
        scores: By direction.

    Returns:
        The mean; None if there is no such direction.
    """
    within = [score for name, score in scores.items() if not parse_direction(name).crosses]
    return float(np.mean(within)) if within else None


@dataclass(frozen=True)
class EnglishFloor:
    """The lowest score that an adapted encoder may have in English, or within languages.

    Args:
        base: nDCG@10 of the base, from 0 to 1.
        max_loss: Points of nDCG@10 x 100 that may be lost against it.
    """

    base: float
    max_loss: float

    def allows(self, score: float) -> bool:
        """Whether an encoder with this nDCG@10 is above the floor, or on it."""
        # Scores of one encoder that is evaluated twice may differ in the last digit.
        return score >= self.base - self.max_loss / 100 - 1e-9


def keeps_english(scores: Mapping[str, float], base: Mapping[str, float], max_loss: float) -> bool:
    """Whether neither English nor the mean within languages is much lower than the base's.

    Args:
        scores: nDCG@10 by direction, from 0 to 1.
        base: Those of the base.
        max_loss: Points of nDCG@10 x 100 that each may lose.
    """
    pairs = (
        (scores.get(ENGLISH_DIRECTION), base.get(ENGLISH_DIRECTION)),
        (mean_within_languages(scores), mean_within_languages(base)),
    )
    return all(
        EnglishFloor(before, max_loss).allows(after)
        for after, before in pairs
        if after is not None and before is not None
    )
