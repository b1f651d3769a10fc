"""Hard negatives for both sides of a parallel row: passages for its query, queries for its passage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clear_ir.encoding import encode_texts
from clear_ir.files import InputError
from clear_ir.mining_settings import MiningSettings
from clear_ir.negatives import Picked, pick_in_windows, pick_nearest, score_limits
from clear_ir.rows import ParallelRow, training_columns
from clear_ir.search import top_k

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


#: Rows ranked together: their scores against a block of candidates are held at once.
ANCHORS_AT_ONCE = 512
#: With fewer rows ranking takes a second at most, and no bar is shown.
BAR_FROM = 5_000


@dataclass
class SideStatistics:
    """What mining found on one side.

    Args:
        positive_scores: Score of the right pair, one a row.
        negative_scores: Scores of the chosen negatives.
        filtered: Candidates in the windows that a margin removed.
        widened: Rows whose window was widened.
    """

    positive_scores: list[float] = field(default_factory=list)
    negative_scores: list[float] = field(default_factory=list)
    filtered: int = 0
    widened: int = 0

    def add(self, picked: Picked) -> None:
        """Count one row."""
        self.positive_scores.append(picked.positive_score)
        self.negative_scores.extend(picked.scores)
        self.filtered += picked.filtered
        self.widened += picked.widened

    def summary(self) -> dict[str, float | int]:
        """Means and counts, for people."""
        return {
            "positive score, mean": round(float(np.mean(self.positive_scores)), 3),
            "negative score, mean": round(float(np.mean(self.negative_scores)), 3),
            "negative score, highest": round(float(np.max(self.negative_scores)), 3),
            "filtered by margin": self.filtered,
            "rows with widened window": self.widened,
        }


@dataclass
class Mined:
    """Training rows, statistics of both sides, and ids of the rows without enough candidates."""

    records: list[dict[str, Any]]
    passages: SideStatistics
    queries: SideStatistics
    left_out: list[str]

    def summary(self) -> dict[str, Any]:
        """What a person judges the mining by."""
        return {
            "rows": len(self.records),
            "rows left out": len(self.left_out),
            "negative passages": self.passages.summary(),
            "negative queries": self.queries.summary(),
        }


def mine_hard_negatives(
    model: SentenceTransformer, rows: list[ParallelRow], settings: MiningSettings, show_progress: bool = True
) -> Mined:
    """Find n negative passages for each English query and n negative target-language queries for each passage.

    Candidates are ranked by the encoder's score: passages for the English query, queries of the row's
    language for the English passage. Never chosen: the row's own passage or another with its text, a passage
    that another row gives as the answer to the same query, a query that belongs to the same passage, a query
    with the same text. Where window and margins leave fewer than n, the window widens to all ranks; margins
    are never given up, so a row may still be left out.

    Args:
        model: The encoder that ranks.
        rows: Parallel rows, one language or several.
        settings: Window, margins and number.
        show_progress: Show progress bars.

    Returns:
        The training rows with ``lang``, ``id`` and ``passage_id``, and statistics.

    Raises:
        InputError: If no row has enough candidates.
    """
    from tqdm import tqdm

    passages = list(dict.fromkeys(row.passage for row in rows))
    column_of = {text: column for column, text in enumerate(passages)}
    answers = defaultdict(set)  # English query -> columns of its passages
    asked = defaultdict(set)  # passage, by text and by id -> target-language queries on it
    for row in rows:
        answers[row.query].add(column_of[row.passage])
        asked["text", row.passage].add(row.cross_query)
        asked["id", row.passage_id].add(row.cross_query)

    size, bars = settings.batch_size, show_progress
    query_vectors = encode_texts(model, [row.query for row in rows], "query", size, bars)
    passage_vectors = encode_texts(model, passages, "passage", size, bars)
    cross_vectors = query_vectors
    if settings.query_side == "target":
        cross_vectors = encode_texts(model, [row.cross_query for row in rows], "query", size, bars)

    own = np.array([column_of[row.passage] for row in rows])
    negatives: list[Picked | None] = [None] * len(rows)
    queries: list[Picked | None] = [None] * len(rows)
    pools: dict[str, _QueryPool] = {}
    shown = show_progress and len(rows) > BAR_FROM
    with tqdm(total=2 * len(rows), desc="Mining", unit=" rankings", disable=not shown) as bar:
        excluded = [sorted(answers[row.query]) for row in rows]
        positives = _row_scores(query_vectors, passage_vectors[own])
        numbers = np.arange(len(rows))
        for i, picked in _ranked(query_vectors, passage_vectors, excluded, positives, numbers, settings):
            negatives[i] = picked
            bar.update()
        positives = _row_scores(cross_vectors, passage_vectors[own])
        for lang in dict.fromkeys(row.lang for row in rows):
            pool = pools[lang] = _QueryPool(rows, lang, cross_vectors)
            numbers = np.array([i for i, row in enumerate(rows) if row.lang == lang])
            excluded = [
                pool.asked_on(asked["text", rows[i].passage] | asked["id", rows[i].passage_id]) for i in numbers
            ]
            anchors = passage_vectors[own[numbers]]
            for i, picked in _ranked(
                anchors, pool.vectors, excluded, positives[numbers], numbers + len(rows), settings
            ):
                queries[i - len(rows)] = picked
                bar.update()

    mined = Mined([], SideStatistics(), SideStatistics(), [])
    names = training_columns(settings.num_negatives, settings.num_negatives)
    for row, chosen, asking in zip(rows, negatives, queries, strict=True):
        if chosen is None or asking is None:
            mined.left_out.append(row.id)
            continue
        mined.passages.add(chosen)
        mined.queries.add(asking)
        values = [row.query, row.passage, *(passages[j] for j in chosen.columns), row.cross_query]
        values += [pools[row.lang].texts[j] for j in asking.columns]
        ids = {"lang": row.lang, "id": row.id, "passage_id": row.passage_id}
        mined.records.append(dict(zip(names, values, strict=True)) | ids)
    if not mined.records:
        raise InputError(
            f"None of the {len(rows)} rows has {settings.num_negatives} candidates on both sides; give more rows, "
            "a lower --num-negatives, or smaller margins."
        )
    return mined


class _QueryPool:
    """The distinct target-language queries of one language, with the vectors that rank them."""

    def __init__(self, rows: list[ParallelRow], lang: str, vectors: np.ndarray) -> None:
        first = {row.cross_query: i for i, row in reversed(list(enumerate(rows))) if row.lang == lang}
        self.texts = list(first)
        self.vectors = vectors[list(first.values())]
        self._column_of = {text: column for column, text in enumerate(self.texts)}

    def asked_on(self, texts: set[str]) -> list[int]:
        """The columns of those of the texts that the pool holds."""
        return [self._column_of[text] for text in sorted(texts) if text in self._column_of]


def _row_scores(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", first, second)


def _ranked(
    anchors: np.ndarray,
    candidates: np.ndarray,
    excluded: list[list[int]],
    positives: np.ndarray,
    numbers: np.ndarray,
    settings: MiningSettings,
) -> Iterator[tuple[int, Picked | None]]:
    """Rank the candidates of each anchor and choose its negatives, a block of anchors at a time.

    Args:
        anchors: Shape (num_rows, dim).
        candidates: Shape (num_candidates, dim).
        excluded: For each row the candidates that are no negatives.
        positives: Score of each row's right pair.
        numbers: Tell rows and sides apart, for the random draw.
        settings: Window, margins and number.

    Yields:
        Each row's number and what was found; None if even the widest window holds too few.
    """
    for begin in range(0, len(anchors), ANCHORS_AT_ONCE):
        block = slice(begin, begin + ANCHORS_AT_ONCE)
        # As deep as the window reaches; the rare row that needs more is ranked whole.
        depth = settings.range_max + max(map(len, excluded[block]))
        [(scores, columns)] = top_k(anchors[block], candidates, depth, ANCHORS_AT_ONCE)
        limits = score_limits(positives[block], settings)
        found = pick_in_windows(scores, columns, excluded[block], positives[block], limits, numbers[block], settings)
        for i, picked in enumerate(found):
            if picked is None:
                [(all_scores,), (all_columns,)] = next(top_k(anchors[begin + i, None], candidates, len(candidates)))
                row = excluded[begin + i], float(positives[begin + i]), float(limits[i])
                picked = pick_nearest(all_scores, all_columns, *row, settings)
            yield int(numbers[begin + i]), picked
