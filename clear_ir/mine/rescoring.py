"""Let a cross-encoder judge the candidates: positive-aware mining (NV-Retriever, arXiv 2407.15831)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clear_ir.encode.cross_encoder import PairScorer
from clear_ir.mine.choosing import SideNegatives
from clear_ir.mine.rank_windows import OrderedCandidates


class Rescorer:
    """Takes candidates that a cross-encoder finds clearly worse than the row's positive.

    The rule is NV-Retriever's TopK-PercPos: a candidate above 95 percent of the positive's score is likely to be a
    positive itself. The scores are probabilities here, the sigmoid of the cross-encoder's logits: a share of a logit
    means nothing, since logits may be below 0.

    Args:
        scorer: The cross-encoder.
        queries: The English query of each row.
        passages: The candidates.
        positives: The column of each row's positive among the candidates, shape (num_rows,).
        margin: The share of the positive's score by which a negative is lower at least.
    """

    def __init__(
        self, scorer: PairScorer, queries: Sequence[str], passages: Sequence[str], positives: np.ndarray, margin: float
    ) -> None:
        self.scorer, self.queries, self.passages = scorer, queries, passages
        self.positives, self.margin = positives, margin
        # Rows in several languages share queries, positives and candidates.
        self._logits: dict[tuple[str, int], float] = {}

    def fill(self, side: SideNegatives, rows: np.ndarray, candidates: OrderedCandidates, n: int) -> None:
        """Choose the negatives of some rows and enter them.

        Only as many candidates are scored as are needed: first n for each row, then one for each that was rejected.

        Args:
            side: Gets the negatives. Rows that have too few stay empty.
            rows: The rows' numbers.
            candidates: Their candidates, in the order in which they are tried.
            n: Number of negatives per row.
        """
        positives = self._score([(row, int(self.positives[row])) for row in rows])
        limits = _probability(positives) * (1 - self.margin)
        tried = np.zeros(len(rows), np.int64)
        # For each row, place among its candidates and logit of those that are taken.
        taken: list[list[tuple[int, float]]] = [[] for _ in rows]
        while True:
            ends = np.minimum(tried + n - np.array(list(map(len, taken))), candidates.counts)
            pairs = [(i, place) for i in range(len(rows)) for place in range(tried[i], ends[i])]
            if not pairs:
                break
            logits = self._score([(rows[i], int(candidates.columns[i, place])) for i, place in pairs])
            low_enough = _probability(logits) <= limits[[i for i, _ in pairs]]
            for (i, place), logit, is_negative in zip(pairs, logits.tolist(), low_enough, strict=True):
                if is_negative:
                    taken[i].append((place, logit))
            tried = ends
        for i, chosen in enumerate(taken):
            if len(chosen) == n:
                places = sorted(chosen, key=lambda pair: candidates.ranks[i, pair[0]])
                row, columns = rows[i], [place for place, _ in places]
                side.columns[row] = candidates.columns[i, columns]
                side.scores[row] = candidates.scores[i, columns]
                side.filtered[row], side.rejected[row] = candidates.filtered[i], tried[i] - n
                side.widened[row] = candidates.outside[i, columns].any()
                side.rescores[row] = [positives[i], *(logit for _, logit in places)]
                side.complete[row] = True

    def _score(self, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        """The logits of pairs of a row and a column, shape (num_pairs,). Each pair of texts is scored once."""
        keys = [(self.queries[row], column) for row, column in pairs]
        new = list(dict.fromkeys(key for key in keys if key not in self._logits))
        logits = self.scorer.score([(query, self.passages[column]) for query, column in new])
        self._logits.update(zip(new, logits.tolist(), strict=True))
        return np.array([self._logits[key] for key in keys])


def _probability(logits: np.ndarray) -> np.ndarray:
    """The sigmoid, which overflows for no logit."""
    probability: np.ndarray = 0.5 * (1 + np.tanh(0.5 * logits))
    return probability
