"""The terms of the CLEAR loss as tensor mathematics (Lee et al., ACL 2026, arXiv 2604.05821).

Each of the B rows of a batch holds an English query (anchor), its English passage (positive), the query in the target
language (cross_anchor), n negative passages and m negative target-language queries. Scores are
`scale * similarity(a, b)`. The terms:

- forward: InfoNCE from the anchor to all passages of the batch,
- reverse: InfoNCE from the positive passage to all target-language queries of the batch,
- cross:   InfoNCE from the cross_anchor to all passages (not in the paper),
- kl:      KL(softmax(reverse scores) || softmax(forward scores)), columns paired by index,
- guard:   1 - cosine between an English text's embedding now and its embedding by the frozen base, the mean over the
  row's query and passage (not in the paper),
- distil:  1 - cosine between the cross_anchor and what the frozen base makes of the anchor (not in the paper),
- cross_guard: 1 - cosine between the cross_anchor and what the frozen base makes of it (not in the paper).

`loss = (1 - alpha - beta - gamma) * forward + alpha * reverse + beta * kl + gamma * cross + guard * guard term + distil
* distil term + cross_guard * cross_guard term`. Where passages are fixed, forward and cross choose among all of them,
not among those of the batch, and find a passage in each language that it is there in. With soft labels they are
to find the passages as the frozen base ranks them for the anchor, and not the positive alone.

Each term is one `Term` in `TERMS`; weights, columns, log and curve follow from it. A term gives one value
per row. So a caller may compute the rows in chunks: the sum over all rows, divided by B, is the loss of the batch.
This module does not depend on sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from clear_ir.loss import Divergence
from clear_ir.loss.frozen_passages import Candidates

Similarity = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """The embeddings of W rows, column by column, and keys that are equal for equal texts.

    Args:
        num_rows: W, the number of rows: of all devices if they are gathered, else of this one.
        passages: Shape (W * (1 + n), dim): all positives, then negative_1 of all rows, and so on.
        anchors: Shape (W, dim): the English queries.
        queries: Shape (W * (1 + m), dim): all cross_anchors, then neg_query_1 of all rows, and so on. The KL term
            pairs its columns with those of `passages`.
        passage_keys: Shape (W * (1 + n),), int64, equal for equal texts and for translations of one passage; None masks
            no duplicates.
        anchor_keys: As `passage_keys`, for `anchors`.
        query_keys: As `passage_keys`, for `queries`.
        base: Embeddings by the frozen base of the columns in the terms' `reads_base`, each of shape (W, dim).
        fixed: The candidates where passages are fixed; None where they are those of the batch.
    """

    num_rows: int
    passages: Tensor
    anchors: Tensor | None = None
    queries: Tensor | None = None
    passage_keys: Tensor | None = None
    anchor_keys: Tensor | None = None
    query_keys: Tensor | None = None
    base: Mapping[str, Tensor] = field(default_factory=dict)
    fixed: Candidates | None = None


class Scores(NamedTuple):
    """Scaled scores of some rows with all candidates, and a boolean mask; both of shape (chunk, num_candidates)."""

    scores: Tensor
    masked: Tensor


class Rows:
    """The scores of some rows of a batch. Each matrix is computed when a term first reads it, then shared by all terms.

    Args:
        batch: All rows: every row has the candidates of the entire batch.
        numbers: Shape (chunk,), int64: the numbers of the chosen rows. The positive of row i is candidate i.
        scale: 1 / temperature.
        similarity: Maps (a, dim) and (b, dim) to (a, b).
        margin: See `margin_mask`. None: mask duplicates only.
        kind: See `divergence`.
        lengths_count: Whether the similarity depends on the vectors' lengths, as a dot product does.
        soft_labels: Share of the InfoNCE over fixed passages that is to find them as the frozen base ranks them for the
            anchor, and not the positive alone.
    """

    def __init__(
        self,
        batch: Batch,
        numbers: Tensor,
        *,
        scale: float,
        similarity: Similarity,
        margin: float | None = None,
        kind: Divergence = "kl",
        lengths_count: bool = False,
        soft_labels: float = 0.0,
    ) -> None:
        self._lengths_count, self._soft_labels = lengths_count, soft_labels
        self.batch, self.numbers, self.kind = batch, numbers, kind
        self._scale, self._similarity, self._margin = scale, similarity, margin

    @cached_property
    def forward(self) -> Scores:
        """English queries against all passages."""
        batch = self.batch
        return self._score(batch.anchors, batch.anchor_keys, batch.passages, batch.passage_keys)

    @cached_property
    def reverse(self) -> Scores:
        """Positive passages against all target-language queries."""
        batch = self.batch
        return self._score(batch.passages, batch.passage_keys, batch.queries, batch.query_keys)

    @cached_property
    def cross(self) -> Scores:
        """Target-language queries against all passages."""
        batch = self.batch
        return self._score(batch.queries, batch.query_keys, batch.passages, batch.passage_keys)

    def info_nce(self, side: Scores) -> Tensor:
        """InfoNCE of each row with the scores of one direction, shape (chunk,)."""
        return info_nce(side.scores, self.numbers, side.masked)

    def info_nce_over_passages(self, column: str) -> Tensor:
        """InfoNCE of each row from a query, `anchor` or `cross_anchor`, to the passages, shape (chunk,).

        To the fixed ones if there are any, else to those of the batch.
        """
        if self.batch.fixed is None:
            return self.info_nce(self.forward if column == "anchor" else self.cross)
        parts, share_of_soft = [], self._soft_labels
        if share_of_soft < 1:
            keys = self.batch.anchor_keys if column == "anchor" else self.batch.query_keys
            own_keys = None if keys is None else keys[self.numbers]
            hard = self.batch.fixed.info_nce(self._now(column), own_keys, self.numbers, self._scale, self._margin)
            parts.append((1 - share_of_soft) * hard)
        if share_of_soft > 0:
            soft = self.batch.fixed.soft_info_nce(self._now(column), self._ranked, self._scale)
            parts.append(share_of_soft * soft)
        return torch.stack(parts).sum(dim=0)

    @cached_property
    def _ranked(self) -> Tensor:
        """The fixed passages as the frozen base ranks them for the English queries: both terms' labels."""
        assert self.batch.fixed is not None, "soft labels rank fixed passages"
        return self.batch.fixed.ranked(self.batch.base["anchor"][self.numbers], self._scale)

    def _now(self, column: str) -> Tensor:
        """The embeddings of a column of these rows: `anchor`, `positive` or `cross_anchor`."""
        sides = {"anchor": self.batch.anchors, "positive": self.batch.passages, "cross_anchor": self.batch.queries}
        side = sides[column]
        assert side is not None, "a term with a weight lacks its columns"
        return side[self.numbers]

    def closeness_to_base(self, column: str, base_column: str | None = None) -> Tensor:
        """How close a column is to what the frozen base makes of it, or of another column, shape (chunk,).

        The cosine where lengths do not count. Else 1 - half the squared distance, as a share of the base's squared
        length: for vectors of length 1 that is the cosine too.

        Args:
            column: `anchor`, `positive` or `cross_anchor`.
            base_column: The base's column; None for the same.
        """
        vectors, base = self._now(column), self.batch.base[base_column or column][self.numbers]
        if not self._lengths_count:
            return torch.cosine_similarity(vectors, base)
        return 1 - (vectors - base).square().sum(dim=1) / (2 * base.square().sum(dim=1))

    def _score(
        self,
        anchors: Tensor | None,
        anchor_keys: Tensor | None,
        candidates: Tensor | None,
        candidate_keys: Tensor | None,
    ) -> Scores:
        assert anchors is not None, "a term with a weight lacks its columns"
        assert candidates is not None, "a term with a weight lacks its columns"
        similarities = self._similarity(anchors[self.numbers], candidates)
        masked = torch.zeros_like(similarities, dtype=torch.bool)
        if anchor_keys is not None and candidate_keys is not None:
            masked |= duplicate_mask(candidate_keys, anchor_keys[: self.batch.num_rows], self.numbers)
        if self._margin is not None:
            masked |= margin_mask(similarities, self.numbers, self._margin)
        return Scores(similarities * self._scale, masked)


