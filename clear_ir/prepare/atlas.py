"""Atlas: the small parallel retrieval set that ships with the package; see docs/atlas.md for its card.

Its files lie in `clear_ir/data/atlas` as three collections, train, dev and test, that share no passage. Queries
exist in all its languages, passages in some. It is for demonstration and tests, not for claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from clear_ir.data.collection import Collection
from clear_ir.data.collection_files import read_collection
from clear_ir.data.rows import ParallelRow
from clear_ir.prepare.languages import choose_langs, collection_name
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.shared_options import Judge

FOLDER = Path(__file__).resolve().parent.parent / "data" / "atlas"
DEFAULT_LANGS = ("de", "sw")


def load_atlas(
    langs: Annotated[
        Sequence[str], Field(description="Languages beside English: de, es, ha, hi, id, ru, sw; or all.")
    ] = DEFAULT_LANGS,
    judge: Judge = "test",
) -> Prepared:
    """Load Atlas. The rows are those of the train split, whichever split is judged.

    Returns:
        Rows and a collection. Its pool is the passages of the split, in English and in those of the languages that
        have translated passages.

    Raises:
        InputError: If Atlas lacks a language.
    """
    train, judged = load_split("train"), load_split(judge)
    known = sorted({query.lang for query in train.queries.values()} - {"en"})
    chosen = choose_langs(langs, known, "Atlas has no language")
    english = {query.parallel_id: query for query in train.queries.values() if query.lang == "en"}
    translated = {(passage.parallel_id, passage.lang): passage.full_text for passage in train.passages.values()}
    rows = []
    for query in train.queries.values():
        if query.lang in chosen:
            source = english[query.parallel_id]
            [passage] = [train.passages[p] for p in train.qrels[source.id] if train.passages[p].lang == "en"]
            row = query.id, source.text, passage.full_text, passage.id, query.text, query.lang
            rows.append(ParallelRow(*row, translated.get((passage.parallel_id, query.lang), "")))
    return Prepared(rows, _keep_langs(judged, {"en", *chosen}))


def load_split(split: Literal["train", "dev", "test"]) -> Collection:
    """Load one split in all languages."""
    return read_collection(FOLDER / split, split)


def _keep_langs(collection: Collection, langs: set[str]) -> Collection:
    passages = {key: text for key, text in collection.passages.items() if text.lang in langs}
    queries = {key: text for key, text in collection.queries.items() if text.lang in langs}
    qrels = {
        query: {passage: relevance for passage, relevance in judged.items() if passage in passages}
        for query, judged in collection.qrels.items()
        if query in queries
    }
    return Collection(collection_name("atlas", sorted(langs)), passages, queries, qrels, collection.split)


register(
    DataSet(
        name="atlas",
        title="Atlas",
        what="400 questions in eight languages, 200 passages in three; ships with clear-ir",
        rows=True,
        directions="all k x k",
        source="",
        licence="CC0",
        example="--langs de,sw --out atlas",
        load=load_atlas,
    )
)
