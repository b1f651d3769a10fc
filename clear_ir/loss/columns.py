"""Where each kind of text stands among the columns that a CLEAR loss is handed, and which of them it reads."""

from __future__ import annotations

from dataclasses import dataclass

from clear_ir.loss.terms import Weights

ORDER = "anchor, positive, negative_1..n, cross_anchor, neg_query_1..m"


@dataclass(frozen=True)
class Columns:
    """The layout: anchor first, positive second.

    Args:
        negatives: Columns of negative passages.
        cross_anchor: Column of the target-language query.
        neg_queries: Columns of negative target-language queries.
        used: The columns that a term with a weight reads, in order.
    """

    negatives: range
    cross_anchor: int
    neg_queries: range
    used: tuple[int, ...]

    anchor = 0
    positive = 1


def lay_out(count: int, weights: Weights, num_negatives: int | None) -> Columns:
    """Lay ``count`` columns out, or say why they do not fit.

    Args:
        count: Columns handed over.
        weights: Of the terms; KL needs as many negative queries as negative passages.
        num_negatives: Columns of negative passages; None splits the negatives evenly.

    Returns:
        The layout.

    Raises:
        ValueError: If there are too few columns, or the negatives cannot be told apart or paired.
    """
    rest = count - 3
    if rest < 0:
        raise ValueError(f"The CLEAR loss needs the columns {ORDER}, at least 3; it was given {count}.")
    if num_negatives is None and rest % 2:
        raise ValueError(
            f"The CLEAR loss was given {count} columns, which leaves {rest} negatives after anchor, positive and "
            f"cross_anchor: an odd number. Give as many neg_query as negative columns ({ORDER} with m = n), or set "
            "beta=0 and num_negatives=n."
        )
    negatives = rest // 2 if num_negatives is None else num_negatives
    queries = rest - negatives
    if queries < 0:
        raise ValueError(
            f"num_negatives={negatives} needs at least {3 + negatives} columns ({ORDER}); the CLEAR loss was given "
            f"{count}."
        )
    if weights.beta > 0 and queries != negatives:
        raise ValueError(
            f"The KL term pairs negatives by index, but {count} columns with num_negatives={negatives} hold "
            f"{negatives} negative passages and {queries} negative queries. Give equal numbers or set beta=0."
        )
    wanted = set(weights.by_term())
    cross_anchor = 2 + negatives
    used = {1}
    if wanted & {"forward", "kl", "guard"}:
        used.add(0)
    if wanted & {"forward", "kl", "cross"}:
        used.update(range(2, cross_anchor))
    if wanted & {"reverse", "kl", "cross"}:
        used.add(cross_anchor)
    if wanted & {"reverse", "kl"}:
        used.update(range(cross_anchor + 1, count))
    return Columns(range(2, cross_anchor), cross_anchor, range(cross_anchor + 1, count), tuple(sorted(used)))