@dataclass(frozen=True)
class Term:
    """A term of the loss. All that the package needs to know of it is here.

    Args:
        name: Name in the training log and the curve.
        weight: Name of its weight: an argument of the loss and a field of the training settings, where `cross_guard` is
            `distil` with `distil_to: own`. None for the forward term, which gets what the others leave of 1.
        reads: The kinds of columns that it reads beside the positive: `anchor`, `negatives`, `cross_anchor`,
            `neg_queries`. A column that no term with a weight reads is not embedded.
        formula: Gives one value per row, shape (chunk,).
        teaches: What the model learns from it, a clause for the docs.
        colour: Colour of its curve in the report.
        shares: True: its weight is a part of the 1 that the terms share. False: its weight comes on top of that 1.
        pairs_negatives: Whether it needs as many negative queries as negative passages.
        reads_base: Columns whose embeddings by the frozen base it reads.
    """

    name: str
    weight: str | None
    reads: tuple[str, ...]
    formula: Callable[[Rows], Tensor]
    teaches: str
    colour: str
    shares: bool = True
    pairs_negatives: bool = False
    reads_base: tuple[str, ...] = ()


def _kl(rows: Rows) -> Tensor:
    masked = rows.reverse.masked | rows.forward.masked
    return divergence(rows.reverse.scores, rows.forward.scores, masked, rows.kind)


