"""How encoders are chosen, checkpoints as well as merges: by the mean across languages, above a floor in English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction

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


def scores_to_keep(scores: Mapping[str, float]) -> tuple[float, float]:
    """What adapting an encoder should not cost: its score in English, and its mean within languages.

    Args:
        scores: nDCG@10 by direction, among them q-en.p-en.

    Returns:
        The score of q-en.p-en, and the mean over the directions with one language on both sides, English included.
    """
    within = [score for name, score in scores.items() if not parse_direction(name).crosses]
    return scores[ENGLISH_DIRECTION], sum(within) / len(within)


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
