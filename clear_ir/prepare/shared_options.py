"""Options that several data sets have in common. A loader uses them as the types of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

Langs = Annotated[Sequence[str], Field(description="Languages beside English; or all.")]
Judge = Annotated[Literal["test", "dev"], Field(description="Split to test on; dev is for choosing settings.")]
