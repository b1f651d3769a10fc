"""The CLEAR loss for sentence-transformers.

It is thin: columns come in as the trainer hands them over, :mod:`clear_ir.loss.packing` puts their texts together,
the mathematics is in :mod:`clear_ir.loss.terms`.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import all_gather, all_gather_with_grad, cos_sim, get_rank, similarity_fct_name
from torch import Tensor, nn

from clear_ir.loss import Divergence
from clear_ir.loss.columns import Columns, lay_out
from clear_ir.loss.packing import Packed, mini_batches, pack_columns, text_keys
from clear_ir.loss.term_log import TermMeans
from clear_ir.loss.terms import Batch, Rows, Weights, clear_terms
from clear_ir.loss.token_budget import NUM_TOKENS, for_device

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackedBatch:
    """One batch on its way through the loss.

    Args:
        columns: Layout of its columns.
        keys: Of the texts of each column, see :func:`clear_ir.loss.packing.text_keys`.
        packed: The texts of all columns, to be embedded.
        langs: Shape (batch_size,): each row's language; None where they are not logged.
        for_base: The texts that the frozen base embeds; None where no term asks for it.
    """

    columns: Columns
    keys: dict[int, Tensor | None]
    packed: Packed
    langs: Tensor | None = None
    for_base: Packed | None = None


class CLEARLoss(nn.Module):
    """CLEAR: forward InfoNCE, reverse InfoNCE over the English passage, and the KL between them.

    ``loss = (1 - alpha - beta - gamma) * forward + alpha * reverse + beta * KL + gamma * cross + guard * guard term``;
    the terms are defined in :mod:`clear_ir.loss.terms`. With ``gamma=0`` this is the paper's loss.

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
        languages: Names of languages, to log the loss of each apart; a column ``label`` of the data then holds each
            row's language as a number that counts through them. None ignores labels.
        guard: Weight of the term that keeps English queries and passages where the encoder, as it is handed over,
            has them: a frozen copy embeds them in each step. 0 makes no copy.
        divergence: What stands in the KL's place, see :data:`clear_ir.loss.Divergence`.
        other_weights: Weights of terms that :data:`clear_ir.loss.terms.TERMS` has beside these, by name.

    Requirements:
        1. Columns in this order: anchor, positive, negative_1..n, cross_anchor, neg_query_1..m.
        2. With KL, m = n.

    Relations:
        - :class:`clear_ir.loss.cached_clear_loss.CachedCLEARLoss` computes the same loss and gradients in bounded
          memory.
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
        deduplicate: bool = True,
        languages: Sequence[str] | None = None,
        guard: float = 0.0,
        divergence: Divergence = "kl",
        **other_weights: float,
    ) -> None:
        super().__init__()
        self.weights = Weights(alpha=alpha, beta=beta, gamma=gamma, guard=guard, **other_weights)
        if divergence not in get_args(Divergence):
            raise ValueError(f"divergence is {divergence!r}; give one of {', '.join(get_args(Divergence))}.")
        if num_negatives is not None and num_negatives < 0:
            raise ValueError(f"num_negatives is {num_negatives}; give a count >= 0, or None to split evenly.")
        self.model = model
        self.scale = scale
        self.similarity_fct = similarity_fct
        self.num_negatives = num_negatives
        self.gather_across_devices = gather_across_devices
        self.false_negative_margin = false_negative_margin
        self.deduplicate = deduplicate
        self.languages = list(languages or [])
        self.divergence = divergence
        self.freeze_base()
        self._warned_of_unpacked = False
        self._means = TermMeans(self.weights.by_term(), self.languages)

    def freeze_base(self) -> None:
        """Take the encoder as it is now for the frozen base; done when the loss is made."""
        #: Columns that a term compares with what the frozen base makes of them.
        self._base_columns = sorted({column for term in self.weights.terms for column in term.reads_base})
        # In a list, so that it is no part of this module: the trainer would train and save it.
        self._base = [copy.deepcopy(self.model).eval().requires_grad_(False)] if self._base_columns else []

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """Compute the loss of one batch.

        Args:
            sentence_features: One dict of tokenized features a column; see Requirements.
            labels: Shape (batch_size,): each row's language, see ``languages``; otherwise ignored.

        Returns:
            The loss, a scalar.
        """
        return self._loss_in_one_pass(self._pack(list(sentence_features), labels))

    def _loss_in_one_pass(self, packed_batch: PackedBatch) -> Tensor:
        batch, first, count = self._gather(packed_batch, self._embed(packed_batch.packed))
        rows = torch.arange(first, first + count, device=batch.passages.device)
        return self._loss(batch, rows, count, packed_batch.langs)

    def _pack(self, features: list[dict[str, Any]], labels: Tensor | None = None) -> PackedBatch:
        """Lay the columns out and put the texts of those in use together."""
        columns = lay_out(len(features), self.weights, self.num_negatives)
        used = {column: features[column] for column in columns.used}
        keys = {column: text_keys(column_features) for column, column_features in used.items()}
        encoder = getattr(self.model, "module", self.model)  # inside DistributedDataParallel
        pad_id = getattr(getattr(encoder, "tokenizer", None), "pad_token_id", None) or 0
        packed = pack_columns(used, keys, pad_id, self.deduplicate)
        if not (self._warned_of_unpacked or all(packed.merged)):
            self._warned_of_unpacked = True
            logger.warning(
                "%d of %d columns are embedded on their own, padded and with repeats: flattened inputs, images and "
                "left padding cannot be put together.",
                packed.merged.count(False),
                len(used),
            )
        for_base = None
        if self._base:
            compared = {number: used[number] for number in (getattr(columns, name) for name in self._base_columns)}
            for_base = pack_columns(compared, keys, pad_id, self.deduplicate)
        return PackedBatch(columns, keys, packed, labels if self.languages else None, for_base)

    def _embed(self, packed: Packed, model: nn.Module | None = None) -> list[Tensor]:
        """Embed each group, rows of like length together, to waste little on padding."""
        model = model or self.model
        return [
            torch.cat([model(part)["sentence_embedding"] for part in parts]) for parts in self._mini_batches(packed)
        ]

    def _mini_batches(self, packed: Packed) -> list[list[dict[str, Any]]]:
        """The mini-batches of each group; a group that is not merged is one."""
        return [
            mini_batches(group, *self._mini_batch_limits(group)) if merged else [group]
            for group, merged in zip(packed.groups, packed.merged, strict=True)
        ]

    def _mini_batch_limits(self, group: dict[str, Any]) -> tuple[int, int | None]:
        """Texts and tokens of a mini-batch; where tokens are given, texts do not count."""
        return 1, for_device(NUM_TOKENS, group["input_ids"].device)

    def _gather(self, packed_batch: PackedBatch, embedded: list[Tensor]) -> tuple[Batch, int, int]:
        """Put the columns side by side, from all devices if asked.

        Args:
            packed_batch: Layout, keys and packing of the columns.
            embedded: The embeddings of each group of the packing.

        Returns:
            The batch, the number of this device's first row in it, and this device's number of rows.
        """
        columns, keys = packed_batch.columns, packed_batch.keys
        embeddings = {column: embedded[group][rows] for column, (group, rows) in packed_batch.packed.places.items()}
        count = len(embeddings[columns.positive])
        gather = self.gather_across_devices and torch.distributed.is_available() and torch.distributed.is_initialized()

        def side(first: int, negatives: range) -> tuple[Tensor | None, Tensor | None]:
            """Embeddings and keys of the columns of one side that are in use."""
            present = [column for column in (first, *negatives) if column in columns.used]
            if not present:
                return None, None
            vectors = [_full_precision(embeddings[column]) for column in present]
            known_keys = [key for column in present if (key := keys[column]) is not None]
            if gather:
                vectors = [all_gather_with_grad(vector) for vector in vectors]
                known_keys = [all_gather(key) for key in known_keys]
            return torch.cat(vectors), torch.cat(known_keys) if len(known_keys) == len(present) else None

        anchors, anchor_keys = side(columns.anchor, range(0))
        passages, passage_keys = side(columns.positive, columns.negatives)
        queries, query_keys = side(columns.cross_anchor, columns.neg_queries)
        assert passages is not None
        world = torch.distributed.get_world_size() if gather else 1
        base = self._embed_by_base(packed_batch, passages, gather)
        batch = Batch(count * world, passages, anchors, queries, passage_keys, anchor_keys, query_keys, base)
        return batch, get_rank() * count if gather else 0, count

    @torch.no_grad()
    def _embed_by_base(self, packed_batch: PackedBatch, like: Tensor, gather: bool) -> dict[str, Tensor]:
        """The columns that a term compares, of all devices if asked, as the frozen base has them."""
        packed = packed_batch.for_base
        if packed is None:
            return {}
        embedded = self._embed(packed, self._base[0].to(like.device))
        base = {}
        for name in self._base_columns:
            group, rows = packed.places[getattr(packed_batch.columns, name)]
            # Within MatryoshkaLoss the first dimensions are compared.
            vectors = _full_precision(embedded[group][rows, : like.shape[1]])
            base[name] = all_gather(vectors) if gather else vectors
        return base

    def _loss(self, batch: Batch, rows: Tensor, count: int, langs: Tensor | None = None) -> Tensor:
        """The share of ``rows``, whose languages are ``langs``, in the mean loss over ``count`` rows."""
        with torch.autocast(batch.passages.device.type, enabled=False):
            chosen = Rows(
                batch,
                rows,
                scale=self.scale,
                similarity=self.similarity_fct,
                margin=self.false_negative_margin,
                kind=self.divergence,
            )
            terms = clear_terms(chosen, self.weights)
            if torch.is_grad_enabled():
                self._means.add(terms, count, langs)
            weights = self.weights.by_term()
            return torch.stack([weights[name] * values.sum() / count for name, values in terms.items()]).sum()

    def pop_terms(self) -> dict[str, float]:
        """Take the means of the terms over the training steps since the last call.

        Returns:
            ``{"clear/reverse": ..., "clear/reverse_weighted": ...}`` and so on for each term with a
            weight, of this process's rows, and ``"clear/loss_hau"`` for each of ``languages`` that was in
            them; empty if there was no step.
        """
        return self._means.pop()

    def get_config_dict(self) -> dict[str, Any]:
        """All hyperparameters, for model cards."""
        return {
            **self.weights.by_name,
            "scale": self.scale,
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            "num_negatives": self.num_negatives,
            "gather_across_devices": self.gather_across_devices,
            "false_negative_margin": self.false_negative_margin,
            "deduplicate": self.deduplicate,
            "divergence": self.divergence,
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


def _full_precision(embeddings: Tensor) -> Tensor:
    """The loss stage is never computed in half precision."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()
