"""Mine hard negatives for both sides of a parallel row: passages for its query, queries for its passage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow, training_columns
from clear_ir.data.texts import text_key
from clear_ir.encode.search import top_k
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.mine.fitting import fit_num_negatives, fit_window
from clear_ir.mine.rank_windows import ChosenNegatives, pick_in_windows, pick_nearest, score_limits
from clear_ir.mine.settings import MiningSettings

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
#: What rows may have in common: what it is, and its id or text.
Shared = tuple[str, ...]

#: Rows ranked at once: their scores for a block of candidates are in memory at the same time.
ANCHORS_AT_ONCE = 512
#: No bar is shown for this number of rows or fewer: ranking them takes a second at most.
MAX_ROWS_WITHOUT_BAR = 5_000


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
    """

    columns: np.ndarray
    scores: np.ndarray
    positives: np.ndarray
    filtered: np.ndarray
    widened: np.ndarray
    complete: np.ndarray

    @classmethod
    def empty(cls, positives: np.ndarray, n: int) -> SideNegatives:
        """Rows without negatives yet.

        Args:
            positives: Score of each row's positive, shape (num_rows,).
            n: Number of negatives per row.
        """
        shape = (len(positives), n)
        counts_and_flags = [np.zeros(len(positives), dtype) for dtype in (np.int64, bool, bool)]
        return cls(np.zeros(shape, np.int64), np.zeros(shape, np.float32), positives, *counts_and_flags)

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
        return {
            "positive score, mean": round(float(self.positives.mean()), 3),
            "negative score, mean": round(float(self.scores.mean()), 3),
            "negative score, highest": round(float(self.scores.max()), 3),
            "filtered by margin": int(self.filtered.sum()),
            "rows with widened window": int(self.widened.sum()),
        }


@dataclass
class MiningResult:
    """Training rows, and how their negatives were chosen.

    Args:
        records: The training rows.
        passages: Their negative passages.
        queries: Their negative queries.
        left_out: Ids of the parallel rows that have too few candidates.
        notes: Which settings were fitted to the data, a sentence each, see `clear_ir.mine.fitting`.
    """

    records: list[dict[str, Any]]
    passages: SideNegatives
    queries: SideNegatives
    left_out: list[str]
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """Counts and mean scores to print: do the negatives score close to the positives, but below them?"""
        return {
            "rows": len(self.records),
            "rows left out": len(self.left_out),
            "negative passages": self.passages.summary(),
            "negative queries": self.queries.summary(),
        }


def mine_hard_negatives(encoder: TextEncoder, rows: list[ParallelRow], settings: MiningSettings) -> MiningResult:
    """Find n negative passages for each English query and n negative target-language queries for each passage.

    The encoder ranks the candidates: passages for the English query, and queries in the row's language for the English
    passage. Known positives are never chosen: the row's passage, passages of other rows with the same query in either
    language, and queries of rows with the same passage or English query. Texts that differ by white space or Unicode
    normalization alone are one text. Settings that ask for more candidates than there are are fitted, see
    `clear_ir.mine.fitting`. If fewer than n candidates are in a row's window and within the margins, its window widens
    to all ranks. The margins always hold, so a row may still have too few candidates; it is left out.

    Args:
        encoder: Encodes the texts; its scores rank the candidates.
        rows: Parallel rows, in one language or several.
        settings: Window, margins and number of negatives.

    Returns:
        The training rows with `lang`, `id` and `passage_id`, and statistics.

    Raises:
        InputError: If no row has enough candidates.
    """
    from tqdm import tqdm

    first_text: dict[str, str] = {}
    for row in rows:
        first_text.setdefault(text_key(row.passage), row.passage)
    passages = list(first_text.values())
    column_of = {key: column for column, key in enumerate(first_text)}
    positive_columns = np.array([column_of[text_key(row.passage)] for row in rows])
    # What rows share -> what is right for all of them: columns of passages, and keys of target-language queries.
    relevant_passages: dict[Shared, set[int]] = defaultdict(set)
    relevant_queries: dict[Shared, set[str]] = defaultdict(set)
    by_passages, by_queries = list(map(_shared_by_passages, rows)), list(map(_shared_by_queries, rows))
    for i, row in enumerate(rows):
        for shared in by_passages[i]:
            relevant_passages[shared].add(int(positive_columns[i]))
        for shared in by_queries[i]:
            relevant_queries[shared].add(text_key(row.cross_query))

    query_vectors = encoder.encode([row.query for row in rows], "query")
    passage_vectors = encoder.encode(passages, "passage")
    cross_vectors = query_vectors
    if settings.query_side == "target":
        cross_vectors = encoder.encode([row.cross_query for row in rows], "query")

    excluded_passages = [sorted(_union(relevant_passages, shared)) for shared in by_passages]
    pools = {lang: _QueryPool(rows, lang, cross_vectors) for lang in dict.fromkeys(row.lang for row in rows)}
    excluded_queries = [
        pools[row.lang].columns_of(_union(relevant_queries, shared))
        for row, shared in zip(rows, by_queries, strict=True)
    ]
    candidates = [
        min(len(passages) - len(not_passages), len(pools[row.lang].texts) - len(not_queries))
        for row, not_passages, not_queries in zip(rows, excluded_passages, excluded_queries, strict=True)
    ]
    settings, notes = fit_num_negatives(settings, np.array(candidates))

    n = settings.num_negatives
    negatives = SideNegatives.empty(_row_scores(query_vectors, passage_vectors[positive_columns]), n)
    queries = SideNegatives.empty(_row_scores(cross_vectors, passage_vectors[positive_columns]), n)
    show_bar = encoder.show_progress and len(rows) > MAX_ROWS_WITHOUT_BAR
    with tqdm(total=2 * len(rows), desc="Mining", unit=" rankings", disable=not show_bar) as bar:
        chooser = _Chooser(settings, 0, bar, notes)
        every_row = np.arange(len(rows))
        chooser.fill(negatives, every_row, query_vectors, passage_vectors, excluded_passages, "passages")
        chooser = _Chooser(settings, len(rows), bar, notes)
        for lang, pool in pools.items():
            lang_rows = np.array([i for i, row in enumerate(rows) if row.lang == lang])
            anchors = passage_vectors[positive_columns[lang_rows]]
            excluded = [excluded_queries[i] for i in lang_rows]
            chooser.fill(queries, lang_rows, anchors, pool.vectors, excluded, f"queries in {lang}")

    complete = negatives.complete & queries.complete
    result = MiningResult([], negatives.select(complete), queries.select(complete), [], notes)
    chosen = zip(complete.tolist(), negatives.columns.tolist(), queries.columns.tolist(), strict=True)
    for row, (is_complete, passage_columns, query_columns) in zip(rows, chosen, strict=True):
        if is_complete:
            texts = [passages[j] for j in passage_columns], [pools[row.lang].texts[j] for j in query_columns]
            result.records.append(_training_row(row, *texts))
        else:
            result.left_out.append(row.id)
    if not result.records:
        raise InputError(
            f"None of the {len(rows)} rows has {settings.num_negatives} candidates on both sides; give more rows, "
            "fewer negatives or smaller margins.",
            "num_negatives",
        )
    return result


