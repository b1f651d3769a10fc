"""Embeddings that may be cut: a loss at several dimensions, and what the dev questions say of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clear_ir.data.files import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator


def chosen_dims(model: SentenceTransformer, dims: Sequence[int] | None) -> list[int]:
    """The dimensions to train, the encoder's own first.

    Args:
        model: The encoder.
        dims: The setting `matryoshka_dims`.

    Returns:
        The dimensions without repetitions, descending; empty if none were chosen.

    Raises:
        InputError: If the encoder has fewer.
    """
    if not dims:
        return []
    own = model.get_embedding_dimension()
    if own is None or max(dims) > own:
        raise InputError(
            f"matryoshka_dims has {max(dims)}, but the encoder's embeddings have {own or 'an unknown number of'} "
            "numbers; give fewer.",
            "matryoshka_dims",
            begins_with_setting=True,
        )
    return sorted({own, *dims}, reverse=True)


def at_dimensions(loss: nn.Module, model: SentenceTransformer, dims: Sequence[int] | None) -> nn.Module:
    """The sum of a loss over embeddings cut to several dimensions (Kusupati et al., NeurIPS 2022, arXiv 2205.13147).

    Args:
        loss: The loss.
        model: The encoder.
        dims: The setting `matryoshka_dims`.

    Returns:
        The loss of sentence-transformers for it; the loss itself without dimensions.
    """
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    chosen = chosen_dims(model, dims)
    return MatryoshkaLoss(model, loss, chosen) if chosen else loss  # type: ignore[no-untyped-call, unused-ignore]


def citations_of(loss: nn.Module) -> list[str]:
    """BibTeX of a loss and of those inside it."""
    found = (getattr(part, "citation", None) for part in loss.modules())
    return [citation for citation in found if isinstance(citation, str)]


def measure_dimensions(
    evaluator: CrossLingualEvaluator | None, model: SentenceTransformer
) -> dict[str, dict[str, dict[str, float]]]:
    """What the dev questions say of each dimension.

    Args:
        evaluator: The evaluator of the run, with its `dims`; None without dev questions.
        model: The encoder that is kept.

    Returns:
        `dimensions`: by dimension the primary mean of the `base` and of the `kept` encoder. Empty without dimensions.
    """
    if evaluator is None or not evaluator.dims:
        return {}
    kept = evaluator.means_by_dim(model)
    return {"dimensions": {str(dim): {"base": evaluator.base_by_dim[dim], "kept": kept[dim]} for dim in evaluator.dims}}


def describe_dimensions(measured: Mapping[str, Mapping[str, float]]) -> str:
    """One sentence on the dimensions.

    Args:
        measured: What `measure_dimensions` gives under `dimensions`.
    """
    parts = [
        f"{dim} numbers {100 * scores['kept']:.1f} ({100 * (scores['kept'] - scores['base']):+.1f})"
        for dim, scores in measured.items()
    ]
    return f"Mean nDCG@10 x 100 on the dev questions by dimension, and the change from the base: {', '.join(parts)}."
