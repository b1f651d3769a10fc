"""The CLEAR loss with sentence-transformers' gradient cache, for batches larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import (
    CachedLossMixin,
    _minibatch_ranges,
    has_static_embedding_input,
)
from sentence_transformers.util import cos_sim
from torch import Tensor

from clear_ir.losses import CLEARLoss, Step
from clear_ir.packing import Packed


class CachedCLEARLoss(CachedLossMixin, CLEARLoss):  # type: ignore[misc]  # the mixin wants mini_batch_size set
    """:class:`CLEARLoss` with a gradient cache (Gao et al., arXiv 2101.06983): large batches in bounded memory.

    Distinct texts, sorted by length, are embedded in mini-batches without gradients, the loss is taken over the
    whole batch and back-propagated to the embeddings, and the mini-batches are embedded again to pass the
    gradients on.
    Loss and gradients equal the plain loss's for every mini-batch size, dropout included. The scores are
    computed ``mini_batch_size`` rows at a time, so the loss stage's memory grows with B, not with B squared.
    A batch that fits one mini-batch is embedded once, without the cache.

    Args:
        model: As in :class:`CLEARLoss`, like all arguments not listed here.
        mini_batch_size: Texts embedded at once, and rows scored at once. The larger the faster, the more
            memory.
        mini_batch_num_tokens: If set, texts are packed by this many non-padding tokens instead.
        show_progress_bar: Show a bar over the mini-batches of each step.

    Raises:
        ValueError: As :class:`CLEARLoss`; also for models with a ``StaticEmbedding``.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        alpha: float = 0.4,
        beta: float = 0.2,
        gamma: float = 0.0,
        scale: float = 20.0,
        similarity_fct: Callable[[Tensor, Tensor], Tensor] = cos_sim,
        num_negatives: int | None = None,
        gather_across_devices: bool = False,
        false_negative_margin: float | None = None,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        deduplicate: bool = True,
        show_progress_bar: bool = False,
    ) -> None:
        super().__init__(
            model,
            alpha=alpha,
            beta=beta,
            gamma=gamma,
            scale=scale,
            similarity_fct=similarity_fct,
            num_negatives=num_negatives,
            gather_across_devices=gather_across_devices,
            false_negative_margin=false_negative_margin,
            deduplicate=deduplicate,
        )
        if has_static_embedding_input(model):
            raise ValueError(
                "CachedCLEARLoss cannot cut the inputs of a StaticEmbedding model into mini-batches. "
                "Use CLEARLoss: such a model needs little memory."
            )
        for name, value in (("mini_batch_size", mini_batch_size), ("mini_batch_num_tokens", mini_batch_num_tokens)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give a count >= 1.")
        self.mini_batch_size = mini_batch_size
        self.mini_batch_num_tokens = mini_batch_num_tokens
        self.show_progress_bar = show_progress_bar
        self._in_step: Step | None = None

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """As :meth:`CLEARLoss.forward`; the gradients flow when the returned loss is back-propagated."""
        step = self._pack(list(sentence_features))
        if torch.is_grad_enabled() and self._fits_one_pass(step.packed):
            return self._one_pass(step)
        self._in_step = step
        return self.forward_cached(step.packed.groups, labels)

    def _fits_one_pass(self, packed: Packed) -> bool:
        """Whether a cache would save nothing: the whole batch is one mini-batch."""
        # MatryoshkaLoss replaces calculate_loss by a version that relies on the cache.
        if "calculate_loss" in vars(self) or packed.merged != [True]:
            return False
        return len(_minibatch_ranges(packed.groups[0], self.mini_batch_size, self.mini_batch_num_tokens)) == 1

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss from the mini-batches' embeddings of each column in use.

        Args:
            reps: For each group of packed texts, its mini-batches of shape (mini_batch_size, dim).
            labels: Ignored.
            with_backward: Also back-propagate into ``reps``, chunk by chunk, and return the loss detached.
        """
        assert self._in_step is not None
        batch, first, count = self._batch(self._in_step, [torch.cat(parts) for parts in reps])
        # Gathered once and cut off from its graph: each chunk's gradients are added up here, and one
        # backward pass takes them through the gathering.
        leaf_of: dict[str, Any] = {}
        if with_backward:
            sides = {name: getattr(batch, name) for name in ("passages", "anchors", "queries")}
            leaf_of = {name: side.detach().requires_grad_() for name, side in sides.items() if side is not None}
        leaves = replace(batch, **leaf_of)
        total = torch.zeros((), device=batch.passages.device, dtype=batch.passages.dtype)
        for begin in range(0, count, self.mini_batch_size):
            end = min(begin + self.mini_batch_size, count)
            own = torch.arange(first + begin, first + end, device=batch.passages.device)
            chunk = self._loss(leaves, own, count)
            if with_backward:
                chunk.backward()
                chunk = chunk.detach()
            total = total + chunk
        if with_backward:
            names = list(leaf_of)
            torch.autograd.backward([getattr(batch, name) for name in names], [leaf_of[name].grad for name in names])
        return total

    def get_config_dict(self) -> dict[str, Any]:
        """All hyperparameters, for model cards."""
        return super().get_config_dict() | {
            "mini_batch_size": self.mini_batch_size,
            "mini_batch_num_tokens": self.mini_batch_num_tokens,
        }
