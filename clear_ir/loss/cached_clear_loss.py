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
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from clear_ir.loss.clear_loss import CLEARLoss, PackedBatch
from clear_ir.loss.frozen_passages import SCORES_AT_ONCE
from clear_ir.loss.packing import Group, PackedColumns
from clear_ir.loss.private_names import (
    CachedLossMixin,
    RandContext,
    batch_size_of,
    cut_features,
    has_static_embedding_input,
)
from clear_ir.loss.token_budget import NUM_TOKENS, choose_num_tokens, for_device, is_out_of_memory
from clear_ir.loss.vocabulary import used_rows_of

#: Texts per mini-batch of a column that cannot be packed: its tokens cannot be counted.
UNPACKED_SIZE = 32
#: `auto` halves the number of tokens when memory runs out, but not below this.
MIN_NUM_TOKENS = 256

logger = logging.getLogger(__name__)


def _autocast_of(device_type: str) -> tuple[str, torch.dtype, bool]:
    """The arguments of the autocast that is in force."""
    return device_type, torch.get_autocast_dtype(device_type), torch.is_autocast_enabled(device_type)


class _Replay:
    """Repeats the random numbers and the autocast of a mini-batch's first pass in its second pass.

    The second pass runs inside `backward()`, which training loops call outside their autocast block. Without this, it
    would run in full precision: slower, and with gradients that do not belong to the embeddings in the loss.
    """

    def __init__(self, features: dict[str, Any]) -> None:
        device_type = next(value.device.type for value in features.values() if isinstance(value, Tensor))
        self.random_state = RandContext(*features.values())
        self.autocast = _autocast_of(device_type)

    def __enter__(self) -> None:
        self._entered = ExitStack()
        self._entered.enter_context(torch.autocast(*self.autocast))
        self._entered.enter_context(self.random_state)

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)


