"""Choose the negatives of one side: rank the candidates of each row, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clear_ir.encode.search import rank_all, top_k
from clear_ir.mine.candidate_search import IndexRecall, open_search
from clear_ir.mine.fitting import fit_window
from clear_ir.mine.rank_windows import ChosenNegatives, order_candidates, pick_in_windows, pick_nearest, score_limits
from clear_ir.mine.settings import MiningSettings
from clear_ir.mine.vectors import ANCHORS_AT_ONCE, Vectors

if TYPE_CHECKING:
    from tqdm import tqdm

    from clear_ir.mine.rescoring import Rescorer

#: Rows ranked at once if a cross-encoder scores the candidates, which takes much longer: so that the bar moves.
RESCORED_AT_ONCE = 64
#: How many times as deep each further ranking of a row without enough negatives is. To sort all candidates takes long.
DEEPER = 8


@dataclass
class SideNegatives:
    """The negatives of all rows on one side.

    Args:
        columns: Columns of the negatives among the candidates, best score first, shape (num_rows, n).
        scores: Scores of the negatives, same shape.
        positives: Score of the row's positive, shape (num_rows,).
        filtered: Number of candidates in the window that a margin removed, shape (num_rows,).
        widened: Whether the window had too few candidates and was widened, shape (num_rows,).
        complete: Whether the row has n negatives, shape (num_rows,).
        rescores: The cross-encoder's scores of the positive and of the negatives, shape (num_rows, 1 + n); without a
            cross-encoder shape (num_rows, 0).
        rejected: Number of candidates that the cross-encoder removed, shape (num_rows,).
    """

    columns: np.ndarray
    scores: np.ndarray
    positives: np.ndarray
    filtered: np.ndarray
    widened: np.ndarray
    complete: np.ndarray
    rescores: np.ndarray
    rejected: np.ndarray

    @classmethod
    def empty(cls, positives: np.ndarray, n: int, rescored: bool = False) -> SideNegatives:
        """Rows without negatives yet.

        Args:
            positives: Score of each row's positive, shape (num_rows,).
            n: Number of negatives per row.
            rescored: Whether a cross-encoder scores them.
        """
        count = len(positives)
        return cls(
            columns=np.zeros((count, n), np.int64),
            scores=np.zeros((count, n), np.float32),
            positives=positives,
            filtered=np.zeros(count, np.int64),
            widened=np.zeros(count, bool),
            complete=np.zeros(count, bool),
            rescores=np.zeros((count, (1 + n) * rescored), np.float32),
            rejected=np.zeros(count, np.int64),
        )

    def put(self, rows: np.ndarray, chosen: ChosenNegatives, widened: bool) -> None:
        """Enter the negatives of some rows. Rows that are not complete stay empty.

        Args:
            rows: The rows' numbers.
            chosen: Their negatives.
            widened: Whether the window was widened for them.
        """
        complete = rows[chosen.complete]
        if len(complete):
            self.columns[complete] = chosen.columns[chosen.complete]
            self.scores[complete] = chosen.scores[chosen.complete]
            self.filtered[complete], self.widened[complete] = chosen.filtered[chosen.complete], widened
            self.complete[complete] = True

    def select(self, rows: np.ndarray) -> SideNegatives:
        """Only some of the rows."""
        return SideNegatives(*(values[rows] for values in vars(self).values()))

    def summary(self) -> dict[str, float | int]:
        """Means and counts to print."""
        summary: dict[str, float | int] = {
            "positive score, mean": round(float(self.positives.mean()), 3),
            "negative score, mean": round(float(self.scores.mean()), 3),
            "negative score, highest": round(float(self.scores.max()), 3),
            "filtered by margin": int(self.filtered.sum()),
            "rows with widened window": int(self.widened.sum()),
        }
        if self.rescores.size:
            summary |= {
                "filtered by the cross-encoder": int(self.rejected.sum()),
                "positive rescored, mean": round(float(self.rescores[:, 0].mean()), 3),
                "negative rescored, mean": round(float(self.rescores[:, 1:].mean()), 3),
            }
        return summary


class Chooser:
    """Ranks the candidates of rows and chooses their negatives, a block of rows at a time.

    Args:
        settings: Window, margins and number of negatives.
        offset: Added to the row's number for the random draw, so that the two sides draw different ranks.
        bar: Counts the rows.
        notes: Gets a sentence for each window that is fitted to its pool.
        rescorer: Scores the candidates again. None: the encoder's scores decide alone.

    Attributes:
        recalls: What approximate indexes find of the exact rankings.
    """

    def __init__(
        self, settings: MiningSettings, offset: int, bar: tqdm, notes: list[str], rescorer: Rescorer | None = None
    ) -> None:
        self.settings, self.offset, self.bar, self.notes, self.rescorer = settings, offset, bar, notes, rescorer
        self.recalls: list[IndexRecall] = []

    def fill(
        self,
        side: SideNegatives,
        rows: np.ndarray,
        anchors: Vectors,
        candidates: Vectors,
        excluded: list[list[int]],
        pool: str,
    ) -> None:
        """Choose the negatives of some rows and enter them.

        Args:
            side: Gets the negatives.
            rows: The rows' numbers.
            anchors: Vectors for which the candidates are ranked, one for each row.
            candidates: Vectors of the candidates.
            excluded: For each row, the columns of candidates that must not be negatives.
            pool: What the candidates are, for notes.
        """
        settings, notes = fit_window(self.settings, pool, len(candidates) - 1)
        self.notes += notes
        limits = score_limits(side.positives[rows], settings)
        search, recall = open_search(anchors, candidates, settings, pool)
        self.recalls += [recall] if recall else []
        size = RESCORED_AT_ONCE if self.rescorer else ANCHORS_AT_ONCE
        for begin in range(0, len(rows), size):
            block = slice(begin, begin + size)
            # The ranking ends where the window does. Excluded candidates take no rank, so they come on top. Rows
            # without enough negatives in it get a deeper one below, in the end of all candidates.
            depth = settings.range_max + max(map(len, excluded[block]))
            if self.rescorer:  # It removes more: as many ranks behind the window as there are before it.
                depth += settings.range_min
            vectors = anchors[block]
            scores, columns = search(vectors, depth)
            ranking = (scores, columns, excluded[block], limits[block], rows[block] + self.offset, settings)
            if self.rescorer:
                self.rescorer.fill(side, rows[block], order_candidates(*ranking), settings.num_negatives)
            else:
                chosen = pick_in_windows(*ranking)
                side.put(rows[block], chosen, widened=False)
                incomplete = begin + np.flatnonzero(~chosen.complete)
                while len(incomplete):
                    # At least DEEPER times as deep as window and excluded candidates: then all that is left out is
                    # farther from the window than what is before it, and than what is ranked behind it.
                    depth = depth * DEEPER if depth * DEEPER**2 < len(candidates) else len(candidates)
                    for i, ranked in zip(
                        incomplete, _rank(anchors.select(incomplete)[:], candidates, depth), strict=True
                    ):
                        nearest = pick_nearest(*ranked, excluded[i], float(limits[i]), settings)
                        side.put(rows[i, None], nearest, widened=True)
                    incomplete = incomplete[~side.complete[rows[incomplete]] & (depth < len(candidates))]
            self.bar.update(len(rows[block]))


def _rank(vectors: np.ndarray, candidates: Vectors, depth: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores and columns of the best candidates for each vector."""
    if depth >= len(candidates):
        return rank_all(vectors, candidates.matrix, candidates.rows)
    blocks = top_k(vectors, candidates.matrix, depth, order=candidates.rows)
    return (ranked for block in blocks for ranked in zip(*block, strict=True))
