"""The CLEAR loss with sentence-transformers' gradient cache, for batches larger than memory."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from tqdm.auto import tqdm

from clear_ir.loss.clear_loss import CLEARLoss, PackedBatch
from clear_ir.loss.packing import Packed
from clear_ir.loss.token_budget import NUM_TOKENS, choose_num_tokens, for_device, is_out_of_memory
from clear_ir.loss.upstream import (
    CachedLossMixin,
    RandContext,
    batch_size_of,
    cut_features,
    has_static_embedding_input,
)

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


class CachedCLEARLoss(CachedLossMixin, CLEARLoss):
    """:class:`CLEARLoss` with a gradient cache (Gao et al., arXiv 2101.06983): large batches in bounded memory.

    Distinct texts, sorted by length, are embedded in mini-batches without gradients, the loss is taken over the
    whole batch and back-propagated to the embeddings, and the mini-batches are embedded again to pass the
    gradients on. Loss and gradients equal the plain loss's for every mini-batch size, dropout included. The scores
    are computed some rows at a time, so the loss stage's memory grows with B, not with B squared. A batch that fits
    one mini-batch is embedded once, without the cache.

    Args:
        model: The encoder to train.
        args: As in :class:`CLEARLoss`, in its order.
        mini_batch_num_tokens: The one knob for memory: tokens, padding included, embedded at once. None takes
            1,024 on a CPU, where more is slower, and 8,192 elsewhere. ``"auto"`` measures rate and memory on the
            first batch, says what it chose, and halves it whenever memory runs out while embedding; the choice
            depends on the machine's load, so two runs may differ in the last digits. Rule of thumb for the memory in
            half precision: tokens x layers x hidden size x 34 bytes (Korthikanti et al., arXiv 2205.05198).
        mini_batch_size: Cut by number of texts instead, as sentence-transformers' cached losses do.
        show_progress_bar: Show a bar over the mini-batches of each step.
        kwargs: As in :class:`CLEARLoss`, by name.

    Raises:
        ValueError: As :class:`CLEARLoss`; also for models with a ``StaticEmbedding``.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *args: Any,
        mini_batch_num_tokens: int | Literal["auto"] | None = None,
        mini_batch_size: int | None = None,
        show_progress_bar: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, *args, **kwargs)
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
        self._packed_batch: PackedBatch | None = None

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """As :meth:`CLEARLoss.forward`; the gradients flow when the returned loss is back-propagated."""
        packed_batch = self._pack(list(sentence_features), labels)
        self._settle(packed_batch.packed)
        while True:
            means = copy.deepcopy(self._means)
            try:
                parts = self._mini_batches(packed_batch.packed)
                if torch.is_grad_enabled() and self._fits_one_pass(packed_batch.packed, parts):
                    return self._loss_in_one_pass(packed_batch)
                self._packed_batch = packed_batch
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
            self.mini_batch_num_tokens = for_device(NUM_TOKENS, packed.groups[0]["input_ids"].device)

    def _mini_batch_limits(self, group: dict[str, Any]) -> tuple[int, int | None]:
        """As :class:`CLEARLoss`'s, by the arguments."""
        return self.mini_batch_size, self.mini_batch_num_tokens

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
        uncut = begin == 0 and end >= batch_size_of(sentence_feature)
        features = dict(sentence_feature) if uncut else cut_features(sentence_feature, begin, end)
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
        packed_batch = self._packed_batch
        assert packed_batch is not None
        embedded = torch.cat([part for of_column in reps for part in of_column])
        sizes = [batch_size_of(group) for group in packed_batch.packed.groups]
        batch, first, count = self._gather(packed_batch, list(embedded.split(sizes)))
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
            rows = torch.arange(first + begin, first + end, device=batch.passages.device)
            langs = None if packed_batch.langs is None else packed_batch.langs[begin:end]
            chunk = self._loss(leaves, rows, count, langs)
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


def _joined_signature() -> inspect.Signature:
    """The arguments of :class:`CLEARLoss`, then those of the cached loss, for ``help`` and editors."""
    plain = inspect.signature(CLEARLoss)
    cached = inspect.signature(CachedCLEARLoss.__init__).parameters.values()
    added = [parameter for parameter in cached if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    *named, other_weights = plain.parameters.values()
    return plain.replace(parameters=[*named, *added, other_weights])


CachedCLEARLoss.__signature__ = _joined_signature()  # type: ignore[attr-defined]
