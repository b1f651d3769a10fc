"""How encoders are chosen, checkpoints as well as merges: by the mean across languages, above a floor in English."""

from __future__ import annotations

from collections.abc import Mapping
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


def mean_within_languages(scores: Mapping[str, Score]) -> Score | None:
    """Mean over the directions with one language on both sides, English included.

    Args:
        scores: By direction: numbers, or arrays of one shape.

    Returns:
        Their mean; of arrays, element by element. None if there is no such direction.
    """
    within = [score for name, score in scores.items() if not parse_direction(name).crosses]
    return sum(within[1:], within[0]) / len(within) if within else None


def guarded_scores(scores: Mapping[str, Score]) -> dict[str, Score]:
    """What an adapted encoder must not lose.

    Args:
        scores: By direction: numbers, or arrays of one shape.

    Returns:
        The score in English, and the mean within languages; those of them that there are.
    """
    found = {ENGLISH_DIRECTION: scores.get(ENGLISH_DIRECTION), "within languages": mean_within_languages(scores)}
    return {name: score for name, score in found.items() if score is not None}


def lost_scores(scores: Mapping[str, float], base: Mapping[str, float], max_loss: float) -> list[str]:
    """Which of the `guarded_scores` are much lower than the base's.

    Args:
        scores: nDCG@10 by direction, from 0 to 1.
        base: Those of the base.
        max_loss: Points of nDCG@10 x 100 that each may lose.

    Returns:
        Their names.
    """
    after = guarded_scores(scores)
    # Scores of one encoder that is evaluated twice may differ in the last digit.
    floors = {name: score - max_loss / 100 - 1e-9 for name, score in guarded_scores(base).items()}
    return [name for name, floor in floors.items() if after.get(name, floor) < floor]


def keeps_english(scores: Mapping[str, float], base: Mapping[str, float], max_loss: float) -> bool:
    """Whether neither English nor the mean within languages is much lower than the base's, see `lost_scores`."""
    return not lost_scores(scores, base, max_loss)
