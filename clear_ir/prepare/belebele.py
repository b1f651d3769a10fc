"""Belebele (Bandarkar et al. 2024, arXiv 2308.16884): 900 questions on 488 passages, parallel in 122 languages.

Reads `<code>.jsonl` of facebookresearch/belebele. The codes are those of FLORES-200, such as `hau_Latn`. English,
`eng_Latn`, is called `en` here. `link` and `question_number` identify a question. For testing only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from clear_ir.data.collection import Collection, Qrels, Text, parallel_text
from clear_ir.data.files import InputError, hash_of, read_jsonl
from clear_ir.prepare.languages import choose_langs, collection_name, refuse_all, with_english
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.source import check_files, hub_records, is_local

ENGLISH = "eng_Latn"
FIELDS = ("link", "question_number", "flores_passage", "question")

#: What identifies a question: its link and its number.
Key = tuple[str, str]


def load_belebele(
    data: Annotated[str | Path, Field(description="Folder with eng_Latn.jsonl and others, or facebook/belebele.")],
    langs: Annotated[Sequence[str], Field(description="FLORES-200 codes beside English, such as hau_Latn; or all.")],
) -> Prepared:
    """Load Belebele as retrieval: a question searches all passages of a language.

    `langs="all"` needs a folder.

    Returns:
        No rows; a collection with questions and passages in all languages.

    Raises:
        InputError: If a language or a field is missing, or the hub cannot be reached.
    """
    langs = with_english(lang for lang in langs if lang != ENGLISH)
    if is_local(data):
        known = sorted("en" if path.stem == ENGLISH else path.stem for path in Path(data).glob("*_*.jsonl"))
        check_files(data, known, "Belebele", "eng_Latn.jsonl")
        langs = choose_langs(langs, known, f"Belebele in {data} has no language")
    else:
        refuse_all(langs, "Belebele")
    records = {lang: _records(data, lang) for lang in langs}
    counts = {lang: Counter(key for key, _ in keyed) for lang, keyed in records.items()}
    shared = [key for key, _ in records["en"] if all(counts[lang][key] == 1 for lang in langs)]
    if not shared:
        raise InputError(f"No question of {data} is in all of {', '.join(langs)}; check the files.", "data", "langs")

    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    record_of = {lang: dict(keyed) for lang, keyed in records.items()}
    for key in shared:
        passage_id = hash_of(record_of["en"][key]["flores_passage"])[:12]
        question_id = hash_of(*key)[:12]
        for lang in langs:
            record = record_of[lang][key]
            passage = parallel_text(passage_id, lang, record["flores_passage"])
            query = parallel_text(question_id, lang, record["question"])
            passages.setdefault(passage.id, passage)
            queries[query.id] = query
            qrels[query.id] = {f"{passage_id}@{other}": 1 for other in langs}
    notes = []
    if dropped := len(set().union(*counts.values())) - len(shared):
        notes.append(f"{dropped} questions left out: not there exactly once in every language.")
    return Prepared(collection=Collection(collection_name("belebele", langs), passages, queries, qrels), notes=notes)


def _records(data: Path | str, lang: str) -> list[tuple[Key, dict[str, Any]]]:
    code = ENGLISH if lang == "en" else lang
    if is_local(data):
        records = list(read_jsonl(Path(data) / f"{code}.jsonl"))
    else:
        records = [(f"{data} ({code}), record {i}", r) for i, r in enumerate(hub_records(str(data), code, "test"), 1)]
    for where, record in records:
        for name in FIELDS:
            if not str(record.get(name) or "").strip():
                raise InputError(f"{where}: {name!r} is missing or empty; this is no record of Belebele.", "data")
    return [((str(record["link"]), str(record["question_number"])), record) for _, record in records]


register(
    DataSet(
        name="belebele",
        title="Belebele",
        what="900 questions and 488 passages, parallel in 122 languages",
        rows=False,
        directions="all k x k",
        source="github.com/facebookresearch/belebele",
        licence="CC BY-SA 4.0",
        example="--data facebook/belebele --langs hau_Latn,swh_Latn --out belebele",
        load=load_belebele,
    )
)
