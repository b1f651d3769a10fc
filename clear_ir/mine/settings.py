"""What ``clear-ir mine`` can be told."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from clear_ir.data.settings import Settings


class MiningSettings(Settings):
    """How hard negatives are chosen."""

    groups: ClassVar = {"num_negatives": "Negatives", "range_min": "Window and margins", "query_side": "Ranking"}

    num_negatives: int = Field(5, ge=1)
    """Negative passages, and as many negative queries, a row."""
    range_min: int = Field(30, ge=0)
    """Skip candidates above this rank: they are likely false negatives. 0 skips none."""
    range_max: int = Field(100, ge=1)
    """Skip candidates from this rank on."""
    absolute_margin: float | None = None
    """A negative scores at least this much lower than the positive."""
    relative_margin: float | None = Field(None, ge=0, le=1)
    """A negative scores at most (1 - this) times the positive."""
    query_side: Literal["english", "target"] = "english"
    """Rank candidate queries by their English text, or by the target-language text itself."""
    sampling: Literal["random", "top"] = "random"
    """Draw from the window at random, or take its top."""
    seed: int = 0
    """Of the random draw."""

    @model_validator(mode="after")
    def _window_holds_enough(self) -> MiningSettings:
        if self.range_max - self.range_min < self.num_negatives:
            raise ValueError(
                f"the window from range_min {self.range_min} to range_max {self.range_max} is smaller than "
                f"num_negatives {self.num_negatives}"
            )
        return self
