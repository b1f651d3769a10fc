"""The settings of `clear-ir align`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from clear_ir.data.settings import Settings

Method = Literal["auto", "project", "shift", "map", "map-both", "procrustes", "project+map"]


class AlignSettings(Settings):
    """Which map is fitted, and how it is chosen."""

    groups: ClassVar[dict[str, str]] = {"method": "Maps", "folds": "Choosing"}

    method: Method = "auto"
    """The map. project: removes from queries and passages the directions in which the means of the languages differ.
    shift: gives queries the English mean in these directions. map: a linear map of queries towards their English
    translations, held near the identity. map-both: the same map for passages, too. procrustes: a rotation of queries
    onto their translations, for comparison. project+map: project, then map-both. auto: all of them, the best by the dev
    questions."""
    directions: int | None = Field(None, ge=1)
    """How many directions project and shift remove or replace. None: the dev questions decide."""
    strength: float | None = Field(None, gt=0)
    """How strongly map is held near the identity, in mean variances of the queries. None: the dev questions decide."""
    english_weight: float | None = Field(None, ge=0)
    """Weight of the English texts, which map leaves where they are, relative to the others. None: the dev questions
    decide."""
    folds: int = Field(2, ge=2)
    """Into how many parts the rows are split. Each part is held out once to choose by, while maps are fitted on the
    others; in the end they are fitted on all rows. It is not used where a dev collection is given."""
    max_loss: float = Field(0.2, ge=0)
    """How much English and the monolingual mean may lose against the base, in points of nDCG@10 x 100."""
    seed: int = 0
    """Chooses the rows of each part."""
