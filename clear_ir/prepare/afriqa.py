"""AfriQA (Ogundepo et al. 2023, arXiv 2305.06897): questions in African languages, English passages.

Reads the gold passages with an English pivot, `gold_span_passages.afriqa.<lang>.en.<split>.json`. The rows are the
train and dev questions of a language, the collection has its test questions. A training row whose passage is a test
passage is dropped. The pool is every distinct English passage of all files in the folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from clear_ir.data.collection import Text, make_collection
from clear_ir.data.files import hash_of, read_jsonl
from clear_ir.data.rows import ParallelRow, RejectedRecords
from clear_ir.prepare.languages import choose_langs, collection_name
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.shared_options import Judge
from clear_ir.prepare.source import check_files

FILE = re.compile(r"gold_span_passages\.afriqa\.(\w+)\.en\.(train|dev|test)\.json")


def load_afriqa(
    data: Annotated[Path, Field(description="Folder with the gold passage files.")],
    langs: Annotated[Sequence[str], Field(description="Languages: hau, ibo, kin, swa, zul; or all.")],
    judge: Judge = "test",
) -> Prepared:
    """Load AfriQA.

    With `judge="test"` the rows are train and dev. With `"dev"` they are train alone, so that settings are chosen
    without a look at the test questions. Swahili (`swa`) has test questions only.

    Returns:
        Rows and a collection, with the queries in each language and in their human English translation.

    Raises:
        InputError: If the folder has no such files, or none in a language.
    """
    files = {match.groups(): path for path in sorted(data.glob("*.json")) if (match := FILE.fullmatch(path.name))}
    check_files(data, files, "AfriQA", "gold_span_passages.afriqa.hau.en.test.json")
    langs = choose_langs(langs, sorted({lang for lang, _ in files}), f"AfriQA in {data} has no language")

    rejected = RejectedRecords()
    pool: dict[str, Text] = {}
    rows_by_file: dict[tuple[str, str], list[ParallelRow]] = {}
    for (lang, split), path in files.items():
        rows_by_file[lang, split] = []
        for where, record in read_jsonl(path):
            fields = {name: _clean(record.get(name)) for name in ("context", "question_translated", "question_lang")}
            passage = fields["context"]
            passage_id = "p-" + hash_of(passage)[:12]
            if passage:
                pool[passage] = Text(passage_id, passage, "en")
            if empty := [name for name, text in fields.items() if not text]:
                if lang in langs:
                    rejected.add(where, f"{empty[0]!r} is null or empty")
                continue
            row_id = f"{lang}-{split}-{record['id']}"
            query, cross_query = fields["question_translated"], fields["question_lang"]
            rows_by_file[lang, split].append(ParallelRow(row_id, query, passage, passage_id, cross_query, lang))

    judged = [row for lang in langs for row in rows_by_file.get((lang, judge), [])]
    # Test passages are never trained on, whichever split is judged.
    hidden = {row.passage_id for (_, split), rows in rows_by_file.items() for row in rows if split in ("test", judge)}
    splits = ("train", "dev") if judge == "test" else ("train",)
    candidates = [row for lang in langs for split in splits for row in rows_by_file.get((lang, split), [])]
    rows = [row for row in candidates if row.passage_id not in hidden]
    notes = []
    if dropped := len(candidates) - len(rows):
        notes.append(f"{dropped} training rows dropped: their passage is a test passage.")
    if without_rows := [lang for lang in langs if not any(row.lang == lang for row in rows)]:
        notes.append(f"No training rows for {', '.join(without_rows)}: test only.")
    questions = ((row.id, row.passage_id, {"en": row.query, row.lang: row.cross_query}) for row in judged)
    collection = make_collection(collection_name("afriqa", langs), pool.values(), questions, judge)
    return Prepared(rows, collection, rejected, notes)


def _clean(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


register(
    DataSet(
        name="afriqa",
        title="AfriQA",
        what="questions in hau, ibo, kin, swa and zul with human English translations, English passages",
        rows=True,
        directions="q-en.p-en, q-L.p-en",
        source="github.com/masakhane-io/afriqa (gold passages with an English pivot)",
        licence="CC BY 4.0",
        example="--data AFRIQA --langs hau,ibo --out afriqa",
        load=load_afriqa,
    )
)
