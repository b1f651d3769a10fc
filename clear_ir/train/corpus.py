"""A corpus as candidates of queries that are trained alone: its passages beside those of the training rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clear_ir.data.collection import Text
from clear_ir.data.languages import UNKNOWN
from clear_ir.data.rows import ParallelRow
from clear_ir.data.training_rows import TrainingRows
from clear_ir.mine.pools import CorpusCounts, PassagePool, RowKeys


@dataclass(frozen=True)
class PassageSource:
    """Where passages and their embeddings come from beside the training rows.

    Args:
        corpus: More passages, as `clear_ir.data.corpus.read_corpus` gives them; None for none.
        cache: Folder of embeddings, see `clear_ir.encode.text_encoder.TextEncoder`; None for none.
    """

    corpus: Iterable[Text] | None = None
    cache: Path | None = None


def candidate_passages(corpus: Iterable[Text], rows: TrainingRows) -> tuple[list[str], CorpusCounts]:
    """The passages of a corpus that are candidates beside those of the rows.

    Left out are passages that are not in English, that have the text of another one, and the positives of the rows:
    these are candidates already, and those that are held out must be none.

    Args:
        corpus: The passages.
        rows: All training rows, with those that are held out.

    Returns:
        Their texts, and what was taken and left out.
    """
    parallel = [
        # A row without the id of its passage gets one that no passage has.
        ParallelRow("", row["anchor"], row["positive"], row.get("passage_id") or f"\0{i}", row["cross_anchor"], UNKNOWN)
        for i, row in enumerate(rows.records)
    ]
    keys = [RowKeys.of(row) for row in parallel]
    pool = PassagePool(parallel, keys, corpus)
    own = len({key.passage for key in keys})
    return pool.texts[own:], pool.counts
