"""The settings of `clear-ir merge`."""

from __future__ import annotations

from math import floor
from typing import Any, ClassVar

from pydantic import Field, field_validator

from clear_ir.data.files import InputError
from clear_ir.data.settings import Settings


class MergeSettings(Settings):
    """Which weights between an encoder and its base are tried, and which of them may win."""

    groups: ClassVar[dict[str, str]] = {"weights": "Weights"}

    weights: str = "0:1:0.1"
    """Weights of the adapted encoder to try, from 0 (the base) to 1: FROM:TO:STEP, or values between commas. A single
    weight is used without a search."""
    max_english_loss: float = Field(0.5, ge=0)
    """How much English (q-en.p-en), and the mean of the directions within one language, may lose against the base, in
    points of nDCG@10 x 100."""

    @field_validator("weights", mode="before")
    @classmethod
    def _can_be_parsed(cls, value: Any) -> str:
        parse_weights(str(value))
        return str(value)

    @property
    def shares(self) -> list[float]:
        """The weights to try, as numbers."""
        return parse_weights(self.weights)


def parse_weights(text: str) -> list[float]:
    """Parse weights such as `0:1:0.1` or `0.3,0.5`.

    Args:
        text: FROM:TO:STEP, or numbers between commas or spaces.

    Returns:
        The weights, each from 0 to 1.

    Raises:
        InputError: If the text has another form, or a number is out of range.
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
