"""What ``clear-ir merge`` can be told."""

from __future__ import annotations

from math import floor
from typing import Any, ClassVar

from pydantic import Field, field_validator

from clear_ir.data.files import InputError
from clear_ir.data.settings import Settings


class MergeSettings(Settings):
    """Which points between an encoder and its base are tried, and which is kept."""

    groups: ClassVar[dict[str, str]] = {"weights": "Weights"}

    weights: str = "0:1:0.1"
    """Shares of the adapted encoder: FROM:TO:STEP, or values between commas. A single one is taken as it is."""
    max_english_loss: float = Field(0.5, ge=0)
    """Points of nDCG@10 x 100 that q-en.p-en may lose against the base."""

    @field_validator("weights", mode="before")
    @classmethod
    def _can_be_parsed(cls, value: Any) -> str:
        parse_weights(str(value))
        return str(value)

    @property
    def shares(self) -> list[float]:
        """The weights as numbers."""
        return parse_weights(self.weights)


def parse_weights(text: str) -> list[float]:
    """``0:1:0.1`` or ``0.3,0.5`` as numbers, each from 0 to 1.

    Args:
        text: What is written.

    Returns:
        The numbers.

    Raises:
        InputError: If it is neither, or a number is out of range.
    """
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            count = floor((last - first) / step + 1e-9) if step > 0 else -1
            weights = [round(first + i * step, 10) for i in range(count + 1)]
        else:
            weights = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        weights = []
    if not weights or not all(0 <= weight <= 1 for weight in weights):
        raise InputError(f"{text!r} is not of the form FROM:TO:STEP or A,B,C with numbers from 0 to 1")
    return weights
