"""Exact search in blocks: the top k passages of a query, and the rank of any passage. Ties are as in trec_eval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Run = dict[str, dict[str, float]]

#: Passages scored at once. A block of scores this small profits from the processor's cache.
PASSAGE_BLOCK = 8192
#: Size of the groups of scores from which `_lower_bound` takes the best.
GROUP = 16
#: Scores in memory at once when a query needs the scores of all passages: 64 MiB.
SCORES_AT_ONCE = 2**24


def top_k(
    queries: np.ndarray, passages: np.ndarray, k: int, block_size: int = 1024, order: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The k passages with the highest dot product for each query, exactly, in bounded memory.

    Args:
        queries: Shape (num_queries, dim), float32.
        passages: Shape (num_passages, dim), float32.
        k: Passages per query; at most num_passages.
        block_size: Queries scored at once.
        order: Rows of `passages`: only these are searched, in this order. They are never copied as a whole, since the
            passages may be larger than the memory. None: all of them, as they are.

    Yields:
        For each block of queries, scores and rows of `passages` (with an order: places in it), both of shape
        (num_in_block, k), best first. Of equal scores, the earlier one comes first.
    """
    k = min(k, len(passages if order is None else order))
    for begin in range(0, len(queries), block_size):
        block = queries[begin : begin + block_size]
        scores, rows = np.empty((len(block), 0), np.float32), np.empty((len(block), 0), np.int64)
        for first, passage_block in passage_blocks(passages, order, PASSAGE_BLOCK):
            new_scores = block @ passage_block.T
            # Only a few new scores can still get into the top k. Once k passages are known, a new one must beat the
            # last of them; on a tie the known passage stays, since its row is earlier.
            k_known = scores.shape[1] == k
            can_enter = new_scores > scores[:, -1:] if k_known else new_scores >= _lower_bound(new_scores, k)
            scores, rows = _merge(scores, rows, new_scores, can_enter, first, k)
        yield scores, rows


