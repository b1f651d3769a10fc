"""Backends: where texts are encoded. A backend takes distinct texts and gives their vectors, batch by batch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from clear_ir.data.files import InputError, reason_of
from clear_ir.encode.model_loading import Side, count_tokens, prompt_of

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

Precision = Literal["fp32", "bf16", "fp16"]

#: The default number of tokens encoded at once, without gradients. On a CPU more is slower: large buffers get fresh
#: memory pages each time.
NUM_TOKENS = {"cpu": 4096, "other": 65536}


class Backend(Protocol):
    """A place where texts are encoded."""

    def encode(
        self, model: SentenceTransformer, texts: Sequence[str], side: Side, precision: Precision
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Encode texts in any order.

        Args:
            model: The encoder.
            texts: Distinct texts.
            side: Whether the texts get the model's prompt for queries or for passages.
            precision: Precision of the model while it encodes.

        Yields:
            Some of the texts with their vectors, shape (num_texts, dim), as soon as they are encoded. Vectors have
            length 1 if the model compares by cosine.
        """


@dataclass(frozen=True)
class InProcess:
    """Encodes in this process, on the model's device.

    Args:
        batch_size: Texts per batch. None: as many as fit into `NUM_TOKENS` tokens, padding included.
    """

    batch_size: int | None = None

    def encode(
        self, model: SentenceTransformer, texts: Sequence[str], side: Side, precision: Precision
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """See `Backend`. The longest texts come first."""
        for batch in cut_batches(texts, cut_lengths(model, texts), model.device.type, self.batch_size):
            yield batch, encode_batch(model, batch, side, precision)


def cut_lengths(model: SentenceTransformer, texts: Sequence[str]) -> list[int]:
    """Number of tokens of each text, the model's maximum length at most.

    Args:
        model: The encoder.
        texts: The texts.
    """
    limit = model.max_seq_length or sys.maxsize
    return [min(length, limit) for length in count_tokens(model, texts)]


def cut_batches(
    texts: Sequence[str], lengths: Sequence[int], device: str, batch_size: int | None = None
) -> Iterator[list[str]]:
    """Batches of texts of similar length, so that padding is short.

    Args:
        texts: The texts.
        lengths: Number of tokens of each.
        device: The type of the device that encodes them, such as `cpu`.
        batch_size: Texts per batch. None: as many as fit into `NUM_TOKENS` tokens, padding included.

    Yields:
        Batches, the longest texts first: if a batch does not fit into memory, it fails at the start.
    """
    order = sorted(range(len(texts)), key=lengths.__getitem__, reverse=True)
    budget = NUM_TOKENS["cpu" if device == "cpu" else "other"]
    begin = 0
    while begin < len(order):
        size = batch_size or max(1, budget // max(1, lengths[order[begin]]))
        yield [texts[i] for i in order[begin : begin + size]]
        begin += size


def encode_batch(model: SentenceTransformer, batch: list[str], side: Side, precision: Precision) -> np.ndarray:
    """Encode one batch on the model's device; see `Backend`.

    Returns:
        Shape (num_texts, dim), float32.

    Raises:
        InputError: If the model has no embeddings for a token or a position.
    """
    encode = model.encode_query if side == "query" else model.encode_document
    with autocast(model, precision):
        try:
            vectors = encode(
                batch,
                prompt=prompt_of(model, side),
                batch_size=len(batch),
                show_progress_bar=False,
                normalize_embeddings=model.similarity_fn_name == "cosine",
                convert_to_numpy=True,
            )
        except IndexError as error:
            raise InputError(
                f"The model cannot encode a text ({reason_of(error)}): its vocabulary or its maximum length is "
                "larger than its embeddings; give a complete model folder."
            ) from error
    return np.asarray(vectors, dtype=np.float32)


def autocast(model: SentenceTransformer | CrossEncoder, precision: Precision) -> Any:
    """The context in which a model works in another precision than that of its weights.

    Args:
        model: The model, on its device.
        precision: The precision.
    """
    import torch

    if precision == "fp32":
        return nullcontext()
    return torch.autocast(model.device.type, torch.bfloat16 if precision == "bf16" else torch.float16)
