"""How hard negatives are mined: validated settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MiningSettings(BaseModel):
    """How hard negatives are chosen.

    Attributes:
        num_negatives: Negative passages, and as many negative queries, a row.
        range_min: Candidates above this rank are skipped (0 skips none): the likely false negatives.
        range_max: Candidates from this rank on are skipped.
        absolute_margin: A negative scores at least this much lower than the positive.
        relative_margin: A negative scores at most (1 - this) times the positive.
        query_side: Rank candidate queries by their English side, or by the target-language text itself.
        sampling: Draw from the window at random, or take its top.
        seed: Of the random draw.
        batch_size: Texts encoded at once; None chooses by device.
    """

    model_config = ConfigDict(extra="forbid")

    num_negatives: int = Field(5, ge=1)
    range_min: int = Field(30, ge=0)
    range_max: int = Field(100, ge=1)
    absolute_margin: float | None = None
    relative_margin: float | None = Field(None, ge=0, le=1)
    query_side: Literal["english", "target"] = "english"
    sampling: Literal["random", "top"] = "random"
    seed: int = 0
    batch_size: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _window(self) -> MiningSettings:
        if self.range_max - self.range_min < self.num_negatives:
            raise ValueError(
                f"the window from range_min {self.range_min} to range_max {self.range_max} is smaller than "
                f"num_negatives {self.num_negatives}"
            )
        return self
