"""Exact search in blocks with trec_eval's tie rule: the top k passages, and the rank of any passage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Run = dict[str, dict[str, float]]

#: Passages scored at once. A block of scores stays small enough for a processor's cache to be of help.
PASSAGE_BLOCK = 8192
#: Columns of which the best score stands for all when a bound on the k-th best is sought.
GROUP = 16
#: Scores held at once where a query needs those of all passages: 64 MiB.
SCORES_HELD = 2**24


def top_k(
    queries: np.ndarray, passages: np.ndarray, k: int, block_size: int = 1024
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The k passages with the highest dot product for each query, exactly, in bounded memory.

    Args:
        queries: Shape (num_queries, dim), float32.
        passages: Shape (num_passages, dim), float32.
        k: Passages a query; at most num_passages are found.
        block_size: Queries at once.

    Yields:
        For each block of queries scores and rows of ``passages``, both of shape (num_in_block, k), best first;
        of equal scores the earlier row stands first.
    """
    k = min(k, len(passages))
    for begin in range(0, len(queries), block_size):
        block = queries[begin : begin + block_size]
        scores, rows = np.empty((len(block), 0), np.float32), np.empty((len(block), 0), np.int64)
        for first in range(0, len(passages), PASSAGE_BLOCK):
            found = block @ passages[first : first + PASSAGE_BLOCK].T
            # The rows held come earlier, so that an equal score does not displace them.
            full = scores.shape[1] == k
            better = found > scores[:, -1:] if full else found >= _lower_bound(found, k)
            scores, rows = _merged(scores, rows, found, better, first, k)
        yield scores, rows


def _lower_bound(scores: np.ndarray, k: int) -> np.ndarray:
    """A score, shape (num_queries, 1), that the best k of each row reach and few others."""
    # Of groups of columns, k have a best score that high: partitioning those is far less work than partitioning all.
    num_groups = scores.shape[1] // GROUP
    if num_groups > k:
        even = scores[:, : num_groups * GROUP].reshape(len(scores), GROUP, num_groups)
        scores = even.max(axis=1)
    at = max(scores.shape[1] - k, 0)
    return np.partition(scores, at, axis=1)[:, at, None]


def _merged(
    scores: np.ndarray, rows: np.ndarray, found: np.ndarray, better: np.ndarray, first: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best k of those held and of the ``better`` ones of a block of passages that starts at ``first``."""
    query, column = np.divmod(np.flatnonzero(better), found.shape[1])
    counts = np.bincount(query, minlength=len(found))
    held, most = scores.shape[1], int(counts.max())
    if not most:
        return scores, rows
    slot = held + np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    all_scores = np.full((len(found), held + most), -np.inf, np.float32)
    all_rows = np.zeros((len(found), held + most), np.int64)
    all_scores[:, :held], all_rows[:, :held] = scores, rows
    all_scores[query, slot], all_rows[query, slot] = found[query, column], column + first
    order = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(all_scores, order, 1), np.take_along_axis(all_rows, order, 1)


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
    order = _high_ids_first(passage_ids)
    ids = [passage_ids[i] for i in order]
    names = iter(query_ids)
    run: Run = {}
    for scores, rows in top_k(query_embeddings, passage_embeddings[order], k, block_size):
        for best, where in zip(scores.tolist(), rows.tolist(), strict=True):
            run[next(names)] = {ids[i]: score for i, score in zip(where, best, strict=True)}
    return run


def rank_passages(
    query_embeddings: np.ndarray,
    passage_embeddings: np.ndarray,
    query_ids: Sequence[str],
    passage_ids: Sequence[str],
    wanted: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, int]]:
    """Ranks of chosen passages among all of them, without sorting.

    Args:
        query_embeddings: As for :func:`search_top_k`.
        passage_embeddings: As for :func:`search_top_k`.
        query_ids: One id a query.
        passage_ids: One id a passage.
        wanted: ``{query id: passage ids}`` to find the rank of.

    Returns:
        ``{query id: {passage id: rank}}``, from 1, by the order of :func:`search_top_k`.
    """
    order = _high_ids_first(passage_ids)
    place = {passage_ids[i]: place for place, i in enumerate(order)}
    passages = passage_embeddings[order].T
    ranks: dict[str, dict[str, int]] = {}
    block_size = max(1, SCORES_HELD // max(1, len(passage_ids)))
    for begin in range(0, len(query_ids), block_size):
        scores = query_embeddings[begin : begin + block_size] @ passages
        for query, row in zip(query_ids[begin : begin + block_size], scores, strict=True):
            ranks[query] = {}
            for passage in wanted[query]:
                at = place[passage]
                before = np.count_nonzero(row > row[at]) + np.count_nonzero(row[:at] == row[at])
                ranks[query][passage] = int(before) + 1
    return ranks


def _high_ids_first(passage_ids: Sequence[str]) -> list[int]:
    return sorted(range(len(passage_ids)), key=lambda i: passage_ids[i], reverse=True)
