"""What encoding can be told, the same for every stage that encodes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from clear_ir.data.settings import Settings


class EncodingSettings(Settings):
    """How texts are encoded."""

    groups: ClassVar = {"batch_size": "Encoding"}

    batch_size: int | None = Field(None, ge=1)
    """Texts encoded at once. None: as many as make 4,096 tokens on a CPU, 65,536 elsewhere."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the encoder while it encodes; embeddings are always 32 bits."""
    cache: Path | None = None
    """Folder of embeddings. None: $CLEAR_IR_CACHE, or clear-ir in the user's cache folder."""
    no_cache: bool = Field(False, json_schema_extra={"flag": "--no-cache"})
    """Neither read embeddings from the cache nor keep them."""
