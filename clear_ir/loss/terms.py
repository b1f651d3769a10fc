"""The CLEAR objective as pure tensor mathematics (Lee et al., ACL 2026, arXiv 2604.05821).

For a batch of B rows, row i holds an English query (anchor), its English passage (positive), the query
in the target language (cross_anchor), n negative passages and m negative target-language queries.
With ``s(a, b) = scale * similarity(a, b)``:

- forward: InfoNCE from the anchor to all passages of the batch,
- reverse: InfoNCE from the positive passage to all target-language queries of the batch,
- cross:   InfoNCE from the cross_anchor to all passages (an addition to the paper),
- kl:      KL(softmax(reverse scores) || softmax(forward scores)), columns paired by index,
- guard:   1 - cosine of the row's English texts with what the frozen base makes of them, the mean of query and
  passage (an addition to the paper).

``loss = (1 - alpha - beta - gamma) * forward + alpha * reverse + beta * kl + gamma * cross + guard * guard term``

Every term is computed as one value per row, so a caller may cut the rows into chunks and add up:
the sum over rows divided by B is the batch's loss whatever the chunks. Nothing here knows of
sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from torch import Tensor

Similarity = Callable[[Tensor, Tensor], Tensor]
#: What the kl term is: the paper's KL; the same with forward as a fixed teacher; KL(forward || reverse);
#: Jensen-Shannon.
Divergence = Literal["kl", "kl-detached", "kl-reversed", "js"]


@dataclass(frozen=True)
class Weights:
    """The weights of the terms.

    Args:
        alpha: Weight of the reverse term.
        beta: Weight of the KL term; 0 switches it off.
        gamma: Weight of the cross-lingual forward term; 0, the paper's value, switches it off.
        guard: Weight of the term that keeps English near the frozen base, on top of the others.

    Raises:
        ValueError: If a weight is negative or alpha, beta and gamma sum to more than 1.
    """

    alpha: float = 0.4
    beta: float = 0.2
    gamma: float = 0.0
    guard: float = 0.0

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma", "guard"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a weight >= 0.")
        if self.alpha + self.beta + self.gamma > 1 + 1e-9:
            raise ValueError(
                f"alpha + beta + gamma is {self.alpha + self.beta + self.gamma:g}; the forward term gets the rest "
                "of 1, so lower them until they sum to at most 1."
            )

    @property
    def forward(self) -> float:
        """Weight of the forward term: what the others leave of 1."""
        rest = 1.0 - self.alpha - self.beta - self.gamma
        return rest if rest > 1e-9 else 0.0

    def by_term(self) -> dict[str, float]:
        """The weights above zero, by the name of their term."""
        weights = {"forward": self.forward, "reverse": self.alpha, "kl": self.beta, "cross": self.gamma}
        weights["guard"] = self.guard
        return {name: weight for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class Batch:
    """The embeddings of W rows, column by column, and keys that tell equal texts.

    Args:
        num_rows: W, the number of rows; across all devices where they are gathered.
        passages: Shape (W * (1 + n), dim): all positives, then negative_1 of all rows, and so on.
        anchors: Shape (W, dim): the English queries; needed by the forward, KL and guard terms.
        queries: Shape (W * (1 + m), dim): all cross_anchors, then neg_query_1 of all rows, and so on;
            needed by the reverse, KL and cross terms. KL pairs its columns with those of ``passages``.
        passage_keys: Shape (W * (1 + n),), int64, equal for equal texts; None masks no duplicates.
        anchor_keys: As ``passage_keys``, for ``anchors``.
        query_keys: As ``passage_keys``, for ``queries``.
        base_anchors: Shape (W, dim): what the frozen base makes of the anchors; needed by the guard term.
        base_positives: Shape (W, dim): the same of the positives.
    """

    num_rows: int
    passages: Tensor
    anchors: Tensor | None = None
    queries: Tensor | None = None
    passage_keys: Tensor | None = None
    anchor_keys: Tensor | None = None
    query_keys: Tensor | None = None
    base_anchors: Tensor | None = None
    base_positives: Tensor | None = None


def duplicate_mask(candidate_keys: Tensor, anchor_keys: Tensor, own: Tensor) -> Tensor:
    """Mark candidates known to be as right as the row's own.

    That is a candidate with the same text as the row's own, and the own candidate of another row that
    asks with the same anchor text.

    Args:
        candidate_keys: Shape (num_candidates,): keys of the candidates, the rows' own first.
        anchor_keys: Shape (num_rows,): keys of all rows' anchors.
        own: Shape (chunk,): each row's own column.

    Returns:
        Boolean mask of shape (chunk, num_candidates), False at each row's own column.
    """
    mask = candidate_keys[own].unsqueeze(1) == candidate_keys.unsqueeze(0)
    mask[:, : len(anchor_keys)] |= anchor_keys[own].unsqueeze(1) == anchor_keys.unsqueeze(0)
    mask[torch.arange(len(own), device=own.device), own] = False
    return mask


def margin_mask(similarities: Tensor, own: Tensor, margin: float) -> Tensor:
    """Mark candidates more similar to the anchor than the row's own by more than ``margin``.

    Args:
        similarities: Shape (chunk, num_candidates), before scaling.
        own: Shape (chunk,): each row's own column.
        margin: In units of the similarity (cosine: -2 to 2).

    Returns:
        Boolean mask of shape (chunk, num_candidates), False at each row's own column.
    """
    limits = similarities.detach().gather(1, own.unsqueeze(1)) + margin
    # A negative margin would otherwise mask the positive itself.
    return (similarities.detach() > limits).scatter(1, own.unsqueeze(1), False)


def info_nce(scores: Tensor, own: Tensor, masked: Tensor | None = None) -> Tensor:
    """InfoNCE (van den Oord et al., arXiv 1807.03748) of each row.

    Args:
        scores: Shape (chunk, num_candidates), scaled.
        own: Shape (chunk,): each row's own column, never masked.
        masked: Optional boolean mask, shape of ``scores``: candidates to leave out.

    Returns:
        Shape (chunk,): ``-log softmax(scores)[own]``.
    """
    if masked is not None:
        scores = scores.masked_fill(masked, -torch.inf)
    return torch.nn.functional.cross_entropy(scores, own, reduction="none")


def divergence(
    reverse_scores: Tensor, forward_scores: Tensor, masked: Tensor | None = None, kind: Divergence = "kl"
) -> Tensor:
    """How far softmax(reverse) and softmax(forward) are apart, row by row.

    Args:
        reverse_scores: Shape (chunk, num_candidates), scaled.
        forward_scores: Shape (chunk, num_candidates), scaled; column j pairs with column j of reverse.
        masked: Optional boolean mask of the same shape: columns that leave both sides.
        kind: ``kl``, KL(reverse || forward) with gradients through both sides, is the paper's.

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
        # Here -inf - -inf is NaN, where 0 log 0 is meant.
        log_p, log_q = log_p.masked_fill(masked, 0.0), log_q.masked_fill(masked, 0.0)
    if kind != "js":
        return (p * (log_p - log_q)).sum(dim=1)
    middle = torch.logaddexp(log_p, log_q) - log(2)
    return (p * (log_p - middle) + q * (log_q - middle)).sum(dim=1) / 2