#: The terms by name, in the order in which they are logged and drawn. The colours are Okabe and Ito's.
TERMS: dict[str, Term] = {
    term.name: term
    for term in (
        Term(
            "forward",
            weight=None,
            reads=("anchor", "negatives"),
            formula=lambda rows: rows.info_nce_over_passages("anchor"),
            teaches="InfoNCE, English query to English passages: keeps English",
            colour="#0072b2",
        ),
        Term(
            "reverse",
            weight="alpha",
            reads=("cross_anchor", "neg_queries"),
            formula=lambda rows: rows.info_nce(rows.reverse),
            teaches="InfoNCE, English passage to target-language queries: the bridge",
            colour="#e69f00",
        ),
        Term(
            "kl",
            weight="beta",
            reads=("anchor", "negatives", "cross_anchor", "neg_queries"),
            formula=_kl,
            teaches="KL(reverse \\|\\| forward): the two distributions agree",
            colour="#009e73",
            pairs_negatives=True,
        ),
        Term(
            "cross",
            weight="gamma",
            reads=("negatives", "cross_anchor"),
            formula=lambda rows: rows.info_nce_over_passages("cross_anchor"),
            teaches="InfoNCE, target-language query to English passages; not in the paper",
            colour="#cc79a7",
        ),
        Term(
            "guard",
            weight="guard",
            reads=("anchor",),
            formula=lambda rows: 1 - (rows.closeness_to_base("anchor") + rows.closeness_to_base("positive")) / 2,
            teaches="English queries and passages stay where the frozen base has them; not in the paper",
            colour="#56b4e9",
            shares=False,
            reads_base=("anchor", "positive"),
        ),
        Term(
            "distil",
            weight="distil",
            reads=("cross_anchor",),
            formula=lambda rows: 1 - rows.closeness_to_base("cross_anchor", "anchor"),
            teaches="Target-language query to where the frozen base has the English query; not in the paper",
            colour="#d55e00",
            shares=False,
            reads_base=("anchor",),
        ),
        Term(
            "cross_guard",
            weight="cross_guard",
            reads=("cross_anchor",),
            formula=lambda rows: 1 - rows.closeness_to_base("cross_anchor"),
            teaches="Target-language query stays where the frozen base has it (`distil_to: own`); not in the paper",
            colour="#999999",
            shares=False,
            reads_base=("cross_anchor",),
        ),
    )
}


