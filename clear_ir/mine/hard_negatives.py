"""Hard negatives for both sides of a parallel row: passages for its query, queries for its passage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow, training_columns
from clear_ir.encode.search import top_k
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.mine.settings import MiningSettings
from clear_ir.mine.windows import Picked, pick_in_windows, pick_nearest, score_limits

if TYPE_CHECKING:
    from tqdm import tqdm


#: Rows ranked together: their scores against a block of candidates are held at once.
ANCHORS_AT_ONCE = 512
#: With fewer rows ranking takes a second at most, and no bar is shown.
BAR_FROM = 5_000


@dataclass
class Side:
    """The negatives of one side, one row a parallel row, and how they were found.

    Args:
        columns: Which candidates they are, best first, shape (num_rows, n).
        scores: Theirs, same shape.
        positives: Score of the right pair, shape (num_rows,).
        filtered: Candidates in the windows that a margin removed, shape (num_rows,).
        widened: Whether the window was widened, shape (num_rows,).
        found: Whether there were enough, shape (num_rows,).
    """

    columns: np.ndarray
    scores: np.ndarray
    positives: np.ndarray
    filtered: np.ndarray
    widened: np.ndarray
    found: np.ndarray

    @classmethod
    def empty(cls, positives: np.ndarray, n: int) -> Side:
        """Rows of which nothing is found yet."""
        shape = (len(positives), n)
        flags = [np.zeros(len(positives), kind) for kind in (np.int64, bool, bool)]
        return cls(np.zeros(shape, np.int64), np.zeros(shape, np.float32), positives, *flags)

    def put(self, rows: np.ndarray, picked: Picked, widened: bool) -> None:
        """Take over what was found for some rows."""
        whole = rows[picked.found]
        if len(whole):
            self.columns[whole], self.scores[whole] = picked.columns[picked.found], picked.scores[picked.found]
            self.filtered[whole], self.widened[whole] = picked.filtered[picked.found], widened
            self.found[whole] = True

    def kept(self, rows: np.ndarray) -> Side:
        """Some of the rows alone."""
        return Side(*(values[rows] for values in vars(self).values()))

    def summary(self) -> dict[str, float | int]:
        """Means and counts, for people."""
        return {
            "positive score, mean": round(float(self.positives.mean()), 3),
            "negative score, mean": round(float(self.scores.mean()), 3),
            "negative score, highest": round(float(self.scores.max()), 3),
            "filtered by margin": int(self.filtered.sum()),
            "rows with widened window": int(self.widened.sum()),
        }


@dataclass
class Mined:
    """Training rows, the negatives of both their sides, and ids of the rows without enough candidates."""

    records: list[dict[str, Any]]
    passages: Side
    queries: Side
    left_out: list[str]

    def summary(self) -> dict[str, Any]:
        """What a person judges the mining by."""
        return {
            "rows": len(self.records),
            "rows left out": len(self.left_out),
            "negative passages": self.passages.summary(),
            "negative queries": self.queries.summary(),
        }


def mine_hard_negatives(encoder: TextEncoder, rows: list[ParallelRow], settings: MiningSettings) -> Mined:
    """Find n negative passages for each English query and n negative target-language queries for each passage.

    Candidates are ranked by the encoder's score: passages for the English query, queries of the row's
    language for the English passage. Never chosen: the row's own passage or another with its text, a passage
    that another row gives as the answer to the same query, a query that belongs to the same passage, a query
    with the same text. Where window and margins leave fewer than n, the window widens to all ranks; margins
    are never given up, so a row may still be left out.

    Args:
        encoder: Ranks the candidates.
        rows: Parallel rows, one language or several.
        settings: Window, margins and number.

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

    query_vectors = encoder.encode([row.query for row in rows], "query")
    passage_vectors = encoder.encode(passages, "passage")
    cross_vectors = query_vectors
    if settings.query_side == "target":
        cross_vectors = encoder.encode([row.cross_query for row in rows], "query")

    own = np.array([column_of[row.passage] for row in rows])
    n = settings.num_negatives
    negatives = Side.empty(_row_scores(query_vectors, passage_vectors[own]), n)
    queries = Side.empty(_row_scores(cross_vectors, passage_vectors[own]), n)
    pools: dict[str, _QueryPool] = {}
    shown = encoder.show_progress and len(rows) > BAR_FROM
    with tqdm(total=2 * len(rows), desc="Mining", unit=" rankings", disable=not shown) as bar:
        excluded = [sorted(answers[row.query]) for row in rows]
        draw = _Draw(settings, 0, bar)
        draw.fill(negatives, np.arange(len(rows)), query_vectors, passage_vectors, excluded)
        draw = _Draw(settings, len(rows), bar)
        for lang in dict.fromkeys(row.lang for row in rows):
            pool = pools[lang] = _QueryPool(rows, lang, cross_vectors)
            of_lang = np.array([i for i, row in enumerate(rows) if row.lang == lang])
            excluded = [
                pool.asked_on(asked["text", rows[i].passage] | asked["id", rows[i].passage_id]) for i in of_lang
            ]
            draw.fill(queries, of_lang, passage_vectors[own[of_lang]], pool.vectors, excluded)

    whole = negatives.found & queries.found
    mined = Mined([], negatives.kept(whole), queries.kept(whole), [])
    names = training_columns(n, n)
    chosen = zip(whole.tolist(), negatives.columns.tolist(), queries.columns.tolist(), strict=True)
    for row, (complete, of_passages, of_queries) in zip(rows, chosen, strict=True):
        if not complete:
            mined.left_out.append(row.id)
            continue
        texts = pools[row.lang].texts
        values = [row.query, row.passage, *(passages[j] for j in of_passages)]
        values += [row.cross_query, *(texts[j] for j in of_queries)]
        ids = {"lang": row.lang, "id": row.id, "passage_id": row.passage_id}
        mined.records.append(dict(zip(names, values, strict=True)) | ids)
    if not mined.records:
        raise InputError(
            f"None of the {len(rows)} rows has {settings.num_negatives} candidates on both sides; give more rows, "
            "ask for fewer negatives, or for smaller margins.",
            "num_negatives",
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
    scores: np.ndarray = np.einsum("ij,ij->i", first, second)
    return scores


class _Draw:
    """Ranks the candidates of rows and chooses their negatives, a block of rows at a time.

    Args:
        settings: Window, margins and number.
        offset: Added to a row's number for the random draw, to tell the sides apart.
        bar: Counts the rows.
    """

    def __init__(self, settings: MiningSettings, offset: int, bar: tqdm) -> None:
        self.settings, self.offset, self.bar = settings, offset, bar

    def fill(
        self,
        side: Side,
        rows: np.ndarray,
        anchors: np.ndarray,
        candidates: np.ndarray,
        excluded: list[list[int]],
    ) -> None:
        """Choose the negatives of some rows.

        Args:
            side: Where they are put.
            rows: The rows' numbers.
            anchors: What the candidates are ranked for, shape (num_rows, dim).
            candidates: Shape (num_candidates, dim).
            excluded: For each row the candidates that are no negatives.
        """
        settings = self.settings
        limits = score_limits(side.positives[rows], settings)
        for begin in range(0, len(rows), ANCHORS_AT_ONCE):
            block = slice(begin, begin + ANCHORS_AT_ONCE)
            # As deep as the window reaches; the rare row that needs more is ranked whole.
            depth = settings.range_max + max(map(len, excluded[block]))
            [(scores, columns)] = top_k(anchors[block], candidates, depth, ANCHORS_AT_ONCE)
            numbers = rows[block] + self.offset
            picked = pick_in_windows(scores, columns, excluded[block], limits[block], numbers, settings)
            side.put(rows[block], picked, widened=False)
            for i in begin + np.flatnonzero(~picked.found):
                [(all_scores,), (all_columns,)] = next(top_k(anchors[i, None], candidates, len(candidates)))
                nearest = pick_nearest(all_scores, all_columns, excluded[i], float(limits[i]), settings)
                side.put(rows[i, None], nearest, widened=True)
            self.bar.update(len(rows[block]))
