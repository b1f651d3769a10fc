"""Queries trained alone: the passages are embedded by the encoder before training, once, and stay as they are.

The embeddings are in a file of the run that is mapped into memory. A passage of the training rows is known by its
number there: in a batch a passage stands as one token, its number, so no passage is tokenized or embedded again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from clear_ir.encode.model_loading import prompt_of
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.encode.two_encoders import side_of
from clear_ir.encode.vectors import row_blocks
from clear_ir.loss.packing import text_keys
from clear_ir.train.base_embeddings import keys_of
from clear_ir.train.processes import first_does

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

    from clear_ir.train.trainer import TrainingData

#: The route of passages, by which the columns of a batch are told apart.
_PASSAGES = "document"


@dataclass(frozen=True)
class FixedPassages:
    """Passages with the embeddings that they keep.

    Args:
        number_of: The number of each passage of the training rows, by its text. Texts that have the same tokens have
            one number.
        vectors: The embeddings by number, shape (num_passages, dim), float32.
        known_pairs: Keys of queries, and keys of the passages that answer them, as `clear_ir.CLEARLoss` takes them.
        shared: By number of a passage that has translations, and of these, the number that all of them share. Empty if
            passages are English alone.
    """

    number_of: dict[str, int]
    vectors: Tensor
    known_pairs: tuple[Tensor, Tensor]
    shared: Mapping[int, int] = field(default_factory=dict)

    def loss_arguments(self) -> dict[str, Any]:
        """The arguments of `clear_ir.CLEARLoss`."""
        keys = _keys_of_numbers(torch.arange(len(self.vectors)))
        arguments = {"passage_embeddings": (keys, self.vectors), "known_pairs": self.known_pairs}
        if self.shared:
            sides = torch.tensor(list(self.shared)), torch.tensor(list(self.shared.values()))
            arguments["same_passages"] = (_keys_of_numbers(sides[0]), _keys_of_numbers(sides[1]))
        return arguments

    def collator(
        self, model: SentenceTransformer, columns: Sequence[str], prompts: dict[str, str] | None
    ) -> SentenceTransformerDataCollator:
        """What makes batches of rows: queries are tokenized, passages become their numbers.

        Args:
            model: The encoder of queries.
            columns: The columns of passages.
            prompts: The prompts of the columns of queries.
        """
        from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

        def preprocess(texts: list[str], prompt: str | None = None, task: str | None = None) -> dict[str, Any]:
            if task != _PASSAGES:
                return dict(model.preprocess(texts, prompt=prompt))
            return _as_tokens(torch.tensor([self.number_of[text] for text in texts]))

        routes = dict.fromkeys(columns, _PASSAGES)
        return SentenceTransformerDataCollator(preprocess_fn=preprocess, router_mapping=routes, prompts=prompts)


def embed_passages(
    base: SentenceTransformer,
    model: SentenceTransformer,
    data: TrainingData,
    corpus: Sequence[str],
    folder: Path,
    cache: Path | None,
) -> FixedPassages:
    """Embed the passages of the training rows and of a corpus.

    Args:
        base: The encoder before training.
        model: The encoder of queries that is trained, before its first step.
        data: The training data.
        corpus: More passages.
        folder: The folder to keep the embeddings in, and to read them from when a run is resumed. It appears when they
            are complete.
        cache: Folder of embeddings that other runs and commands share; None for none.

    Returns:
        The passages.
    """
    of_rows = data.passages

    def compute() -> None:
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            partial.mkdir(exist_ok=True)
            _embed(base, [*of_rows, *corpus], partial, cache)
            partial.replace(folder)

    first_does(compute)
    numbers = np.load(folder / "numbers.npy")[: len(of_rows)].tolist()
    number_of = dict(zip(of_rows, numbers, strict=True))
    # Copied when written to, which never happens: torch warns of what it may not write to.
    vectors = torch.from_numpy(np.load(folder / "vectors.npy", mmap_mode="c"))
    shared = data.translated.shared_numbers(number_of) if data.translated else {}
    return FixedPassages(number_of, vectors, _known_pairs(model, data, number_of), shared)


def _embed(base: SentenceTransformer, texts: list[str], folder: Path, cache: Path | None) -> None:
    """Write the number of each text, and the embeddings by number."""
    with whole_vectors(base):
        keys = keys_of(side_of(base, "passage"), texts, prompt_of(base, "passage"))
        _, first, number_of_key = np.unique(keys.numpy(), return_index=True, return_inverse=True)
        # Numbers in the order of the texts, so that those of the rows come first.
        order = first.argsort()
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        np.save(folder / "numbers.npy", place[number_of_key])
        encoder = TextEncoder(base, cache=cache)
        vectors = encoder.encode([texts[i] for i in first[order].tolist()], "passage")
    file = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=vectors.shape)
    for block in row_blocks(*vectors.shape):
        file[block] = vectors[block]
    file.flush()


@contextmanager
def whole_vectors(model: SentenceTransformer) -> Iterator[None]:
    """Within the block an encoder does not cut its vectors: in training they are whole.

    Args:
        model: The encoder.
    """
    kept, model.truncate_dim = model.truncate_dim, None
    try:
        yield
    finally:
        model.truncate_dim = kept


def _known_pairs(model: SentenceTransformer, data: TrainingData, number_of: dict[str, int]) -> tuple[Tensor, Tensor]:
    """Each query of the rows with each passage that answers it.

    A translation is answered by all that answers its English query, in whichever row.
    """
    rows = list(zip(data.dataset["anchor"], data.dataset["cross_anchor"], data.dataset["positive"], strict=True))
    answers: dict[str, dict[int, None]] = defaultdict(dict)
    for english, _, passage in rows:
        answers[english][number_of[passage]] = None
    pairs: dict[tuple[str, int], None] = {}
    for english, translation, _ in rows:
        pairs |= {(query, number): None for query in (english, translation) for number in answers[english]}
    queries = list(dict.fromkeys(query for query, _ in pairs))
    keys = dict(zip(queries, keys_of(model, queries, prompt_of(model, "query")).tolist(), strict=True))
    query_keys = torch.tensor([keys[query] for query, _ in pairs], dtype=torch.int64)
    return query_keys, _keys_of_numbers(torch.tensor([number for _, number in pairs]))


def _as_tokens(numbers: Tensor) -> dict[str, Any]:
    """Passages as the features of texts of one token, their number."""
    return {"input_ids": numbers[:, None], "attention_mask": torch.ones_like(numbers)[:, None]}


def _keys_of_numbers(numbers: Tensor) -> Tensor:
    keys = text_keys(_as_tokens(numbers))
    assert keys is not None, "they have tokens"
    return keys
