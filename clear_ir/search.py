"""Exact search in blocks with trec_eval's tie rule: the top k passages, and the rank of any passage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
        ``{query id: {passage id: score}}``, best first; nothing for a query where there are no passages. Equal
        scores are ordered as trec_eval does, the higher passage id first, so that cutting at k never changes a
        measure.
    """
    if not len(passage_ids) or k < 1:
        return {query: {} for query in query_ids}
    run: Run = {}
    k = min(k, len(passage_ids))
    for query, ids, row, limit in _scored(query_embeddings, passage_embeddings, query_ids, passage_ids, k, block_size):
        reaching = np.flatnonzero(row >= limit)
        best = reaching[np.argsort(-row[reaching], kind="stable")][:k]
        run[query] = {ids[i]: float(row[i]) for i in best}
    return run


def rank_passages(
    query_embeddings: np.ndarray,
    passage_embeddings: np.ndarray,
    query_ids: Sequence[str],
    passage_ids: Sequence[str],
    wanted: Mapping[str, Sequence[str]],
    block_size: int = 1024,
) -> dict[str, dict[str, int]]:
    """Ranks of chosen passages among all of them, without sorting.

    Args:
        query_embeddings: As for :func:`search_top_k`.
        passage_embeddings: As for :func:`search_top_k`.
        query_ids: One id a query.
        passage_ids: One id a passage.
        wanted: ``{query id: passage ids}`` to find the rank of.
        block_size: Queries scored at once.

    Returns:
        ``{query id: {passage id: rank}}``, from 1, by the order of :func:`search_top_k`.
    """
    place = {passage: i for i, passage in enumerate(sorted(passage_ids, reverse=True))}
    ranks: dict[str, dict[str, int]] = {}
    for query, _, row, _ in _scored(query_embeddings, passage_embeddings, query_ids, passage_ids, 1, block_size):
        ranks[query] = {}
        for passage in wanted[query]:
            at = place[passage]
            before = np.count_nonzero(row > row[at]) + np.count_nonzero(row[:at] == row[at])
            ranks[query][passage] = int(before) + 1
    return ranks


def _scored(
    query_embeddings: np.ndarray,
    passage_embeddings: np.ndarray,
    query_ids: Sequence[str],
    passage_ids: Sequence[str],
    k: int,
    block_size: int,
) -> Iterator[tuple[str, list[str], np.ndarray, float]]:
    """For each query its id, the passage ids from high to low, their scores, and the k-th best score."""
    order = sorted(range(len(passage_ids)), key=lambda i: passage_ids[i], reverse=True)
    ids = [passage_ids[i] for i in order]
    passages = passage_embeddings[order].T
    for begin in range(0, len(query_ids), block_size):
        scores = query_embeddings[begin : begin + block_size] @ passages
        limits = np.partition(scores, len(ids) - k, axis=1)[:, len(ids) - k]
        for query, row, limit in zip(query_ids[begin : begin + block_size], scores, limits, strict=True):
            yield query, ids, row, limit
