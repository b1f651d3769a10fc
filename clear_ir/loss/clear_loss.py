"""The CLEAR loss for sentence-transformers.

This module takes the columns from the trainer, has `clear_ir.loss.packing` pack their texts, embeds them, and has
`clear_ir.loss.terms` compute the terms.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import (
    all_gather,
    all_gather_with_grad,
    cos_sim,
    dot_score,
    get_rank,
    similarity_fct_name,
)
from torch import Tensor, nn

from clear_ir.loss import Divergence
from clear_ir.loss.columns import Columns, lay_out
from clear_ir.loss.frozen_base import FrozenBase
from clear_ir.loss.frozen_passages import FrozenPassages
from clear_ir.loss.packing import Group, PackedColumns, pack_columns, text_keys
from clear_ir.loss.same_passages import SamePassages
from clear_ir.loss.sharding import as_many_everywhere, is_sharded
from clear_ir.loss.term_log import TermMeans
from clear_ir.loss.terms import Batch, Rows, Weights, clear_terms
from clear_ir.loss.token_budget import NUM_TOKENS, for_device

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackedBatch:
    """One batch on its way through the loss.

    Args:
        columns: Layout of its columns.
        keys: Keys of the texts of each column, see `clear_ir.loss.packing.text_keys`.
        packed: The texts of all columns that a term reads, for the encoder.
        langs: Shape (batch_size,): each row's language; None if languages are not logged.
        for_base: The texts for the frozen base; None if no term reads its embeddings.
    """

    columns: Columns
    keys: dict[int, Tensor | None]
    packed: PackedColumns
    langs: Tensor | None = None
    for_base: PackedColumns | None = None


class CLEARLoss(nn.Module):
    """CLEAR: forward InfoNCE, reverse InfoNCE over the English passage, and the KL between them.

    `loss = (1 - alpha - beta - gamma) * forward + alpha * reverse + beta * KL + gamma * cross`, and on top `guard`,
    `distil` and `cross_guard` times their terms; the terms are defined in `clear_ir.loss.terms`. With `gamma=0` this is
    the paper's loss.

    In one point it differs from the paper: known and likely positives are masked, so that they are not pushed away as
    negatives. Exact duplicates are always masked: candidates with the text of the row's positive, and the positives of
    other rows with the same anchor. So are their translations, with `same_passages`. With `false_negative_margin`,
    candidates that score higher than the positive by more than the margin are masked too. A masked candidate is left
    out of its InfoNCE term and of both sides of the KL.

    Args:
        model: The encoder to train.
        alpha: Weight of the reverse term.
        beta: Weight of the KL term. With 0, the numbers of negative passages and negative queries may differ.
        gamma: Weight of the cross-lingual forward term, InfoNCE from cross_anchor to the passages.
        scale: 1 / temperature.
        similarity_fct: Maps (a, dim) and (b, dim) to (a, b).
        num_negatives: Number n of negative passages per row. The columns after cross_anchor are the negative queries.
            None: as many negative passages as negative queries.
        gather_across_devices: Use the rows of all processes as candidates.
        false_negative_margin: In units of `similarity_fct`, before scaling. None: mask duplicates only.
        deduplicate: Embed a text that is several times in the batch only once. With dropout, its copies then share one
            mask.
        languages: Names of languages, to log the loss of each. The data need a column `label` with each row's
            language, as an index into the names. None: labels are ignored.
        guard: Weight of the term that keeps the embeddings of English queries and passages near those of the encoder
            before training. A frozen copy of it embeds each text once. 0: no copy is made.
        divergence: Form of the KL term, see `clear_ir.loss.Divergence`.
        base_embeddings: For the terms with `reads_base`, the `clear_ir.loss.packing.text_keys` of all texts of these
            columns, and of anchor with soft labels, shape (num_texts,), and their embeddings by the encoder before
            training, shape (num_texts, dim). Then no copy is made.
        passage_embeddings: Train the queries alone: the `text_keys` of passages, shape (num_passages,), each once, and
            their embeddings, shape (num_passages, dim). Passages are looked up there and never embedded. All of them
            are the candidates of the forward and the cross term; reverse and KL read those of the batch. None: passages
            are embedded and trained.
        known_pairs: With `passage_embeddings`, the keys of queries and of passages that answer them, each of shape
            (num_pairs,). Such a passage is no negative of such a query, whether the pair is in the batch or not. None:
            the pairs of the batch.
        candidates: With `passage_embeddings`, the number of them that are drawn as candidates of a batch, beside its
            own passages. None: all.
        candidate_seed: Seed of the draw.
        same_passages: For passages in several languages: keys of passages, and for each the key that it shares with its
            translations, each of shape (num_passages,). A translation of a known positive is no negative. None: no
            passage has a translation in the data.
        soft_labels: With `passage_embeddings`, the share, from 0 to 1, of forward and cross that is to find passages as
            the encoder before training ranks them for the anchor, and not the positive alone: the cross-entropy with
            the softmax of its scores. No passage is left out there. With `same_passages` it ranks the passage whose
            key is shared, and each version of a passage has an equal part of its share.
        other_weights: Weights, by name, of further terms that `clear_ir.loss.terms.TERMS` has, such as `distil`.

    Requirements:
        1. Columns in this order: anchor, positive, negative_1..n, cross_anchor, neg_query_1..m.
        2. With KL, m = n.

    Relations:
        - `clear_ir.loss.cached_clear_loss.CachedCLEARLoss` computes the same loss and gradients in bounded
          memory.
        - `alpha=0, beta=0, gamma=1` is `MultipleNegativesRankingLoss` on (cross_anchor, positive, negatives), the
          paper's baseline. `alpha=0, beta=0, gamma=0.5` is the mean of this loss and the same loss on the English
          query. Columns that no term with a weight reads are not embedded.

    Example:
        ::

            loss = CLEARLoss(model)
            trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss)
            log_terms(trainer)  # adds each term to the training log
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
        base_embeddings: tuple[Tensor, Tensor] | None = None,
        passage_embeddings: tuple[Tensor, Tensor] | None = None,
        known_pairs: tuple[Tensor, Tensor] | None = None,
        candidates: int | None = None,
        candidate_seed: int = 0,
        same_passages: tuple[Tensor, Tensor] | None = None,
        soft_labels: float = 0.0,
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
        self.candidates = candidates
        self._same = SamePassages(*same_passages) if same_passages else None
        self._fixed: FrozenPassages | None = None
        if passage_embeddings is not None:
            if similarity_fct not in (cos_sim, dot_score):
                raise ValueError("Fixed passages are compared by cos_sim or dot_score; give one as similarity_fct.")
            self._fixed = FrozenPassages(
                *passage_embeddings,
                known_pairs,
                cosine=similarity_fct is cos_sim,
                num_candidates=candidates,
                seed=candidate_seed,
                same=self._same,
            )
        if not 0 <= soft_labels <= 1:
            raise ValueError(f"soft_labels is {soft_labels}; give a share from 0 to 1.")
        if soft_labels and self._fixed is None:
            raise ValueError("Soft labels rank fixed passages; give passage_embeddings, or leave soft_labels out.")
        self.soft_labels = soft_labels
        #: Columns whose embeddings by the frozen base are read. Fixed passages are what the base makes of them.
        self._base_columns = sorted(
            self.weights.base_columns(soft_labels > 0) - ({"positive"} if self._fixed else set())
        )
        self._base = FrozenBase(model, base_embeddings) if self._base_columns else None
        self._warned_of_unpacked = False
        self._means = TermMeans(self.weights.by_term(), self.languages)

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """Compute the loss of one batch.

        Args:
            sentence_features: One dict of tokenized features per column; see Requirements.
            labels: Shape (batch_size,): each row's language, see `languages`. Ignored without `languages`.

        Returns:
            The loss, a scalar.
        """
        return self._loss_in_one_pass(self._pack(list(sentence_features), labels))

    def _loss_in_one_pass(self, packed_batch: PackedBatch) -> Tensor:
        batch, first, count = self._gather(packed_batch, self._embed(packed_batch.packed))
        rows = torch.arange(first, first + count, device=batch.passages.device)
        return self._loss(batch, rows, count, packed_batch.langs)

    def _pack(self, features: list[dict[str, Any]], labels: Tensor | None = None) -> PackedBatch:
        """Find the layout of the columns and pack those that a term reads."""
        columns = lay_out(len(features), self.weights, self.num_negatives)
        for_base = {number: features[number] for number in (getattr(columns, name) for name in self._base_columns)}
        used = {column: features[column] for column in columns.used}
        keys = {column: text_keys(column_features) for column, column_features in (used | for_base).items()}
        looked_up = {columns.positive, *columns.negatives} if self._fixed else set()
        used = {column: column_features for column, column_features in used.items() if column not in looked_up}
        packed = self._pack_columns(used, keys)
        apart = [group for group in packed.groups if not group.merged]
        if apart and not self._warned_of_unpacked:
            self._warned_of_unpacked = True
            logger.warning(
                "%d of %d columns cannot be packed, so their padding and repeated texts are embedded too: packing "
                "needs token ids, not images.",
                len(apart),
                len(used),
            )
        langs = labels if self.languages else None
        return PackedBatch(columns, keys, packed, langs, self._pack_columns(for_base, keys) if for_base else None)

    def _pack_columns(self, used: dict[int, dict[str, Any]], keys: dict[int, Tensor | None]) -> PackedColumns:
        encoder = getattr(self.model, "module", self.model)  # inside DistributedDataParallel
        tokenizer = getattr(encoder, "tokenizer", None)
        pad_id = getattr(tokenizer, "pad_token_id", None) or 0
        return pack_columns(used, keys, pad_id, self.deduplicate, getattr(tokenizer, "padding_side", "right"))

    def _embed(self, packed: PackedColumns, model: nn.Module | None = None) -> list[Tensor]:
        """Embed each group in mini-batches of rows of similar length, so that little padding is embedded."""
        model = model or self.model
        return [
            torch.cat([model(part)["sentence_embedding"] for part in parts])
            for parts in self._mini_batches(packed, model)
        ]

    def _mini_batches(self, packed: PackedColumns, model: nn.Module | None = None) -> list[list[dict[str, Any]]]:
        """The mini-batches of each group. A group that is not merged is one mini-batch."""
        parts = [
            group.mini_batches(*self._mini_batch_limits(group)) if group.merged else [group.features]
            for group in packed.groups
        ]
        if is_sharded(model or self.model):
            device = next(self.model.parameters()).device
            parts = [as_many_everywhere(of_group, device) for of_group in parts]
        return parts

    def _mini_batch_limits(self, group: Group) -> tuple[int, int | None]:
        """Number of texts and of tokens per mini-batch. If tokens are given, the number of texts is ignored."""
        return 1, for_device(NUM_TOKENS, group.features["input_ids"].device)

    def _gather(self, packed_batch: PackedBatch, embedded: list[Tensor]) -> tuple[Batch, int, int]:
        """Sort the embeddings of the groups into the sides of the loss; gather the rows of all devices if asked.

        Args:
            packed_batch: Layout, keys and packing of the columns.
            embedded: The embeddings of each group of the packing.

        Returns:
            The batch, the number of this device's first row in it, and the number of this device's rows.
        """
        columns, keys = packed_batch.columns, packed_batch.keys
        embeddings = {column: embedded[group][rows] for column, (group, rows) in packed_batch.packed.places.items()}
        count = len(next(iter(embeddings.values())))
        gather = self.gather_across_devices and torch.distributed.is_available() and torch.distributed.is_initialized()

        def side(first: int, negatives: range) -> tuple[Tensor | None, Tensor | None]:
            """Embeddings and keys of those columns of one side that a term reads."""
            present = [column for column in (first, *negatives) if column in columns.used]
            if not present:
                return None, None
            known_keys = [key for column in present if (key := keys[column]) is not None]
            if gather:
                known_keys = [all_gather(key) for key in known_keys]
            all_keys = torch.cat(known_keys) if len(known_keys) == len(present) else None
            if present[0] not in embeddings:
                return self._look_up(all_keys, embedded[0]), all_keys
            vectors = [_full_precision(embeddings[column]) for column in present]
            if gather:
                vectors = [all_gather_with_grad(vector) for vector in vectors]
            return torch.cat(vectors), all_keys

        anchors, anchor_keys = side(columns.anchor, range(0))
        passages, passage_keys = side(columns.positive, columns.negatives)
        queries, query_keys = side(columns.cross_anchor, columns.neg_queries)
        assert passages is not None
        num_rows = count * (torch.distributed.get_world_size() if gather else 1)
        base = self._embed_by_base(packed_batch, passages, gather)
        fixed = None
        if self._fixed is not None:
            assert passage_keys is not None, "looked up by them"
            known_sides = [side_keys for side_keys in (anchor_keys, query_keys) if side_keys is not None]
            fixed = self._fixed.candidates(passage_keys, known_sides, num_rows)
        if self._same is not None and passage_keys is not None:
            passage_keys = self._same.shared_keys(passage_keys)
        batch = Batch(num_rows, passages, anchors, queries, passage_keys, anchor_keys, query_keys, base, fixed)
        return batch, get_rank() * count if gather else 0, count

    def _look_up(self, keys: Tensor | None, like: Tensor) -> Tensor:
        """The embeddings of fixed passages, with device, type and dimension of those of queries."""
        assert self._fixed is not None
        if keys is None:
            raise ValueError("Fixed passages are looked up by their tokens; a column of passages has none.")
        return self._fixed.vectors_of(self._fixed.numbers_of(keys), _full_precision(like))

    def _embed_by_base(self, packed_batch: PackedBatch, passages: Tensor, gather: bool) -> dict[str, Tensor]:
        """Embeddings by the frozen base of the columns that a term compares; of all devices if asked.

        Device and dimension are those of `passages`.
        """
        packed = packed_batch.for_base
        if self._base is None or packed is None:
            return {}
        embedded = self._base.embed(packed, passages.device, self._embed)
        base = {}
        for name in self._base_columns:
            group, rows = packed.places[getattr(packed_batch.columns, name)]
            # MatryoshkaLoss cuts embeddings to their first dimensions, so those of the base are cut too.
            vectors = embedded[group][rows, : passages.shape[1]]
            base[name] = all_gather(vectors) if gather else vectors
        if self._fixed is not None:
            base["positive"] = passages  # they stay what they are
        return base

    def _loss(self, batch: Batch, rows: Tensor, count: int, langs: Tensor | None = None) -> Tensor:
        """What `rows`, whose languages are `langs`, add to the mean loss over `count` rows."""
        with torch.autocast(batch.passages.device.type, enabled=False):
            chosen = Rows(
                batch,
                rows,
                scale=self.scale,
                similarity=self.similarity_fct,
                margin=self.false_negative_margin,
                kind=self.divergence,
                lengths_count=self.similarity_fct is not cos_sim,
                soft_labels=self.soft_labels,
            )
            terms = clear_terms(chosen, self.weights)
            if torch.is_grad_enabled():
                self._means.add(terms, count, langs)
            weights = self.weights.by_term()
            return torch.stack([weights[name] * values.sum() / count for name, values in terms.items()]).sum()

    def pop_terms(self) -> dict[str, float]:
        """Return the means of the terms over the training steps since the last call, for the rows of this process.

        Returns:
            `{"clear/reverse": ..., "clear/reverse_weighted": ...}` and so on for each term with a weight, and
            `"clear/loss_hau"` for each of `languages` that occurred. Empty if there was no step.
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
            **(
                {"fixed_passages": len(self._fixed), "candidates": self.candidates, "soft_labels": self.soft_labels}
                if self._fixed
                else {}
            ),
            **({"same_passages": len(self._same)} if self._same else {}),
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
    """Half precision becomes float32: scores and terms are never computed in half precision."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()