@dataclass(init=False)
class Weights:
    """The weights of the terms: `Weights(alpha=0.4, beta=0.2)`.

    Args:
        values: Weights in the order of `TERMS`: alpha, beta, gamma, guard, distil, cross_guard.
        named: Weights by name. A weight that is not given is 0, and its term is not computed.

    Raises:
        TypeError: If there is no weight of that name.
        ValueError: If a weight is negative, or those that share 1 sum to more.
    """

    by_name: dict[str, float]

    def __init__(self, *values: float, **named: float) -> None:
        names = [term.weight for term in TERMS.values() if term.weight]
        if unknown := sorted(named.keys() - set(names)):
            raise TypeError(f"There is no weight {unknown[0]!r}; the weights are {', '.join(names)}.")
        given = dict(zip(names, values, strict=False)) | named
        self.by_name = {name: float(given.get(name, 0.0)) for name in names}
        for name, value in self.by_name.items():
            if not value >= 0:
                raise ValueError(f"{name} is {value}; give a weight >= 0.")
        if self._shared > 1 + 1e-9:
            sharing = " + ".join(term.weight for term in TERMS.values() if term.weight and term.shares)
            raise ValueError(
                f"{sharing} is {self._shared:g}; the forward term gets the rest of 1, so lower the weights until they "
                "sum to at most 1."
            )

    def __getitem__(self, name: str) -> float:
        return self.by_name[name]

    @property
    def _shared(self) -> float:
        return sum(self.by_name[term.weight] for term in TERMS.values() if term.weight and term.shares)

    @property
    def forward(self) -> float:
        """Weight of the forward term: what the others leave of 1."""
        rest = 1.0 - self._shared
        return rest if rest > 1e-9 else 0.0

    @property
    def terms(self) -> list[Term]:
        """The terms with a weight above zero."""
        return [TERMS[name] for name in self.by_term()]

    def base_columns(self, soft_labels: bool = False) -> set[str]:
        """The columns whose embeddings by the frozen base are read.

        Args:
            soft_labels: Whether the base ranks the passages that forward and cross are to find, see `Rows`.
        """
        columns = {column for term in self.terms for column in term.reads_base}
        return columns | ({"anchor"} if soft_labels and {"forward", "cross"} & self.by_term().keys() else set())

    @property
    def pairing_term(self) -> Term | None:
        """The first term with a weight that needs as many negative queries as negative passages; None without one."""
        return next((term for term in self.terms if term.pairs_negatives), None)

    def by_term(self) -> dict[str, float]:
        """The weights above zero, by the term's name."""
        weights = {name: self.by_name[term.weight] if term.weight else self.forward for name, term in TERMS.items()}
        return {name: weight for name, weight in weights.items() if weight > 0}


def duplicate_mask(candidate_keys: Tensor, anchor_keys: Tensor, rows: Tensor) -> Tensor:
    """Mark candidates that are known to be positives of the row too, so that they are not used as negatives.

    These are the candidates with the same text as the row's positive, or as the positive of a row that has the same
    anchor text, wherever they stand: a positive may be another row's negative.

    Args:
        candidate_keys: Shape (num_candidates,): keys of the candidates, the positives of all rows first.
        anchor_keys: Shape (num_rows,): keys of the anchors of all rows.
        rows: Shape (chunk,): numbers of the rows; also the columns of their positives.

    Returns:
        Boolean mask of shape (chunk, num_candidates). It is False at the column of each row's positive.
    """
    mask = candidate_keys[rows].unsqueeze(1) == candidate_keys.unsqueeze(0)
    shared = (anchor_keys[rows].unsqueeze(1) == anchor_keys.unsqueeze(0)).sum(dim=1) > 1
    if shared.any():  # rare, and the comparison of pairs costs more than the one above
        known = _pair_keys(anchor_keys, candidate_keys[: len(anchor_keys)])
        pairs = _pair_keys(anchor_keys[rows[shared]].unsqueeze(1), candidate_keys.unsqueeze(0))
        mask[shared] |= torch.isin(pairs, known)
    mask[torch.arange(len(rows), device=rows.device), rows] = False
    return mask


