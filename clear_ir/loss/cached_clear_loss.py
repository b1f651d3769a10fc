"""The CLEAR loss with sentence-transformers' gradient cache, for batches larger than memory."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import (
    CachedLossMixin,
    RandContext,
    _create_minibatch,
    _get_batch_size,
    has_static_embedding_input,
)
from sentence_transformers.util import cos_sim
from torch import Tensor
from tqdm.auto import tqdm

from clear_ir.loss.clear_loss import CLEARLoss, Step, default_num_tokens
from clear_ir.loss.packing import Packed
from clear_ir.loss.terms import Divergence
from clear_ir.loss.token_budget import choose_num_tokens, is_out_of_memory

#: Texts at once where columns cannot be packed, and so tokens not be counted.
UNPACKED_SIZE = 32
#: Scores held at once by the loss stage: a row of the batch has one for each passage or query.
SCORES_AT_ONCE = 2**20
#: ``auto`` does not go below this when memory runs out.
LEAST_NUM_TOKENS = 256

logger = logging.getLogger(__name__)


class _Replay:
    """Random numbers and autocast of a mini-batch's first pass, for its second.

    The second comes within ``backward()``, which a training loop calls outside its autocast block: it would be in
    full precision otherwise, slower and with gradients of other embeddings than those in the loss.
    """

    def __init__(self, features: dict[str, Any]) -> None:
        kind = next(value.device.type for value in features.values() if isinstance(value, Tensor))
        self.random_state = RandContext(*features.values())
        self.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)

    def __enter__(self) -> None:
        self._entered = ExitStack()
        self._entered.enter_context(torch.autocast(*self.autocast))
        self._entered.enter_context(self.random_state)

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)


class CachedCLEARLoss(CachedLossMixin, CLEARLoss):  # type: ignore[misc]  # the mixin wants mini_batch_size set
    """:class:`CLEARLoss` with a gradient cache (Gao et al., arXiv 2101.06983): large batches in bounded memory.

    Distinct texts, sorted by length, are embedded in mini-batches without gradients, the loss is taken over the
    whole batch and back-propagated to the embeddings, and the mini-batches are embedded again to pass the
    gradients on. Loss and gradients equal the plain loss's for every mini-batch size, dropout included. The scores
    are computed some rows at a time, so the loss stage's memory grows with B, not with B squared. A batch that fits
    one mini-batch is embedded once, without the cache.

    Args:
        model: As in :class:`CLEARLoss`, like all arguments not listed here.
        mini_batch_num_tokens: The one knob for memory: tokens, padding included, embedded at once. None takes
            1,024 on a CPU, where more is slower, and 8,192 elsewhere. ``"auto"`` measures rate and memory on the
            first batch, says what it chose, and halves it whenever memory runs out while embedding; the choice
            hangs on the machine's mood, so two runs may differ in the last digits. Rule of thumb for the memory in
            half precision: tokens x layers x hidden size x 34 bytes (Korthikanti et al., arXiv 2205.05198).
        mini_batch_size: Cut by number of texts instead, as sentence-transformers' cached losses do.
        show_progress_bar: Show a bar over the mini-batches of each step.

    Raises:
        ValueError: As :class:`CLEARLoss`; also for models with a ``StaticEmbedding``.
    """

    def __init__(  # noqa: PLR0913, keyword arguments as the losses of sentence-transformers have
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
        mini_batch_size: int | None = None,
        mini_batch_num_tokens: int | Literal["auto"] | None = None,
        deduplicate: bool = True,
        languages: Sequence[str] | None = None,
        guard: float = 0.0,
        divergence: Divergence = "kl",
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
            languages=languages,
            guard=guard,
            divergence=divergence,
        )
        if has_static_embedding_input(model):
            raise ValueError(
                "CachedCLEARLoss cannot cut the inputs of a StaticEmbedding model into mini-batches. "
                "Use CLEARLoss: such a model needs little memory."
            )
        for name, value in (("mini_batch_size", mini_batch_size), ("mini_batch_num_tokens", mini_batch_num_tokens)):
            if value is not None and value != "auto" and value < 1:
                raise ValueError(f"{name} is {value}; give a count >= 1.")
        self._auto = mini_batch_num_tokens == "auto"
        self._mini_batch_size = mini_batch_size
        # What the mixin cuts by; settled at the first batch, which tells the device.
        self.mini_batch_size = mini_batch_size or UNPACKED_SIZE
        self.mini_batch_num_tokens = None if mini_batch_num_tokens == "auto" else mini_batch_num_tokens
        # Not the mixin's show_progress_bar, which would be a bar for each of the columns it is handed.
        self._show_bar = show_progress_bar
        self._bar: Any = None
        self._in_step: Step | None = None

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """As :meth:`CLEARLoss.forward`; the gradients flow when the returned loss is back-propagated."""
        step = self._pack(list(sentence_features), labels)
        self._settle(step.packed)
        while True:
            means = copy.deepcopy(self._means)
            try:
                parts = self._mini_batches(step.packed)
                if torch.is_grad_enabled() and self._fits_one_pass(step.packed, parts):
                    return self._one_pass(step)
                self._in_step = step
                # What the mixin takes for columns: mini-batches of merged groups, and other groups, which it cuts.
                columns = [part for of_group in parts for part in of_group]
                total = len(columns) * (2 if torch.is_grad_enabled() else 1)
                self._bar = tqdm(total=total, desc="Embed mini-batches", disable=not self._show_bar)
                return self.forward_cached(columns, labels)
            except (RuntimeError, MemoryError) as error:
                if not (self._auto and self.mini_batch_num_tokens and is_out_of_memory(error)):
                    raise
                if self.mini_batch_num_tokens <= LEAST_NUM_TOKENS:
                    raise
            # No gradient has reached a parameter yet: those of the embeddings are made anew.
            self._means = means
            self.mini_batch_num_tokens //= 2
            logger.warning("mini_batch_num_tokens: out of memory; going on with %d.", self.mini_batch_num_tokens)

    def _settle(self, packed: Packed) -> None:
        """Choose the number of tokens, once, where it is left open."""
        if self.mini_batch_num_tokens is not None or not all(packed.merged):
            return  # inputs that cannot be packed may have no tokens to count
        if self._auto and torch.is_grad_enabled():
            model = getattr(self.model, "module", self.model)  # inside DistributedDataParallel
            self.mini_batch_num_tokens = choose_num_tokens(model, packed.groups[0])
        elif not self._auto and self._mini_batch_size is None:
            self.mini_batch_num_tokens = default_num_tokens(packed.groups[0]["input_ids"].device)

    def _fits_one_pass(self, packed: Packed, parts: list[list[dict[str, Any]]]) -> bool:
        """Whether a cache would save nothing: the whole batch is one mini-batch."""
        # MatryoshkaLoss replaces calculate_loss by a version that relies on the cache.
        return "calculate_loss" not in vars(self) and packed.merged == [True] and len(parts[0]) == 1

    def embed_minibatch(
        self,
        sentence_feature: dict[str, Any],
        begin: int,
        end: int,
        with_grad: bool,
        copy_random_state: bool,
        random_state: Any = None,
    ) -> tuple[Tensor, Any]:
        """As the mixin's, but a mini-batch keeps its width, and the second pass the first one's autocast."""
        whole = begin == 0 and end >= _get_batch_size(sentence_feature)
        features = dict(sentence_feature) if whole else _create_minibatch(sentence_feature, begin, end)
        replay = _Replay(features) if copy_random_state else None
        self._bar.update()
        with random_state or nullcontext(), torch.set_grad_enabled(with_grad):
            return self.model(features)["sentence_embedding"], replay

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss from the mini-batches' embeddings of each column in use.

        Args:
            reps: For each column that :meth:`forward` made, its mini-batches of shape (mini_batch_size, dim).
            labels: Ignored.
            with_backward: Also back-propagate into ``reps``, chunk by chunk, and return the loss detached.
        """
        assert self._in_step is not None
        embedded = torch.cat([part for of_column in reps for part in of_column])
        sizes = [_get_batch_size(group) for group in self._in_step.packed.groups]
        batch, first, count = self._batch(self._in_step, list(embedded.split(sizes)))
        # Gathered once and cut off from its graph: each chunk's gradients are added up here, and one
        # backward pass takes them through the gathering.
        leaf_of: dict[str, Any] = {}
        if with_backward:
            sides = {name: getattr(batch, name) for name in ("passages", "anchors", "queries")}
            leaf_of = {name: side.detach().requires_grad_() for name, side in sides.items() if side is not None}
        leaves = replace(batch, **leaf_of)
        total = torch.zeros((), device=batch.passages.device, dtype=batch.passages.dtype)
        # Scores of this many rows are held at once.
        at_once = self._mini_batch_size or max(1, SCORES_AT_ONCE // len(batch.passages))
        for begin in range(0, count, at_once):
            end = min(begin + at_once, count)
            own = torch.arange(first + begin, first + end, device=batch.passages.device)
            langs = None if self._in_step.langs is None else self._in_step.langs[begin:end]
            chunk = self._loss(leaves, own, count, langs)
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
            "mini_batch_size": self._mini_batch_size,
            "mini_batch_num_tokens": self.mini_batch_num_tokens,
        }
