"""Encode the texts of a data set ahead of time, so that later stages find them in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clear_ir.prepare.prepared import Prepared

if TYPE_CHECKING:
    from clear_ir.encode.model_loading import Side
    from clear_ir.encode.text_encoder import TextEncoder


def encode_prepared(encoder: TextEncoder, prepared: Prepared) -> dict[Side, int]:
    """Encode all that mining and evaluation need of a data set.

    Args:
        encoder: The encoder, with a cache.
        prepared: The data set.

    Returns:
        The number of distinct queries and passages.
    """
    queries = {text: None for row in prepared.rows for text in (row.query, row.cross_query)}
    passages = {row.passage: None for row in prepared.rows}
    for collection in prepared.collections.values():
        queries |= {text.full_text: None for text in collection.queries.values()}
        passages |= {text.full_text: None for text in collection.passages.values()}
    texts: dict[Side, list[str]] = {"query": list(queries), "passage": list(passages)}
    for side, of_side in texts.items():
        encoder.encode(of_side, side)
    return {side: len(of_side) for side, of_side in texts.items()}
