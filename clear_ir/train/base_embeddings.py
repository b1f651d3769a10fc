"""What the encoder before training makes of the texts that terms hold to it: computed once, before the first step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clear_ir.encode.architecture import routers
from clear_ir.encode.model_loading import Side, prompt_of
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.loss.packing import text_keys
from clear_ir.loss.vocabulary import tokenized
from clear_ir.train.processes import first_does

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_ir.train.trainer import TrainingData


def embed_by_base(
    model: SentenceTransformer, data: TrainingData, file: Path, columns: Collection[str] = ("anchor", "positive")
) -> tuple[Tensor, Tensor] | None:
    """Embed the texts that the guards hold in place, or the English queries that distil draws to.

    A translated passage has the embedding of its English original: the guard draws it there.

    The embeddings cache is not used: what it has was encoded beside other texts, and differs in the last digits. So a
    run would depend on what ran before it.

    Args:
        model: The encoder before training.
        data: The training data.
        file: Where the embeddings are kept, and read from when a run is resumed.
        columns: The columns of the texts, of `anchor`, `cross_anchor` and `positive`. Those of `anchor` come first.

    Returns:
        Keys of the tokenized texts and their embeddings, as `clear_ir.CLEARLoss` takes them; None for an encoder whose
        embeddings in training are others than in use: one that cuts them (`truncate_dim`), or that has routes.
    """
    if not has_known_base(model):
        return None

    def compute() -> None:
        if not file.exists():
            partial = file.with_suffix(".partial")
            save_file(_compute(model, data, columns), partial)
            partial.replace(file)

    first_does(compute)
    kept = load_file(file)
    return kept["keys"], kept["vectors"]


def has_known_base(model: SentenceTransformer) -> bool:
    """Whether the embeddings of an encoder in training are those in use, so that they can be computed before."""
    return model.truncate_dim is None and not routers(model)


def _compute(model: SentenceTransformer, data: TrainingData, columns: Collection[str]) -> dict[str, Tensor]:
    keys, vectors = [], []
    sides: list[tuple[str, Side]] = [("anchor", "query"), ("cross_anchor", "query"), ("positive", "passage")]
    for column, side in sides:
        if column not in columns:
            continue
        texts = list(dict.fromkeys(data.dataset[column]))
        embedded = torch.from_numpy(TextEncoder(model).encode(texts, side))
        if column == "positive" and data.translated:
            # Before the English texts: of texts with one key the last counts.
            row_of = {text: row for row, text in enumerate(texts)}
            english_of = data.translated.english_of
            vectors.append(embedded[[row_of[text] for text in english_of.values()]])
            keys.append(keys_of(model, list(english_of), prompt_of(model, side)))
        vectors.append(embedded)
        keys.append(keys_of(model, texts, prompt_of(model, side)))
    return {"keys": torch.cat(keys), "vectors": torch.cat(vectors)}


def keys_of(model: SentenceTransformer, texts: Sequence[str], prompt: str) -> Tensor:
    """The keys of texts as training tokenizes them.

    Args:
        model: The encoder.
        texts: The texts.
        prompt: The prompt before each; empty for none.

    Returns:
        Shape (num_texts,), see `clear_ir.loss.packing.text_keys`.
    """
    keys = []
    for features in tokenized(model, texts, prompt):
        part = text_keys(features)
        assert part is not None, "an encoder of texts has tokens"
        keys.append(part.cpu())
    return torch.cat(keys)
