"""Exact search: the top k passages of each query, in blocks, with trec_eval's tie rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Run = dict[str, dict[str, float]]


def search_top_k(
    query_embeddings: np.ndarray,
    passage_embeddings: np.ndarray,
    query_ids: Sequence[str],
    passage_ids: Sequence[str],
    k: int = 100,
    block_size: int = 1024,
) -> Run:
    """Score every passage for every query by dot product and keep the best k.

    Args:
        query_embeddings: Shape (num_queries, dim), float32; normalized for cosine.
        passage_embeddings: Shape (num_passages, dim), float32.
        query_ids: One id a query.
        passage_ids: One id a passage.
        k: Passages kept a query.
        block_size: Queries scored at once.

    Returns:
        ``{query id: {passage id: score}}``, best first. Equal scores are ordered as trec_eval does, the
        higher passage id first, so that cutting at k never changes a measure.
    """
    order = sorted(range(len(passage_ids)), key=lambda i: passage_ids[i], reverse=True)
    ids = [passage_ids[i] for i in order]
    passages = passage_embeddings[order].T
    k = min(k, len(ids))
    run: Run = {}
    for begin in range(0, len(query_ids), block_size):
        scores = query_embeddings[begin : begin + block_size] @ passages
        kth = np.partition(scores, len(ids) - k, axis=1)[:, len(ids) - k] if k else np.empty(len(scores))
        for query, row, limit in zip(query_ids[begin : begin + block_size], scores, kth, strict=True):
            reaching = np.flatnonzero(row >= limit)
            best = reaching[np.argsort(-row[reaching], kind="stable")][:k]
            run[query] = {ids[i]: float(row[i]) for i in best}
    return run
