"""Mine hard negatives for both sides of a parallel row: passages for its query, queries for its passage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from clear_ir.data.collection import Text
from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow, with_optional_columns
from clear_ir.data.training_rows import training_columns
from clear_ir.encode.cross_encoder import PairScorer, load_cross_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.mine.candidate_search import IndexRecall, index_notes
from clear_ir.mine.choosing import Chooser, SideNegatives
from clear_ir.mine.fitting import fit_num_negatives
from clear_ir.mine.pools import CorpusCounts, PassagePool, QueryPool, RowKeys
from clear_ir.mine.rescoring import Rescorer
from clear_ir.mine.settings import MiningSettings
from clear_ir.mine.vectors import Vectors, row_scores

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
#: What rows may have in common: what it is, and its id or text.
Shared = tuple[str, ...]

#: No bar is shown for this number of rows or fewer: ranking them takes a second at most.
MAX_ROWS_WITHOUT_BAR = 5_000


@dataclass
class MiningResult:
    """Training rows, and how their negatives were chosen.

    Args:
        records: The training rows.
        passages: Their negative passages.
        queries: Their negative queries.
        left_out: Ids of the parallel rows that have too few candidates.
        notes: Which settings were fitted to the data, a sentence each, see `clear_ir.mine.fitting`.
        corpus: What the corpus gave; None without one.
        recalls: What approximate indexes find of the exact rankings.
    """

    records: list[dict[str, Any]]
    passages: SideNegatives
    queries: SideNegatives
    left_out: list[str]
    notes: list[str]
    corpus: CorpusCounts | None = None
    recalls: list[IndexRecall] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Counts and mean scores to print: do the negatives score close to the positives, but below them?"""
        summary: dict[str, Any] = {
            "rows": len(self.records),
            "rows left out": len(self.left_out),
            "negative passages": self.passages.summary(),
            "negative queries": self.queries.summary(),
        }
        return summary | ({"corpus": asdict(self.corpus)} if self.corpus else {})

    def document(self) -> dict[str, Any]:
        """The summary and all else that says how the rows came about, for other programs."""
        indexes = list(map(asdict, self.recalls))
        return self.summary() | {"left out": self.left_out, "fitted": self.notes, "indexes": indexes}


def mine_hard_negatives(
    encoder: TextEncoder,
    rows: list[ParallelRow],
    settings: MiningSettings,
    corpus: Iterable[Text] | None = None,
    scorer: PairScorer | None = None,
) -> MiningResult:
    """Find n negative passages for each English query and n negative target-language queries for each passage.

    The encoder ranks the candidates: passages for the English query, and queries in the row's language for the English
    passage. Known positives are never chosen: the row's passage, passages of other rows with the same query in either
    language, and queries of rows with the same passage or English query. Texts that differ by white space or Unicode
    normalization alone are one text. Settings that ask for more candidates than there are are fitted, see
    `clear_ir.mine.fitting`. If fewer than n candidates are in a row's window and within the margins, its window widens
    to all ranks. The margins always hold, so a row may still have too few candidates; it is left out.

    With a cross-encoder (`settings.rescore`), each negative passage has passed its judgment, see
    `clear_ir.mine.rescoring.Rescorer`. A row whose window is used up takes the nearest ranks outside of it, as many
    behind it as there are before it.

    Args:
        encoder: Encodes the texts; its scores rank the candidates.
        rows: Parallel rows, in one language or several.
        settings: Window, margins and number of negatives.
        corpus: More passages, such as `clear_ir.data.corpus.read_corpus` gives, see `clear_ir.mine.pools.PassagePool`.
        scorer: The cross-encoder. None: it is loaded if the settings name one.

    Returns:
        The training rows with `lang`, `id`, `passage_id` and, if any row has them, `cross_passage` and `translated_by`;
        and statistics.

    Raises:
        InputError: If no row has enough candidates.
    """
    if scorer is None and settings.rescore:
        scorer = PairScorer(load_cross_encoder(settings.rescore), precision=encoder.precision)
    keys = list(map(RowKeys.of, rows))
    pool = PassagePool(rows, keys, corpus or ())
    query_pools = {lang: QueryPool(rows, keys, lang) for lang in dict.fromkeys(row.lang for row in rows)}
    known_passages, known_queries = _known_positives(rows, keys, pool, query_pools)
    candidates = [
        min(len(pool.texts) - len(not_passages), len(query_pools[row.lang].texts) - len(not_queries))
        for row, not_passages, not_queries in zip(rows, known_passages, known_queries, strict=True)
    ]
    settings, notes = fit_num_negatives(settings, np.array(candidates))

    query_vectors = Vectors(encoder.encode([row.query for row in rows], "query"))
    passage_vectors = Vectors(encoder.encode(pool.texts, "passage"))
    cross_vectors = query_vectors
    if settings.query_side == "target":
        cross_vectors = Vectors(encoder.encode([row.cross_query for row in rows], "query"))
    positive_vectors = passage_vectors.select(pool.positives)

    n, every_row = settings.num_negatives, np.arange(len(rows))
    rescorer = None
    if scorer:
        queries = [row.query for row in rows]
        rescorer = Rescorer(scorer, queries, pool.texts, pool.positives, settings.rescore_margin)
    passages = SideNegatives.empty(row_scores(query_vectors, positive_vectors), n, rescored=bool(rescorer))
    with _bar(encoder, "passages", rows, always=bool(rescorer)) as bar:
        chooser = Chooser(settings, 0, bar, notes, rescorer)
        chooser.fill(passages, every_row, query_vectors, passage_vectors, known_passages, "passages")
    queries_of_rows = SideNegatives.empty(row_scores(cross_vectors, positive_vectors), n)
    with _bar(encoder, "queries", rows) as bar:
        query_chooser = Chooser(settings, len(rows), bar, notes)
        for lang, query_pool in query_pools.items():
            of_lang = np.array([i for i, row in enumerate(rows) if row.lang == lang])
            anchors, vectors = positive_vectors.select(of_lang), cross_vectors.select(query_pool.rows)
            query_chooser.fill(
                queries_of_rows, of_lang, anchors, vectors, [known_queries[i] for i in of_lang], f"queries in {lang}"
            )

    complete = passages.complete & queries_of_rows.complete
    result = MiningResult([], passages.select(complete), queries_of_rows.select(complete), [], notes)
    result.corpus = pool.counts if corpus is not None else None
    result.recalls = chooser.recalls + query_chooser.recalls
    notes += index_notes(settings, result.recalls)
    for i, row in enumerate(rows):
        if not complete[i]:
            result.left_out.append(row.id)
            continue
        texts = [pool.texts[j] for j in passages.columns[i]]
        cross_texts = [query_pools[row.lang].texts[j] for j in queries_of_rows.columns[i]]
        scores = passages.rescores[i].tolist() if settings.write_scores else []
        result.records.append(_training_row(row, texts, cross_texts, scores))
    with_optional_columns(result.records)
    if not result.records:
        raise InputError(
            f"None of the {len(rows)} rows has {settings.num_negatives} candidates on both sides; give more rows, "
            "fewer negatives or smaller margins.",
            "num_negatives",
        )
    return result