class CachedCLEARLoss(CachedLossMixin, CLEARLoss):
    """`CLEARLoss` with a gradient cache (Gao et al., arXiv 2101.06983): large batches in bounded memory.

    First, the distinct texts, sorted by length, are embedded in mini-batches without gradients. Then the loss of the
    batch is back-propagated to these embeddings. Last, the mini-batches are embedded again, and the gradients go on
    from the embeddings to the model. Loss and gradients equal those of the plain loss for every mini-batch size,
    dropout included. Scores are computed for some rows at a time, so their memory grows with B and not with B squared.
    A batch that fits into one mini-batch is embedded once, without the cache.

    Args:
        model: The encoder to train.
        args: As in `CLEARLoss`, in its order.
        mini_batch_num_tokens: Tokens embedded at once, padding included. This decides how much memory training needs.
            None: 1,024 on a CPU, where more is slower; 8,192 on other devices. `"auto"`: measured on the first batch,
            logged, and halved whenever memory runs out, in the first pass or the second. The measurement depends on the
            load of the machine, so two runs may differ in the last digits. Rule of thumb for the memory in half
            precision: tokens x layers x hidden size x 34 bytes (Korthikanti et al., arXiv 2205.05198).
        mini_batch_size: Texts embedded at once, as in sentence-transformers' cached losses. None: count tokens instead.
        show_progress_bar: Show a bar over the mini-batches of each step.
        kwargs: As in `CLEARLoss`, by name.

    Raises:
        ValueError: As in `CLEARLoss`; also for a model with a `StaticEmbedding`.
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
        # The mixin cuts by these. The number of tokens is set at the first batch, whose device is known.
        self.mini_batch_size = mini_batch_size or UNPACKED_SIZE
        self.mini_batch_num_tokens = None if mini_batch_num_tokens == "auto" else mini_batch_num_tokens
        # Not the mixin's show_progress_bar: that shows one bar for each of the columns that it gets.
        self._show_bar = show_progress_bar
        self._bar: Any = None
        self._packed_batch: PackedBatch | None = None

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """As `CLEARLoss.forward`. The second pass runs when the returned loss is back-propagated."""
        packed_batch = self._pack(list(sentence_features), labels)
        self._set_num_tokens(packed_batch.packed)
        loss = self._first_pass(packed_batch, labels)
        two_passes = torch.is_grad_enabled() and self._packed_batch is packed_batch
        # With other processes, each step must exchange the same gradients at the same points.
        if not two_passes or isinstance(self.model, DistributedDataParallel):
            return loss
        return self._with_own_second_pass(loss, packed_batch, labels)

    def _first_pass(self, packed_batch: PackedBatch, labels: Tensor | None) -> Tensor:
        """The loss, whose second pass runs when it is back-propagated; or that of one pass, where one is enough."""
        while True:  # until a number of tokens fits into memory
            means = copy.deepcopy(self._means)
            try:
                parts = self._mini_batches(packed_batch.packed)
                if torch.is_grad_enabled() and self._fits_one_pass(packed_batch.packed, parts):
                    return self._loss_in_one_pass(packed_batch)
                self._packed_batch = packed_batch
                # The mixin takes each of these for a column: the mini-batches of merged groups, and the other groups,
                # which it cuts into mini-batches.
                columns = [part for of_group in parts for part in of_group]
                total = len(columns) * (2 if torch.is_grad_enabled() else 1)
                self._bar = tqdm(total=total, desc="Embed mini-batches", disable=not self._show_bar)
                return self.forward_cached(columns, labels)
            except (RuntimeError, MemoryError) as error:
                if not self._can_halve(error):
                    raise
            # Nothing else has to be undone: no parameter has a gradient yet, and the embeddings are computed again.
            self._means = means
            self._halve()

    def _with_own_second_pass(self, loss: Tensor, packed_batch: PackedBatch, labels: Tensor | None) -> Tensor:
        """A loss of the same value, whose second pass adds to an embedding table only the rows that it looks up.

        Where memory runs out in that pass, the step is done again with fewer tokens. If there are gradients of an
        earlier batch, running out of memory stays an error: they could not be told from those of this batch.
        """
        autocast = _autocast_of(loss.device.type)
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        chance = loss.detach().requires_grad_()

        def second_pass(gradient: Tensor) -> None:
            attempt, tables = loss, used_rows_of(self.model)
            fresh = all(parameter.grad is None for parameter in parameters)
            while True:
                try:
                    with ExitStack() as sparsely:
                        for table in tables:
                            sparsely.enter_context(table.sparse_gradients())
                        attempt.backward(gradient)
                    return
                except (RuntimeError, MemoryError) as error:
                    if not (fresh and self._can_halve(error)):
                        raise
                for parameter in parameters:
                    parameter.grad = None
                self._halve()
                means = copy.deepcopy(self._means)
                with torch.enable_grad(), torch.autocast(*autocast):
                    attempt = self._first_pass(packed_batch, labels)
                self._means = means  # the log has the terms of this batch already

        chance.register_hook(second_pass)
        return chance

    def _can_halve(self, error: BaseException) -> bool:
        """Whether memory ran out and fewer tokens at once may help."""
        tokens = self.mini_batch_num_tokens
        return self._auto and tokens is not None and tokens > MIN_NUM_TOKENS and is_out_of_memory(error)

    def _halve(self) -> None:
        assert self.mini_batch_num_tokens is not None
        self.mini_batch_num_tokens //= 2
        logger.warning("mini_batch_num_tokens: out of memory; going on with %d.", self.mini_batch_num_tokens)

    def _set_num_tokens(self, packed: PackedColumns) -> None:
        """Set the number of tokens at the first batch, unless an argument gives it."""
        if self.mini_batch_num_tokens is not None or not all(group.merged for group in packed.groups):
            return  # columns that cannot be packed may have no tokens to count
        if self._auto and torch.is_grad_enabled():
            model = getattr(self.model, "module", self.model)  # inside DistributedDataParallel
            self.mini_batch_num_tokens = choose_num_tokens(model, packed.groups[0])
        elif not self._auto and self._mini_batch_size is None:
            self.mini_batch_num_tokens = for_device(NUM_TOKENS, packed.groups[0].features["input_ids"].device)

    def _mini_batch_limits(self, group: Group) -> tuple[int, int | None]:
        """As in `CLEARLoss`, but from the arguments."""
        return self.mini_batch_size, self.mini_batch_num_tokens

    def _fits_one_pass(self, packed: PackedColumns, parts: list[list[dict[str, Any]]]) -> bool:
        """Whether the batch is a single mini-batch, so that a cache would save no memory."""
        # Not if MatryoshkaLoss has replaced calculate_loss on this object: its version needs the cache. And not if
        # processes exchange gradients: all must do so at the same points, but each has a batch of its own.
        return (
            "calculate_loss" not in vars(self)
            and not isinstance(self.model, DistributedDataParallel)
            and [group.merged for group in packed.groups] == [True]
            and len(parts[0]) == 1
        )

    def embed_minibatch(
        self,
        sentence_feature: dict[str, Any],
        begin: int,
        end: int,
        with_grad: bool,
        copy_random_state: bool,
        random_state: Any = None,
    ) -> tuple[Tensor, Any]:
        """As the mixin's, with two differences.

        A mini-batch that is not cut keeps its width. The second pass has the autocast of the first.
        """
        uncut = begin == 0 and end >= batch_size_of(sentence_feature)
        features = dict(sentence_feature) if uncut else cut_features(sentence_feature, begin, end)
        replay = _Replay(features) if copy_random_state else None
        self._bar.update()
        with random_state or nullcontext(), torch.set_grad_enabled(with_grad):
            return self.model(features)["sentence_embedding"], replay

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Compute the loss from embeddings; the mixin calls this.

        Args:
            reps: For each column that `forward` gave to the mixin, the embeddings of its mini-batches, each of
                shape (mini_batch_size, dim).
            labels: Ignored.
            with_backward: Also back-propagate into `reps`, chunk by chunk, and return the loss detached.

        Returns:
            The loss, a scalar.
        """
        packed_batch = self._packed_batch
        assert packed_batch is not None
        embedded = torch.cat([part for of_column in reps for part in of_column])
        sizes = [len(group) for group in packed_batch.packed.groups]
        batch, first, count = self._gather(packed_batch, list(embedded.split(sizes)))
        # The chunks read detached copies ("leaves") of the gathered embeddings, so that their backward passes stop here
        # and add up the gradients. One pass at the end takes the sums back through the gathering: otherwise every chunk
        # would exchange gradients between devices.
        leaf_of: dict[str, Any] = {}
        if with_backward:
            sides = {name: getattr(batch, name) for name in ("passages", "anchors", "queries")}
            # Fixed passages have no gradient.
            trained = {name: side for name, side in sides.items() if side is not None and side.requires_grad}
            leaf_of = {name: side.detach().requires_grad_() for name, side in trained.items()}
        leaves = replace(batch, **leaf_of)
        total = torch.zeros((), device=batch.passages.device, dtype=batch.passages.dtype)
        chunk_size = self._mini_batch_size or max(1, SCORES_AT_ONCE // len(batch.passages))
        for begin in range(0, count, chunk_size):
            end = min(begin + chunk_size, count)
            rows = torch.arange(first + begin, first + end, device=batch.passages.device)
            langs = None if packed_batch.langs is None else packed_batch.langs[begin:end]
            chunk_loss = self._loss(leaves, rows, count, langs)
            if with_backward:
                chunk_loss.backward()
                chunk_loss = chunk_loss.detach()
            total = total + chunk_loss
        if with_backward:
            # A side that is but a target, such as English in `kl-detached` alone, has no gradient.
            names = [name for name, leaf in leaf_of.items() if leaf.grad is not None]
            torch.autograd.backward([getattr(batch, name) for name in names], [leaf_of[name].grad for name in names])
        return total

    def get_config_dict(self) -> dict[str, Any]:
        """All hyperparameters, for model cards."""
        return super().get_config_dict() | {
            "mini_batch_size": self._mini_batch_size,
            "mini_batch_num_tokens": self.mini_batch_num_tokens,
        }


def _joined_signature() -> inspect.Signature:
    """The arguments of `CLEARLoss`, then those of the cached loss. `help()` and editors show it."""
    plain = inspect.signature(CLEARLoss)
    cached = inspect.signature(CachedCLEARLoss.__init__).parameters.values()
    added = [parameter for parameter in cached if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    *named, other_weights = plain.parameters.values()
    return plain.replace(parameters=[*named, *added, other_weights])


CachedCLEARLoss.__signature__ = _joined_signature()  # type: ignore[attr-defined]
