"""How candidates are searched: exactly, or by an approximate index whose recall is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from clear_ir.encode.faiss_search import ApproximateIndex, flat_top_k
from clear_ir.encode.search import top_k
from clear_ir.mine.settings import MiningSettings
from clear_ir.mine.vectors import Vectors

#: Scores and columns of the best candidates, best first, for some vectors and a number of candidates.
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]

#: Fewer candidates than these are searched exactly: that takes no time.
MIN_INDEXED = 20_000
#: Rows whose exact window is compared with that of the index.
COMPARED = 256


@dataclass(frozen=True)
class IndexRecall:
    """What an approximate index finds of the exact ranking.

    Args:
        index: Its kind.
        pool: What the candidates are.
        candidates: Their number.
        effort: How much it searches, see `clear_ir.encode.faiss_search.ApproximateIndex`.
        rows: On how many rows its recall was measured.
        window: The share of the exact window that is in its window. Known positives count as candidates here.
        best: The share of the exact best candidates, up to the end of the window, that it finds.
        wanted: The share that the window should have.
    """

    index: str
    pool: str
    candidates: int
    effort: int
    rows: int
    window: float
    best: float
    wanted: float

    def sentence(self) -> str:
        """The recall for people, and what to do if it is low."""
        said = (
            f"Index {self.index} of {self.candidates:,} {self.pool}: {100 * self.window:.1f} % of the exact window is "
            f"in its window, and it finds {100 * self.best:.1f} % of the candidates up to there "
            f"({self.rows} rows compared)."
        )
        if self.window >= self.wanted:
            return said
        return (
            f"{said} That is less than the {100 * self.wanted:g} % of index_recall, so the negatives are others than "
            "those of an exact search. Search exactly, or try the other index."
        )


def index_notes(settings: MiningSettings, recalls: Sequence[IndexRecall]) -> list[str]:
    """What people should know about the indexes, a sentence or two each.

    Args:
        settings: Which index was asked for.
        recalls: Of the indexes that were made.
    """
    if settings.index in ("ivf", "hnsw") and not recalls:
        return [f"All pools have fewer than {MIN_INDEXED:,} candidates, so they were searched exactly."]
    return [recall.sentence() for recall in recalls]


def open_search(
    anchors: Vectors, candidates: Vectors, settings: MiningSettings, pool: str
) -> tuple[Search, IndexRecall | None]:
    """Make ready to search candidates.

    Args:
        anchors: For which they are ranked.
        candidates: The candidates.
        settings: Index and window.
        pool: What the candidates are.

    Returns:
        The search, and the recall of an approximate index.
    """
    if settings.index == "exact" or len(candidates) < MIN_INDEXED:
        return partial(_exact, candidates), None
    if settings.index == "flat":
        return lambda vectors, depth: flat_top_k(vectors, candidates.matrix, depth, candidates.rows), None
    index = ApproximateIndex(settings.index, candidates.matrix, candidates.rows)
    return index.top_k, _fit_effort(index, anchors, candidates, settings, pool)


def _exact(candidates: Vectors, vectors: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    [found] = top_k(vectors, candidates.matrix, depth, len(vectors), candidates.rows)
    return found


def _fit_effort(
    index: ApproximateIndex, anchors: Vectors, candidates: Vectors, settings: MiningSettings, pool: str
) -> IndexRecall:
    """Search more until the recall is as wanted, and measure it."""
    rows = np.unique(np.linspace(0, len(anchors) - 1, COMPARED).astype(np.int64))
    vectors, depth = anchors.select(rows)[:], settings.range_max
    exact = _exact(candidates, vectors, depth)[1]

    def recalls() -> tuple[float, float]:
        found = index.top_k(vectors, depth)[1]
        window, best = (_mean_shared(exact[:, begin:], found[:, begin:]) for begin in (settings.range_min, 0))
        return window, best

    window, best = recalls()
    while window < settings.index_recall and index.effort < index.most_effort:
        index.effort = min(2 * index.effort, index.most_effort)
        window, best = recalls()
    wanted = settings.index_recall
    return IndexRecall(settings.index, pool, len(candidates), index.effort, len(rows), window, best, wanted)


def _mean_shared(exact: np.ndarray, found: np.ndarray) -> float:
    """The share of the columns of each row that the other array has in that row, as a mean over rows."""
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)]))