def _training_row(row: ParallelRow, passages: list[str], queries: list[str]) -> dict[str, Any]:
    """A row with its negatives."""
    values = [row.query, row.passage, *passages, row.cross_query, *queries]
    ids = {"lang": row.lang, "id": row.id, "passage_id": row.passage_id}
    return dict(zip(training_columns(len(passages), len(queries)), values, strict=True)) | ids


def _shared_by_passages(row: ParallelRow) -> list[Shared]:
    """Rows that have one of these in common have passages that are right for each other's queries."""
    return [
        ("passage id", row.passage_id),
        ("query", text_key(row.query)),
        ("cross_query", row.lang, text_key(row.cross_query)),
    ]


def _shared_by_queries(row: ParallelRow) -> list[Shared]:
    """Rows that have one of these in common have queries that are right for each other's passages."""
    return [("passage id", row.passage_id), ("passage", text_key(row.passage)), ("query", text_key(row.query))]


def _union(known: dict[Shared, set[T]], shared: list[Shared]) -> set[T]:
    """Everything that is known for one of these."""
    return {item for one in shared for item in known[one]}


class _QueryPool:
    """The distinct target-language queries of one language, and the vectors by which they are ranked."""

    def __init__(self, rows: list[ParallelRow], lang: str, vectors: np.ndarray) -> None:
        first = {text_key(row.cross_query): i for i, row in reversed(list(enumerate(rows))) if row.lang == lang}
        self.texts = [rows[i].cross_query for i in first.values()]
        self.vectors = vectors[list(first.values())]
        self._column_of = {key: column for column, key in enumerate(first)}

    def columns_of(self, keys: set[str]) -> list[int]:
        """The columns of the queries with these keys. Queries that are not in the pool are ignored."""
        return [self._column_of[key] for key in sorted(keys) if key in self._column_of]


def _row_scores(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The dot product of each row of one matrix with the same row of the other, shape (num_rows,)."""
    scores: np.ndarray = np.einsum("ij,ij->i", first, second)
    return scores


class _Chooser:
    """Ranks the candidates of rows and chooses their negatives, a block of rows at a time.

    Args:
        settings: Window, margins and number of negatives.
        offset: Added to the row's number for the random draw, so that the two sides draw different ranks.
        bar: Counts the rows.
        notes: Gets a sentence for each window that is fitted to its pool.
    """

    def __init__(self, settings: MiningSettings, offset: int, bar: tqdm, notes: list[str]) -> None:
        self.settings, self.offset, self.bar, self.notes = settings, offset, bar, notes

    def fill(
        self,
        side: SideNegatives,
        rows: np.ndarray,
        anchors: np.ndarray,
        candidates: np.ndarray,
        excluded: list[list[int]],
        pool: str,
    ) -> None:
        """Choose the negatives of some rows and enter them.

        Args:
            side: Gets the negatives.
            rows: The rows' numbers.
            anchors: Vectors for which the candidates are ranked, shape (num_rows, dim).
            candidates: Vectors of the candidates, shape (num_candidates, dim).
            excluded: For each row, the columns of candidates that must not be negatives.
            pool: What the candidates are, for notes.
        """
        settings, notes = fit_window(self.settings, pool, len(candidates) - 1)
        self.notes += notes
        limits = score_limits(side.positives[rows], settings)
        for begin in range(0, len(rows), ANCHORS_AT_ONCE):
            block = slice(begin, begin + ANCHORS_AT_ONCE)
            # The ranking ends where the window does. Excluded candidates take no rank, so they come on top. The few
            # rows without enough negatives in it get a ranking of all candidates below.
            depth = settings.range_max + max(map(len, excluded[block]))
            [(scores, columns)] = top_k(anchors[block], candidates, depth, ANCHORS_AT_ONCE)
            numbers = rows[block] + self.offset
            chosen = pick_in_windows(scores, columns, excluded[block], limits[block], numbers, settings)
            side.put(rows[block], chosen, widened=False)
            for i in begin + np.flatnonzero(~chosen.complete):
                [(all_scores,), (all_columns,)] = next(top_k(anchors[i, None], candidates, len(candidates)))
                nearest = pick_nearest(all_scores, all_columns, excluded[i], float(limits[i]), settings)
                side.put(rows[i, None], nearest, widened=True)
            self.bar.update(len(rows[block]))