def rank_all(
    queries: np.ndarray, passages: np.ndarray, order: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All passages by their dot product with each query. It is as `top_k` with all passages, but faster for these.

    Args:
        queries: Shape (num_queries, dim), float32.
        passages: Shape (num_passages, dim), float32.
        order: As in `top_k`.

    Yields:
        For each query, scores and rows, both of shape (num_passages,), best first.
    """
    for _, scores in _all_scores(queries, passages, order):
        for row in scores:
            ranked = np.argsort(-row, kind="stable")
            yield row[ranked], ranked


def passage_blocks(passages: np.ndarray, order: np.ndarray | None, block_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The passages in blocks, each with the place of its first.

    Args:
        passages: Shape (num_passages, dim).
        order: As in `top_k`.
        block_size: Passages in a block.
    """
    for first in range(0, len(passages if order is None else order), block_size):
        block = slice(first, first + block_size)
        yield first, passages[block] if order is None else passages[order[block]]


def _all_scores(
    queries: np.ndarray, passages: np.ndarray, order: np.ndarray | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """The scores of all passages for some queries at a time, with the number of the first of these queries."""
    count = len(passages if order is None else order)
    block_size = max(1, SCORES_AT_ONCE // max(1, count))
    for begin in range(0, len(queries), block_size):
        some = queries[begin : begin + block_size]
        scores = np.empty((len(some), count), np.float32)
        for first, block in passage_blocks(passages, order, PASSAGE_BLOCK):
            scores[:, first : first + len(block)] = some @ block.T
        yield begin, scores


def _lower_bound(scores: np.ndarray, k: int) -> np.ndarray:
    """A lower bound of each row's k-th best score, shape (num_queries, 1), that few other scores reach."""
    # The bound is the k-th best of the groups' best scores. It holds: k groups have a best score at least that high, so
    # at least k scores are. It is cheap: np.partition gets one score per group instead of all scores. Columns behind
    # the last full group are ignored, which can only lower the bound.
    num_groups = scores.shape[1] // GROUP
    if num_groups > k:
        groups = scores[:, : num_groups * GROUP].reshape(len(scores), GROUP, num_groups)
        scores = groups.max(axis=1)
    at = max(scores.shape[1] - k, 0)
    return np.partition(scores, at, axis=1)[:, at, None]


def _merge(
    scores: np.ndarray, rows: np.ndarray, new_scores: np.ndarray, can_enter: np.ndarray, first: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The top k of the known passages and of a block of new ones.

    Args:
        scores: Scores of the known passages, best first, shape (num_queries, num_known).
        rows: Their rows, same shape.
        new_scores: Scores of the block, shape (num_queries, num_in_block).
        can_enter: Which of the new scores may be in the top k, same shape.
        first: Row of the block's first passage.
        k: Passages per query.

    Returns:
        Scores and rows, best first.
    """
    # Flat indices, since np.nonzero on two dimensions is slower. They come in the order of queries, then columns.
    query, column = np.divmod(np.flatnonzero(can_enter), new_scores.shape[1])
    counts = np.bincount(query, minlength=len(new_scores))
    num_known, num_added = scores.shape[1], int(counts.max())
    if not num_added:
        return scores, rows
    # Each query has another number of new passages. They go behind its known ones: the i-th new passage of a query goes
    # to slot num_known + i, where i is its index among all minus that of the query's first. Unused slots hold -inf.
    slot = num_known + np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    all_scores = np.full((len(new_scores), num_known + num_added), -np.inf, np.float32)
    all_rows = np.zeros((len(new_scores), num_known + num_added), np.int64)
    all_scores[:, :num_known], all_rows[:, :num_known] = scores, rows
    all_scores[query, slot], all_rows[query, slot] = new_scores[query, column], column + first
    # A stable sort keeps the earlier row first on a tie.
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
    """Score every passage for every query by dot product and return the best k.

    Args:
        query_embeddings: Shape (num_queries, dim), float32; normalized for cosine.
        passage_embeddings: Shape (num_passages, dim), float32.
        query_ids: The id of each query.
        passage_ids: The id of each passage.
        k: Passages per query.
        block_size: Queries scored at once.

    Returns:
        `{query id: {passage id: score}}`, best first; without passages, an empty dict per query. On equal scores the
        higher passage id comes first, as in trec_eval. So a measure at a depth of at most k is the same with and
        without the cut.
    """
    if not len(passage_ids) or k < 1:
        return {query: {} for query in query_ids}
    order = _high_ids_first(passage_ids)
    ids = [passage_ids[i] for i in order]
    names = iter(query_ids)
    run: Run = {}
    for scores, rows in top_k(query_embeddings, passage_embeddings, k, block_size, order):
        for best_scores, best_rows in zip(scores.tolist(), rows.tolist(), strict=True):
            run[next(names)] = {ids[i]: score for i, score in zip(best_rows, best_scores, strict=True)}
    return run


def rank_passages(
    query_embeddings: np.ndarray,
    passage_embeddings: np.ndarray,
    query_ids: Sequence[str],
    passage_ids: Sequence[str],
    wanted: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, int]]:
    """Find the ranks of chosen passages among all passages, without sorting.

    Args:
        query_embeddings: As in `search_top_k`.
        passage_embeddings: As in `search_top_k`.
        query_ids: The id of each query.
        passage_ids: The id of each passage.
        wanted: `{query id: passage ids}`: the passages whose rank is returned.

    Returns:
        `{query id: {passage id: rank}}`. Ranks start at 1 and follow the order of `search_top_k`.
    """
    place_in_order = np.argsort(_high_ids_first(passage_ids))
    column_of = {passage: column for column, passage in enumerate(passage_ids)}
    ranks: dict[str, dict[str, int]] = {}
    for begin, scores in _all_scores(query_embeddings, passage_embeddings):
        for query, row in zip(query_ids[begin : begin + len(scores)], scores, strict=True):
            ranks[query] = {}
            for passage in wanted[query]:
                column = column_of[passage]
                # Ahead of a passage are higher scores, and equal scores of higher ids.
                equal = np.flatnonzero(row == row[column])
                ahead = np.count_nonzero(place_in_order[equal] < place_in_order[column])
                ranks[query][passage] = int(np.count_nonzero(row > row[column]) + ahead) + 1
    return ranks


def _high_ids_first(passage_ids: Sequence[str]) -> np.ndarray:
    """The passages' order by id, the highest first. Searched in this order, the earlier passage wins a tie."""
    return np.array(sorted(range(len(passage_ids)), key=lambda i: passage_ids[i], reverse=True), np.int64)
