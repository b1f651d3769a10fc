"""Texts in, vectors out: every stage that encodes takes one `TextEncoder`."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.encode.backends import Backend, InProcess, Precision
from clear_ir.encode.cache import EmbeddingCache, default_cache
from clear_ir.encode.closing_maps import apply_maps, split_maps
from clear_ir.encode.model_loading import Side, weights_hash
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.two_encoders import side_of
from clear_ir.encode.vectors import TextVectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

#: No bar is shown for this number of texts or fewer.
MAX_TEXTS_WITHOUT_BAR = 128
#: Seconds between writes of new embeddings to the cache, so that an interrupted run loses little.
SAVE_INTERVAL = 60.0
#: Bytes of new embeddings that are written without waiting for that.
SAVE_BYTES = 2**25

logger = logging.getLogger(__name__)


def cache_of(settings: EncodingSettings) -> Path | None:
    """The folder of the embeddings cache that settings name; None for none."""
    return None if settings.no_cache else settings.cache or default_cache()


@dataclass(frozen=True)
class TextEncoder:
    """A model with all that its vectors depend on: prompts, similarity, precision, backend and cache.

    Args:
        model: The model. Do not change its weights or settings while this object is in use: their hash is computed
            only once.
        backend: Where texts are encoded.
        cache: Folder of embeddings, to read from and write to. None: no cache.
        precision: Precision of the model while it encodes.
        show_progress: Show bars with rate and remaining time.

    Raises:
        InputError: If the model's similarity is neither cosine nor dot product.

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
                f"The model compares by {self.model.similarity_fn_name}, but only cosine and dot are supported; use "
                "another model."
            )

    @classmethod
    def from_settings(cls, model: SentenceTransformer, settings: EncodingSettings) -> TextEncoder:
        """Make a text encoder from settings.

        Args:
            model: The model.
            settings: Batch size, precision, cache, and whether to encode on Ray.

        Returns:
            The text encoder.
        """
        cache = cache_of(settings)
        precision: Precision
        if settings.precision == "auto":
            from clear_ir.encode.precision import choose_precision

            precision, sentence = choose_precision(model, training=False)
            logger.warning("precision: auto chose %s", sentence)
        else:
            precision = settings.precision
        backend: Backend = InProcess(settings.batch_size)
        if settings.ray:
            from clear_ir.encode.ray_workers import RayWorkers

            backend = RayWorkers(settings.batch_size, settings.ray_address)
        return cls(model, backend, cache, precision)

    def with_model(self, model: SentenceTransformer) -> TextEncoder:
        """A text encoder with another model and the same backend, cache and precision."""
        return replace(self, model=model)

    def quiet(self) -> TextEncoder:
        """The same text encoder without bars."""
        return replace(self, show_progress=False)

    @cached_property
    def weights_hash(self) -> str:
        """See `clear_ir.encode.model_loading.weights_hash`."""
        return weights_hash(self.model)

    def encode(self, texts: Sequence[str], side: Side) -> np.ndarray:
        """Encode texts, each distinct text once.

        Args:
            texts: The texts; they may repeat.
            side: Whether they are queries or passages. The model's prompt for that side is used.

        Returns:
            Shape (num_texts, dim), float32. Rows have length 1 unless the model compares by dot product. A large matrix
            is in a file, see `clear_ir.encode.vectors.new_matrix`.

        Raises:
            InputError: If a vector is not finite: half precision overflowed, or the model is broken.
        """
        from tqdm.auto import tqdm

        if not len(texts):
            return np.empty((0, self.model.get_embedding_dimension() or 0), np.float32)
        vectors = TextVectors(texts, self.cache)
        model, maps = self._sides[side]
        store = self._store(side) if self.cache else None
        missing = self._read_known(store, vectors) if store else vectors.distinct
        unsaved: list[str] = []
        saved_at = time.monotonic()
        show_bar = self.show_progress and len(missing) > MAX_TEXTS_WITHOUT_BAR
        try:
            with tqdm(total=len(missing), desc=f"Encoding ({side})", unit=" texts", disable=not show_bar) as bar:
                # A backend that is asked for nothing may still start a cluster.
                batches = self.backend.encode(model, missing, side, self.precision) if missing else ()
                for batch, encoded in batches:
                    if not np.isfinite(encoded).all():
                        advice = "another model" if self.precision == "fp32" else "fp32"
                        raise InputError(
                            f"The model gives vectors that are no numbers (NaN or infinite) in {self.precision}; use "
                            f"{advice}.",
                            "precision",
                        )
                    vectors.put(batch, encoded)
                    unsaved += batch
                    bar.update(len(batch))
                    is_much = len(unsaved) * encoded.shape[1] * 4 >= SAVE_BYTES
                    if store and (is_much or time.monotonic() - saved_at > SAVE_INTERVAL):
                        store.add(unsaved, vectors.of(unsaved))
                        unsaved, saved_at = [], time.monotonic()
        finally:  # what an interrupted run has encoded is kept, too
            if store and unsaved:
                store.add(unsaved, vectors.of(unsaved))
        if store and store.unwritable:
            warnings.warn(
                f"The embeddings cannot be kept in {self.cache} ({store.unwritable}); they will be encoded again next "
                "time. Give another cache, or none.",
                stacklevel=2,
            )
        all_vectors = vectors.complete()
        apply_maps(maps, all_vectors)
        return all_vectors

    @staticmethod
    def _read_known(store: EmbeddingCache, vectors: TextVectors) -> list[str]:
        """Enter the vectors that the cache has; the other texts are returned."""
        texts = vectors.distinct
        known = np.zeros(len(texts), bool)
        for places, found in store.read(texts):
            vectors.put([texts[place] for place in places], found)
            known[places] = True
        if store.damaged:
            warnings.warn(
                f"These files of the cache are damaged. They were removed, and their texts are encoded again: "
                f"{', '.join(store.damaged)}",
                stacklevel=3,
            )
        return [text for text, is_known in zip(texts, known.tolist(), strict=True) if not is_known]

    def _store(self, side: Side) -> EmbeddingCache:
        """The part of the cache with this encoder's embeddings of queries, or of passages."""
        assert self.cache is not None
        return EmbeddingCache(self.cache, self._side_hash(side), side, self.precision)

    def _side_hash(self, side: Side) -> str:
        """The hash of one side's encoder without its maps: the base's, where that is all an adapted model changed.

        It reads all weights, so it is computed once, not for every question of a search.
        """
        if side not in self._side_hashes:
            model, _ = self._sides[side]
            self._side_hashes[side] = self.weights_hash if model is self.model else weights_hash(model)
        return self._side_hashes[side]

    @cached_property
    def _side_hashes(self) -> dict[Side, str]:
        """What `_side_hash` has computed."""
        return {}

    @cached_property
    def _sides(self) -> dict[Side, tuple[SentenceTransformer, list[nn.Module]]]:
        """The encoder of queries and that of passages, each without the maps that close it, and these maps."""
        return {side: split_maps(side_of(self.model, side)) for side in ("query", "passage")}
