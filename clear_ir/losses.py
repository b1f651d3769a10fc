"""The CLEAR loss for sentence-transformers, plain and with a gradient cache.

Both are thin: columns come in as the trainer hands them over, the mathematics is in
:mod:`clear_ir.objective`, the gradient cache is sentence-transformers' ``CachedLossMixin``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import (
    CachedLossMixin,
    _create_minibatch,
    _minibatch_ranges,
    has_static_embedding_input,
)
from sentence_transformers.util import all_gather, all_gather_with_grad, cos_sim, get_rank, similarity_fct_name
from torch import Tensor, nn

from clear_ir.objective import Batch, Weights, clear_terms
from clear_ir.packing import Packed, pack_columns, text_keys

#: Tokens embedded at once where all activations are kept anyway. On a CPU, larger buffers are fresh pages each time.
PASS_NUM_TOKENS = {"cpu": 2048, "other": 65536}
_COLUMNS = "anchor, positive, negative_1..n, cross_anchor, neg_query_1..m"


@dataclass(frozen=True)
class _Columns:
    """Where each kind of text stands among the columns, and which the weighted terms read."""

    positive: int
    negatives: range
    cross_anchor: int
    neg_queries: range
    used: tuple[int, ...]


@dataclass(frozen=True)
class _Step:
    """One batch on its way through the loss: layout, keys of the texts, packed texts."""

    columns: _Columns
    keys: dict[int, Tensor | None]
    packed: Packed


class CLEARLoss(nn.Module):
    """CLEAR: forward InfoNCE, reverse InfoNCE over the English passage, and the KL between them.

    ``loss = (1 - alpha - beta - gamma) * forward + alpha * reverse + beta * KL + gamma * cross``;
    the terms are defined in :mod:`clear_ir.objective`. With ``gamma=0`` this is the paper's loss.

    Two deviations keep known positives from being pushed away as negatives. Exact duplicates are always
    masked: a candidate with the text of the row's own, and the own text of another row with the same
    anchor. With ``false_negative_margin``, so are candidates that score higher than the row's own by more
    than the margin. A masked candidate leaves its InfoNCE term and both sides of the KL.

    Args:
        model: The encoder to train.
        alpha: Weight of the reverse term.
        beta: Weight of the KL term. 0 switches it off; the counts of negatives may then differ.
        gamma: Weight of the cross-lingual forward term, InfoNCE from cross_anchor to the passages.
        scale: 1 / temperature.
        similarity_fct: Maps (a, dim) and (b, dim) to (a, b).
        num_negatives: Number n of negative passages a row; the columns left after cross_anchor are its
            negative queries. None splits them evenly.
        gather_across_devices: Use the rows of all processes as candidates.
        false_negative_margin: In units of ``similarity_fct``, before scaling. None masks duplicates only.
        deduplicate: Embed a text that stands several times in the batch once. With dropout its copies then
            share one mask.

    Requirements:
        1. Columns in this order: anchor, positive, negative_1..n, cross_anchor, neg_query_1..m.
        2. With KL, m = n.

    Relations:
        - :class:`CachedCLEARLoss` computes the same loss and gradients in bounded memory.
        - ``alpha=0, beta=0, gamma=1`` is ``MultipleNegativesRankingLoss`` on (cross_anchor, positive,
          negatives), the paper's baseline; ``gamma=0.5`` adds the same on the English query. Columns that
          no term with a weight reads are not embedded.

    Example:
        ::

            loss = CLEARLoss(model)
            trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss)
            log_terms(trainer)  # the single terms in the training log
            trainer.train()

    References:
        - Lee et al., ACL 2026: https://arxiv.org/abs/2604.05821

    Raises:
        ValueError: For weights out of range, or columns that do not fit.
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
        deduplicate: bool = True,
    ) -> None:
        super().__init__()
        self.weights = Weights(alpha, beta, gamma)
        if num_negatives is not None and num_negatives < 0:
            raise ValueError(f"num_negatives is {num_negatives}; give a count >= 0, or None to split evenly.")
        self.model = model
        self.scale = scale
        self.similarity_fct = similarity_fct
        self.num_negatives = num_negatives
        self.gather_across_devices = gather_across_devices
        self.false_negative_margin = false_negative_margin
        self.deduplicate = deduplicate
        # The plain loss cuts by PASS_NUM_TOKENS; subclasses and tests may say otherwise.
        self.mini_batch_size: int | None = None
        self.mini_batch_num_tokens: int | None = None
        self._sums: dict[str, Tensor] = {}
        self._num_sums = 0.0

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """Compute the loss of one batch.

        Args:
            sentence_features: One dict of tokenized features a column; see Requirements.
            labels: Ignored; the rows pair the texts.

        Returns:
            The loss, a scalar.
        """
        step = self._pack(list(sentence_features))
        return self._one_pass(step)

    def _one_pass(self, step: _Step) -> Tensor:
        batch, first, count = self._batch(step, self._embed(step.packed))
        return self._loss(batch, torch.arange(first, first + count, device=batch.passages.device), count)

    def _pack(self, features: list[dict[str, Any]]) -> _Step:
        columns = self._columns(len(features))
        used = {column: features[column] for column in columns.used}
        keys = {column: text_keys(column_features) for column, column_features in used.items()}
        encoder = getattr(self.model, "module", self.model)  # inside DistributedDataParallel
        pad_id = getattr(getattr(encoder, "tokenizer", None), "pad_token_id", None) or 0
        return _Step(columns, keys, pack_columns(used, keys, pad_id, self.deduplicate))

    def _embed(self, packed: Packed) -> list[Tensor]:
        """Embed each group with gradients, rows of like length together, to waste little on padding."""
        embedded = []
        for group, merged in zip(packed.groups, packed.merged, strict=True):
            if not merged:
                embedded.append(self.model(group)["sentence_embedding"])
                continue
            tokens = self.mini_batch_num_tokens
            if tokens is None and self.mini_batch_size is None:
                tokens = PASS_NUM_TOKENS["cpu" if group["input_ids"].device.type == "cpu" else "other"]
            ranges = _minibatch_ranges(group, self.mini_batch_size or 1, tokens)
            parts = [self.model(_create_minibatch(group, *span))["sentence_embedding"] for span in ranges]
            embedded.append(torch.cat(parts))
        return embedded

    def _columns(self, count: int) -> _Columns:
        """Lay the columns out, or say why they do not fit."""
        rest = count - 3
        if rest < 0:
            raise ValueError(f"{type(self).__name__} needs the columns {_COLUMNS}, at least 3; it was given {count}.")
        negatives = self.num_negatives
        if negatives is None:
            if rest % 2:
                raise ValueError(
                    f"{type(self).__name__} was given {count} columns, which leaves {rest} negatives after anchor, "
                    f"positive and cross_anchor: an odd number. Give as many neg_query as negative columns "
                    f"({_COLUMNS} with m = n), or set beta=0 and num_negatives=n."
                )
            negatives = rest // 2
        queries = rest - negatives
        if queries < 0:
            raise ValueError(
                f"num_negatives={negatives} needs at least {3 + negatives} columns ({_COLUMNS}); "
                f"{type(self).__name__} was given {count}."
            )
        if self.weights.beta > 0 and queries != negatives:
            raise ValueError(
                f"The KL term pairs negatives by index, but {count} columns with num_negatives={negatives} hold "
                f"{negatives} negative passages and {queries} negative queries. Give equal numbers or set beta=0."
            )
        wanted = set(self.weights.by_term())
        cross_anchor = 2 + negatives
        used = {1}
        if wanted & {"forward", "kl"}:
            used.add(0)
        if wanted & {"forward", "kl", "cross"}:
            used.update(range(2, cross_anchor))
        if wanted & {"reverse", "kl", "cross"}:
            used.add(cross_anchor)
        if wanted & {"reverse", "kl"}:
            used.update(range(cross_anchor + 1, count))
        return _Columns(1, range(2, cross_anchor), cross_anchor, range(cross_anchor + 1, count), tuple(sorted(used)))

    def _batch(self, step: _Step, embedded: list[Tensor]) -> tuple[Batch, int, int]:
        """Put the columns together, from all devices if asked.

        Args:
            step: Layout, keys and packing of the columns.
            embedded: The embeddings of each group of the packing.

        Returns:
            The batch, the index of this device's first row in it, and this device's number of rows.
        """
        columns, keys = step.columns, step.keys
        embeddings = {column: embedded[group][rows] for column, (group, rows) in step.packed.places.items()}
        count = len(embeddings[columns.positive])
        gather = self.gather_across_devices and torch.distributed.is_available() and torch.distributed.is_initialized()

        def whole(column: int) -> Tensor:
            embedding = embeddings[column]
            # The loss stage is never computed in half precision.
            embedding = embedding if embedding.dtype == torch.float64 else embedding.float()
            return all_gather_with_grad(embedding) if gather else embedding

        def together(first: int, negatives: range) -> tuple[Tensor | None, Tensor | None]:
            present = [column for column in (first, *negatives) if column in columns.used]
            if not present:
                return None, None
            found = [key for column in present if (key := keys[column]) is not None]
            if gather:
                found = [all_gather(key) for key in found]
            key = torch.cat(found) if len(found) == len(present) else None
            return torch.cat([whole(column) for column in present]), key

        anchors, anchor_keys = together(0, range(0))
        passages, passage_keys = together(columns.positive, columns.negatives)
        queries, query_keys = together(columns.cross_anchor, columns.neg_queries)
        assert passages is not None
        world = torch.distributed.get_world_size() if gather else 1
        batch = Batch(count * world, passages, anchors, queries, passage_keys, anchor_keys, query_keys)
        return batch, get_rank() * count if gather else 0, count

    def _loss(self, batch: Batch, own: Tensor, count: int) -> Tensor:
        """The share of the rows ``own`` in the mean loss over ``count`` rows."""
        with torch.autocast(batch.passages.device.type, enabled=False):
            terms = clear_terms(
                batch,
                own,
                weights=self.weights,
                scale=self.scale,
                similarity=self.similarity_fct,
                margin=self.false_negative_margin,
            )
            shares = {name: values.sum() / count for name, values in terms.items()}
            if torch.is_grad_enabled():
                for name, share in shares.items():
                    self._sums[name] = self._sums.get(name, 0) + share.detach()
                self._num_sums += len(own) / count
            weights = self.weights.by_term()
            return torch.stack([weights[name] * share for name, share in shares.items()]).sum()

    def pop_terms(self) -> dict[str, float]:
        """Take the means of the terms over the training steps since the last call.

        Returns:
            ``{"clear/reverse": ..., "clear/reverse_weighted": ...}`` and so on for each term with a
            weight, of this process's rows; empty if there was no step.
        """
        weights = self.weights.by_term()
        means = {name: float(total) / self._num_sums for name, total in self._sums.items()}
        self._sums, self._num_sums = {}, 0
        named = {f"clear/{name}": mean for name, mean in means.items()}
        return named | {f"clear/{name}_weighted": weights[name] * mean for name, mean in means.items()}

    def get_config_dict(self) -> dict[str, Any]:
        """All hyperparameters, for model cards."""
        return {
            "alpha": self.weights.alpha,
            "beta": self.weights.beta,
            "gamma": self.weights.gamma,
            "scale": self.scale,
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            "num_negatives": self.num_negatives,
            "gather_across_devices": self.gather_across_devices,
            "false_negative_margin": self.false_negative_margin,
            "deduplicate": self.deduplicate,
        }

    @property
    def citation(self) -> str:
        """BibTeX of the paper."""
        return """
@inproceedings{lee-etal-2026-clear,
    title={{CLEAR}: Cross-Lingual Enhancement in Retrieval via Reverse-training},
    author={Lee, Seungyoon and Kim, Minhyuk and Hong, Seongtae and Jang, Youngjoon and Oh, Dongsuk and Lim, Heuiseok},
    booktitle={Proceedings of the 64th Annual Meeting of the Association for Computational Linguistics (Volume 1: Long Papers)},
    pages={347--362},
    year={2026},
    eprint={2604.05821},
    archivePrefix={arXiv}
}
"""  # noqa: E501


class CachedCLEARLoss(CachedLossMixin, CLEARLoss):
    """:class:`CLEARLoss` with a gradient cache (Gao et al., arXiv 2101.06983): large batches in bounded memory.

    Distinct texts, sorted by length, are embedded in mini-batches without gradients, the loss is taken over the whole batch and
    back-propagated to the embeddings, and the mini-batches are embedded again to pass the gradients on.
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
        deduplicate: bool = True,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
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
        self._in_step: _Step | None = None

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
        leaf_of: dict[str, Tensor] = {}
        if with_backward:
            sides = {name: getattr(batch, name) for name in ("passages", "anchors", "queries")}
            leaf_of = {name: side.detach().requires_grad_() for name, side in sides.items() if side is not None}
            leaves = Batch(
                batch.num_rows,
                leaf_of["passages"],
                leaf_of.get("anchors"),
                leaf_of.get("queries"),
                batch.passage_keys,
                batch.anchor_keys,
                batch.query_keys,
            )
        else:
            leaves = batch
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
