"""Settings of encoding, the same for every stage that encodes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from clear_ir.data.settings import Settings


class EncodingSettings(Settings):
    """How texts are encoded."""

    groups: ClassVar[dict[str, str]] = {"batch_size": "Encoding"}

    batch_size: int | None = Field(None, ge=1)
    """Texts encoded at once. None: as many as fit into 4,096 tokens on a CPU, 65,536 tokens on other devices."""
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"
    """Precision of the model while it encodes. The embeddings are always float32. auto: the faster one; on a CPU it is
    measured."""
    cache: Path | None = None
    """Folder where embeddings are stored, so that no text is encoded twice. None: $CLEAR_IR_CACHE if it is set, else
    clear-ir/embeddings in the user's cache folder."""
    no_cache: bool = Field(False, json_schema_extra={"flag": "--no-cache"})
    """Do not use the cache: read no embeddings from it and write none to it."""
    ray: bool = Field(False, json_schema_extra={"flag": "--ray"})
    """Encode on workers of Ray, one for each GPU, or for each core where there is no GPU. Needs the extra ray."""
    ray_address: str | None = None
    """The running Ray cluster to use, such as 10.0.0.1:6379, or auto for that of this machine. None: $RAY_ADDRESS if it
    is set, else Ray is started on this machine alone, and ends with the command."""

    @model_validator(mode="after")
    def _fits_together(self) -> EncodingSettings:
        if self.ray_address and not self.ray:
            raise ValueError("ray_address is only used together with ray; switch ray on")
        if self.ray and self.precision == "auto":
            raise ValueError("precision auto measures this machine, not the workers of ray; name a precision")
        return self
