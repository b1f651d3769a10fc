"""Atlas: the small parallel retrieval set that ships with the package; see docs/atlas.md for its card.

Its files lie in ``clear_ir/data/atlas`` as three collections, train, dev and test, that share no passage. Queries
exist in all its languages, passages in some. It is for demonstration and tests, not for claims.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clear_ir.data.collection import Collection, read_collection
from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow
from clear_ir.prepare.prepared import Prepared

FOLDER = Path(__file__).resolve().parent.parent / "data" / "atlas"
DEFAULT_LANGS = ("de", "sw")


def load_atlas(langs: list[str] | None = None, judge: Literal["test", "dev"] = "test") -> Prepared:
    """Load Atlas.

    Args:
        langs: Languages to add to English; German and Swahili by default.
        judge: Split of the collection. Rows are those of the train split either way.

    Returns:
        Rows to train on, and a collection whose pool is the split's own passages, in English and those of the
        languages that have translated passages.

    Raises:
        InputError: If Atlas lacks a language.
    """
    wanted = list(langs or DEFAULT_LANGS)
    train, judged = load_split("train"), load_split(judge)
    known = sorted({query.lang for query in train.queries.values()} - {"en"})
    if unknown := [lang for lang in wanted if lang not in known]:
        raise InputError(f"Atlas has no language {unknown[0]!r}; choose among {', '.join(known)}.")
    english = {query.parallel_id: query for query in train.queries.values() if query.lang == "en"}
    rows = []
    for query in train.queries.values():
        if query.lang in wanted:
            asked = english[query.parallel_id]
            [passage] = [train.passages[p] for p in train.qrels[asked.id] if train.passages[p].lang == "en"]
            rows.append(ParallelRow(query.id, asked.text, passage.full_text, passage.id, query.text, query.lang))
    return Prepared(rows, _keep_langs(judged, {"en", *wanted}))


def load_split(split: Literal["train", "dev", "test"]) -> Collection:
    """Load one split in all languages."""
    return read_collection(FOLDER / split, split)


def _keep_langs(collection: Collection, langs: set[str]) -> Collection:
    passages = {key: text for key, text in collection.passages.items() if text.lang in langs}
    queries = {key: text for key, text in collection.queries.items() if text.lang in langs}
    qrels = {
        query: {passage: rel for passage, rel in judged.items() if passage in passages}
        for query, judged in collection.qrels.items()
        if query in queries
    }
    others = "-".join(sorted(langs - {"en"}))
    return Collection(f"atlas-{others}", passages, queries, qrels, collection.split)
