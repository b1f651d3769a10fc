"""The layout of the columns that a CLEAR loss takes: which column holds what, and which of them the loss reads."""

from __future__ import annotations

from dataclasses import dataclass

from clear_ir.loss.terms import Weights

ORDER = "anchor, positive, negative_1..n, cross_anchor, neg_query_1..m"
#: The trainer hands over columns without their names, so the loss can only point to the usual mistake.
METADATA = "Columns that are no texts of the loss (lang, id, passage_id) must be removed first."


@dataclass(frozen=True)
class Columns:
    """The layout. The first column is the anchor, the second the positive.

    Args:
        negatives: Columns of negative passages.
        cross_anchor: Column of the target-language query.
        neg_queries: Columns of negative target-language queries.
        used: The columns that a term with a weight above 0 reads, in order.
    """

    negatives: range
    cross_anchor: int
    neg_queries: range
    used: tuple[int, ...]

    anchor = 0
    positive = 1


def lay_out(count: int, weights: Weights, num_negatives: int | None) -> Columns:
    """Find which of `count` columns holds what.

    Args:
        count: Number of columns that the loss gets.
        weights: Weights of the terms. KL needs as many negative queries as negative passages.
        num_negatives: Number of columns of negative passages. None: half of the negatives.

    Returns:
        The layout.

    Raises:
        ValueError: If there are too few columns, or the negatives cannot be split or paired.
    """
    num_all_negatives = count - 3
    if num_all_negatives < 0:
        raise ValueError(f"The CLEAR loss needs the columns {ORDER}, at least 3; it was given {count}. {METADATA}")
    if num_negatives is None and num_all_negatives % 2:
        raise ValueError(
            f"The CLEAR loss was given {count} columns. Without anchor, positive and cross_anchor these are "
            f"{num_all_negatives} negatives, an odd number. Give as many neg_query as negative columns ({ORDER} with "
            f"m = n), or set beta=0 and num_negatives=n. {METADATA}"
        )
    negatives = num_all_negatives // 2 if num_negatives is None else num_negatives
    queries = num_all_negatives - negatives
    if queries < 0:
        raise ValueError(
            f"num_negatives={negatives} needs at least {3 + negatives} columns ({ORDER}); the CLEAR loss was given "
            f"{count}."
        )
    if (pairing := weights.pairing_term) and queries != negatives:
        raise ValueError(
            f"The {pairing.name} term pairs negatives by index, but {count} columns with num_negatives={negatives} "
            f"hold {negatives} negative passages and {queries} negative queries. Give equal numbers or set "
            f"{pairing.weight}=0. {METADATA}"
        )
    cross_anchor = 2 + negatives
    columns_of = {
        "anchor": range(1),
        "negatives": range(2, cross_anchor),
        "cross_anchor": range(cross_anchor, cross_anchor + 1),
        "neg_queries": range(cross_anchor + 1, count),
    }
    used = {column for term in weights.terms for kind in term.reads for column in columns_of[kind]}
    used.add(Columns.positive)
    return Columns(columns_of["negatives"], cross_anchor, columns_of["neg_queries"], tuple(sorted(used)))
