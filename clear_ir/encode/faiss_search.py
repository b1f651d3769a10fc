"""Search by FAISS: the exact one, on a GPU where it finds one, and approximate indexes for very many queries."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.encode.search import passage_blocks, top_k

#: Passages that are copied at once, to a GPU or into an index.
PASSAGES_AT_ONCE = 2**17
#: Passages for each list of an IVF index when its centres are found; FAISS warns below 39.
PER_LIST = 40
#: Links of a passage in an HNSW graph.
LINKS = 32
#: How many times k passages a search in the graph keeps in view at most.
MOST_KEPT = 64


def load_faiss() -> Any:
    """The library.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            "FAISS is not installed. Install it with: pip install 'clear-ir[faiss]'. Or search without it: exact.",
            "index",
        ) from error
    return faiss


def flat_top_k(
    queries: np.ndarray, passages: np.ndarray, k: int, order: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What `clear_ir.encode.search.top_k` finds, in its order, but FAISS computes it; on a GPU if it finds one.

    Args:
        queries: Shape (num_queries, dim), float32.
        passages: Shape (num_passages, dim), float32.
        k: Passages per query.
        order: As in `top_k`.

    Returns:
        Scores and rows of all queries, as in `top_k`.
    """
    faiss = load_faiss()
    # A build for CPUs has no get_num_gpus.
    on_gpu = getattr(faiss, "get_num_gpus", int)() > 0
    resources = [faiss.StandardGpuResources()] if on_gpu else []
    search = faiss.knn_gpu if on_gpu else faiss.knn
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for first, block in passage_blocks(passages, order, PASSAGES_AT_ONCE):
        depth = min(k + 1, len(block))
        found = search(*resources, queries, np.ascontiguousarray(block), depth, metric=faiss.METRIC_INNER_PRODUCT)
        new_scores, new_rows = (values[:, :k] for values in found)
        # FAISS takes any of the passages with the k-th best score. Where there are several, the first ones are wanted.
        tied = np.flatnonzero((found[0][:, k - 1 : k] == found[0][:, k:]).any(axis=1))
        if len(tied):
            [(new_scores[tied], new_rows[tied])] = top_k(queries[tied], block, k, len(tied))
        scores, rows = np.hstack([scores, new_scores]), np.hstack([rows, new_rows + first])
        best = np.lexsort((rows, -scores))[:, :k]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return scores, rows


class ApproximateIndex:
    """An index that finds most of the best passages without scoring all of them.

    It holds the passages in half precision, in memory. What it finds is scored by the vectors themselves.

    Args:
        kind: ivf: passages in lists by their nearest centre, of which a query searches some. hnsw: a graph, in which a
            query goes from passage to passage.
        passages: Shape (num_passages, dim), float32.
        order: As in `clear_ir.encode.search.top_k`.

    Attributes:
        effort: How many lists a query searches, or how many times k passages it keeps in view. More finds more, and
            takes longer.
        most_effort: With more, to score all passages is as fast.
    """

    def __init__(self, kind: Literal["ivf", "hnsw"], passages: np.ndarray, order: np.ndarray | None = None) -> None:
        self.kind, self._passages, self._order = kind, passages, order
        self._faiss = load_faiss()
        count = len(passages if order is None else order)
        lists = min(max(1, count // PER_LIST), round(4 * math.sqrt(count)))
        layout = f"IVF{lists},SQfp16" if kind == "ivf" else f"HNSW{LINKS}_SQfp16"
        self._index = self._faiss.index_factory(passages.shape[1], layout, self._faiss.METRIC_INNER_PRODUCT)
        # A graph learns nothing from it, but older versions of FAISS ask for it.
        sample = np.linspace(0, count - 1, min(count, lists * PER_LIST)).astype(np.int64)
        self._index.train(passages[sample if order is None else order[sample]])
        for _, block in passage_blocks(passages, order, PASSAGES_AT_ONCE):
            self._index.add(np.ascontiguousarray(block))
        self.effort, self.most_effort = 1, max(1, lists // 4) if kind == "ivf" else MOST_KEPT
        self._count = count

    def top_k(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Most of the k passages with the highest dot product for each query.

        Args:
            queries: Shape (num_queries, dim), float32.
            k: Passages per query.

        Returns:
            Scores and rows as in `clear_ir.encode.search.top_k`. A query for which the index finds fewer than k gets
            the exact ones.
        """
        k = min(k, self._count)
        effort: Any
        if self.kind == "ivf":
            effort = self._faiss.SearchParametersIVF(nprobe=self.effort)
        else:
            effort = self._faiss.SearchParametersHNSW(efSearch=min(self.effort * k, self._count))
        rows: np.ndarray = self._index.search(queries, k, params=effort)[1]
        scores = np.empty(rows.shape, np.float32)
        for query, found in enumerate(rows):
            vectors = self._passages[found if self._order is None else self._order[found]]
            scores[query] = vectors @ queries[query]
        best = np.lexsort((rows, -scores))
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
        if len(short := np.flatnonzero(rows.min(axis=1, initial=0) < 0)):
            [(scores[short], rows[short])] = top_k(queries[short], self._passages, k, len(short), self._order)
        return scores, rows
