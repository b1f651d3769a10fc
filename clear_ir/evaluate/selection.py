"""How encoders are chosen, checkpoints as well as merges: by the mean across languages, above a floor in English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from clear_ir.data.directions import parse_direction

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


@dataclass(frozen=True)
class EnglishFloor:
    """The lowest score in English that an adapted encoder may have.

    Args:
        base: nDCG@10 of the base on q-en.p-en, from 0 to 1.
        max_loss: Points of nDCG@10 x 100 that may be lost against it.
    """

    base: float
    max_loss: float

    def allows(self, english: float) -> bool:
        """Whether an encoder with this nDCG@10 on q-en.p-en is above the floor, or on it."""
        # Scores of one encoder that is evaluated twice may differ in the last digit.
        return english >= self.base - self.max_loss / 100 - 1e-9
