"""A trainer that reads its checkpoints to the last digit."""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import SentenceTransformerTrainer

from clear_ir.encode.adapters import read_adapters


class ExactTrainer(SentenceTransformerTrainer):
    """The trainer of sentence-transformers, with adapters read as they were written, when a run is resumed too."""

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:  # type: ignore[override]
        super()._load_from_checkpoint(checkpoint_path)
        read_adapters(self.model, Path(checkpoint_path))