def clear_terms(
    batch: Batch,
    own: Tensor,
    *,
    weights: Weights,
    scale: float,
    similarity: Similarity,
    margin: float | None = None,
    kind: Divergence = "kl",
) -> dict[str, Tensor]:
    """The terms of the CLEAR loss that have a weight, one value for each row of ``own``.

    Args:
        batch: All rows, so that each sees every in-batch candidate.
        own: Shape (chunk,), int64: which of the rows to compute.
        weights: Terms without weight are not computed.
        scale: 1 / temperature.
        similarity: Maps (a, dim) and (b, dim) to (a, b).
        margin: See :func:`margin_mask`; None for no such mask. Known duplicates are masked regardless.
        kind: Of :func:`divergence`.

    Returns:
        ``{term: values of shape (chunk,)}`` for each of forward, reverse, kl, cross and guard with a weight.
    """
    rows = batch.num_rows

    def scores(
        asking: Tensor | None, asking_keys: Tensor | None, answers: Tensor | None, keys: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        assert asking is not None, "a term with a weight lacks its columns"
        assert answers is not None, "a term with a weight lacks its columns"
        similarities = similarity(asking[own], answers)
        masked = torch.zeros_like(similarities, dtype=torch.bool)
        if asking_keys is not None and keys is not None:
            masked |= duplicate_mask(keys, asking_keys[:rows], own)
        if margin is not None:
            masked |= margin_mask(similarities, own, margin)
        return similarities * scale, masked

    wanted = weights.by_term()
    terms: dict[str, Tensor] = {}
    if "forward" in wanted or "kl" in wanted:
        forward, forward_masked = scores(batch.anchors, batch.anchor_keys, batch.passages, batch.passage_keys)
        if "forward" in wanted:
            terms["forward"] = info_nce(forward, own, forward_masked)
    if "reverse" in wanted or "kl" in wanted:
        reverse, reverse_masked = scores(batch.passages, batch.passage_keys, batch.queries, batch.query_keys)
        if "reverse" in wanted:
            terms["reverse"] = info_nce(reverse, own, reverse_masked)
    if "kl" in wanted:
        terms["kl"] = divergence(reverse, forward, reverse_masked | forward_masked, kind)
    if "cross" in wanted:
        cross, cross_masked = scores(batch.queries, batch.query_keys, batch.passages, batch.passage_keys)
        terms["cross"] = info_nce(cross, own, cross_masked)
    if "guard" in wanted:
        pairs = (batch.anchors, batch.base_anchors), (batch.passages, batch.base_positives)
        kept = [
            torch.cosine_similarity(now[own], base[own]) for now, base in pairs if now is not None and base is not None
        ]
        assert len(kept) == 2, "the guard term lacks its columns"
        terms["guard"] = 1 - (kept[0] + kept[1]) / 2
    return terms
