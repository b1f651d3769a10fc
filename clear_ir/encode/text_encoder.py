"""Texts in, vectors out: the one object that is handed to all that encodes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.encode.backends import Backend, InProcess, Precision, Side
from clear_ir.encode.cache import EmbeddingCache, default_cache
from clear_ir.encode.models import weights_hash
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: With fewer texts to encode no bar is shown.
BAR_FROM = 128
#: Seconds after which new embeddings go to the cache, so that an interrupted run loses little.
KEPT_EVERY = 60.0


@dataclass(frozen=True)
class TextEncoder:
    """A model with all that decides how its texts become vectors: prompts, similarity, precision, place and cache.

    Args:
        model: The model. Change neither its weights nor its settings while this object is in use: their hash is
            taken once.
        backend: Where texts are encoded.
        cache: Folder of embeddings to read from and add to; None keeps nothing.
        precision: Of the model while it encodes.
        show_progress: Show bars with rate and remaining time.

    Raises:
        InputError: If the model compares by another function than cosine or dot product.

    Example:
        ::

            encoder = TextEncoder(SentenceTransformer("BAAI/bge-m3"), cache=Path("embeddings"))
            vectors = encoder.encode(["Where is the river?"], "query")  # shape (1, dim)
    """

    model: SentenceTransformer
    backend: Backend = field(default_factory=InProcess)
    cache: Path | None = None
    precision: Precision = "fp32"
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.model.similarity_fn_name not in ("cosine", "dot"):
            raise InputError(
                f"The model compares by {self.model.similarity_fn_name}; only cosine and dot are supported."
            )

    @classmethod
    def from_settings(cls, model: SentenceTransformer, settings: EncodingSettings) -> TextEncoder:
        """A text encoder as the settings of a command say.

        Args:
            model: The model.
            settings: Batch size, precision, cache.

        Returns:
            The text encoder.
        """
        cache = None if settings.no_cache else settings.cache or default_cache()
        return cls(model, InProcess(settings.batch_size), cache, settings.precision)

    def with_model(self, model: SentenceTransformer) -> TextEncoder:
        """The same for another model."""
        return replace(self, model=model)

    def quiet(self) -> TextEncoder:
        """The same without bars."""
        return replace(self, show_progress=False)

    @cached_property
    def weights_hash(self) -> str:
        """See :func:`clear_ir.encode.models.weights_hash`."""
        return weights_hash(self.model)

    def encode(self, texts: Sequence[str], side: Side) -> np.ndarray:
        """Encode texts, each distinct one once, with the model's prompt for its side.

        Args:
            texts: The texts, repeats allowed.
            side: Whether they are queries or passages.

        Returns:
            Shape (num_texts, dim), float32; rows have length 1 unless the model compares by dot product.
        """
        from tqdm.auto import tqdm

        distinct = list(dict.fromkeys(texts))
        store = self._store(side) if self.cache else None
        vectors = store.get(distinct) if store else {}
        if store and store.damaged:
            warnings.warn(f"Damaged in the cache, removed, encoded again: {', '.join(store.damaged)}", stacklevel=2)
        missing = [text for text in distinct if text not in vectors]
        fresh: list[str] = []
        kept_at = time.monotonic()
        shown = self.show_progress and len(missing) > BAR_FROM
        with tqdm(total=len(missing), desc=f"Encoding ({side})", unit=" texts", disable=not shown) as bar:
            for batch, encoded in self.backend.encode(self.model, missing, side, self.precision):
                vectors.update(zip(batch, encoded, strict=True))
                fresh += batch
                bar.update(len(batch))
                if store and time.monotonic() - kept_at > KEPT_EVERY:
                    store.add(fresh, np.stack([vectors[text] for text in fresh]))
                    fresh, kept_at = [], time.monotonic()
        if store and fresh:
            store.add(fresh, np.stack([vectors[text] for text in fresh]))
        if not distinct:
            return np.empty((0, self.model.get_embedding_dimension() or 0), np.float32)
        return np.stack([vectors[text] for text in texts])

    def _store(self, side: Side) -> EmbeddingCache:
        """The part of the cache that holds what this encoder makes of texts on this side."""
        assert self.cache is not None
        return EmbeddingCache(self.cache, self.weights_hash, side, self.precision)