def _pair_keys(anchors: Tensor, candidates: Tensor) -> Tensor:
    """Keys of pairs: a product with a large odd number spreads the anchors' keys, so that pairs rarely collide."""
    return (anchors * 0x1E3779B97F4A7C15) ^ candidates


def margin_mask(similarities: Tensor, positives: Tensor, margin: float) -> Tensor:
    """Mark candidates that score higher than the row's positive by more than `margin`: likely false negatives.

    Args:
        similarities: Shape (chunk, num_candidates), before scaling.
        positives: Shape (chunk,): the column of each row's positive.
        margin: In units of the similarity (differences of cosines are from -2 to 2).

    Returns:
        Boolean mask of shape (chunk, num_candidates). It is False at the column of each row's positive.
    """
    limits = similarities.detach().gather(1, positives.unsqueeze(1)) + margin
    # Without the scatter, a negative margin would mask the positive.
    return (similarities.detach() > limits).scatter(1, positives.unsqueeze(1), False)


def info_nce(scores: Tensor, positives: Tensor, masked: Tensor | None = None) -> Tensor:
    """InfoNCE (van den Oord et al., arXiv 1807.03748) of each row.

    Args:
        scores: Shape (chunk, num_candidates), scaled.
        positives: Shape (chunk,): the column of each row's positive, which is never masked.
        masked: Optional boolean mask, shape of `scores`: candidates to leave out.

    Returns:
        Shape (chunk,): `-log softmax(scores)[positive]`.
    """
    if masked is not None:
        scores = scores.masked_fill(masked, -torch.inf)
    return torch.nn.functional.cross_entropy(scores, positives, reduction="none")


def divergence(
    reverse_scores: Tensor, forward_scores: Tensor, masked: Tensor | None = None, kind: Divergence = "kl"
) -> Tensor:
    """The divergence between softmax(reverse) and softmax(forward) of each row.

    Args:
        reverse_scores: Shape (chunk, num_candidates), scaled.
        forward_scores: Shape (chunk, num_candidates), scaled; column j pairs with column j of reverse.
        masked: Optional boolean mask of the same shape: columns to leave out on both sides.
        kind: See `clear_ir.loss.Divergence`. `kl` is the paper's.

    Returns:
        Shape (chunk,), each >= 0 up to rounding.
    """
    if masked is not None:
        reverse_scores = reverse_scores.masked_fill(masked, -torch.inf)
        forward_scores = forward_scores.masked_fill(masked, -torch.inf)
    log_p, log_q = reverse_scores.log_softmax(dim=1), forward_scores.log_softmax(dim=1)
    if kind == "kl-detached":
        log_q = log_q.detach()
    if kind == "kl-reversed":
        log_p, log_q = log_q, log_p
    p, q = log_p.exp(), log_q.exp()
    if masked is not None:
        # A masked column has p = q = 0 and adds 0. Left at -inf, -inf - -inf would give NaN.
        log_p, log_q = log_p.masked_fill(masked, 0.0), log_q.masked_fill(masked, 0.0)
    if kind != "js":
        return (p * (log_p - log_q)).sum(dim=1)
    middle = torch.logaddexp(log_p, log_q) - log(2)
    return (p * (log_p - middle) + q * (log_q - middle)).sum(dim=1) / 2


def clear_terms(rows: Rows, weights: Weights) -> dict[str, Tensor]:
    """The terms of the CLEAR loss that have a weight, one value for each row.

    Args:
        rows: Some rows of a batch.
        weights: A term whose weight is 0 is not computed.

    Returns:
        By the term's name, its values of shape (chunk,).
    """
    return {term.name: term.formula(rows) for term in weights.terms}