def _bar(encoder: TextEncoder, side: str, rows: Sequence[ParallelRow], always: bool = False) -> tqdm:
    """A bar of rows, for work that takes long."""
    from tqdm import tqdm

    shown = encoder.show_progress and (always or len(rows) > MAX_ROWS_WITHOUT_BAR)
    return tqdm(total=len(rows), desc=f"Mining {side}", unit=" rows", disable=not shown)


def _training_row(row: ParallelRow, passages: list[str], queries: list[str], scores: list[float]) -> dict[str, Any]:
    """A row with its negatives. The scores are of the positive and of each passage; there may be none."""
    values = [row.query, row.passage, *passages, row.cross_query, *queries]
    record: dict[str, Any] = dict(zip(training_columns(len(passages), len(queries)), values, strict=True))
    names = ["score_positive", *(f"score_negative_{i}" for i in range(1, len(passages) + 1))]
    record |= {"lang": row.lang, "id": row.id, "passage_id": row.passage_id, "cross_passage": row.cross_passage}
    record["translated_by"] = row.translated_by
    return record | dict(zip(names, scores, strict=False))


def _known_positives(
    rows: Sequence[ParallelRow], keys: Sequence[RowKeys], pool: PassagePool, query_pools: Mapping[str, QueryPool]
) -> tuple[list[list[int]], list[list[int]]]:
    """The columns of the passages that are right for each row's query, and of the queries right for its passage."""
    # What rows share -> what is right for all of them: columns of passages, and keys of target-language queries.
    relevant_passages: dict[Shared, set[int]] = defaultdict(set)
    relevant_queries: dict[Shared, set[str]] = defaultdict(set)
    by_passages, by_queries = list(map(_shared_by_passages, rows, keys)), list(map(_shared_by_queries, rows, keys))
    for i, key in enumerate(keys):
        for shared in by_passages[i]:
            relevant_passages[shared].add(int(pool.positives[i]))
        for shared in by_queries[i]:
            relevant_queries[shared].add(key.cross_query)
    passages = [sorted(_union(relevant_passages, shared)) for shared in by_passages]
    queries = [
        query_pools[row.lang].columns_of(_union(relevant_queries, shared))
        for row, shared in zip(rows, by_queries, strict=True)
    ]
    return passages, queries


def _shared_by_passages(row: ParallelRow, key: RowKeys) -> list[Shared]:
    """Rows that have one of these in common have passages that are right for each other's queries."""
    return [
        ("passage id", row.passage_id),
        ("query", key.query),
        ("cross_query", row.lang, key.cross_query),
    ]


def _shared_by_queries(row: ParallelRow, key: RowKeys) -> list[Shared]:
    """Rows that have one of these in common have queries that are right for each other's passages."""
    return [("passage id", row.passage_id), ("passage", key.passage), ("query", key.query)]


def _union(known: dict[Shared, set[T]], shared: list[Shared]) -> set[T]:
    """Everything that is known for one of these."""
    return {item for one in shared for item in known[one]}
