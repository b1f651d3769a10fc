"""AfriQA (Ogundepo et al. 2023, arXiv 2305.06897): questions in African languages, English passages.

Reads the gold passages with an English pivot, `gold_span_passages.afriqa.<code>.en.<split>.json`. The rows are the
train and dev questions of a language, the collection has its test questions. A training row whose passage is a test
passage is dropped. The pool is every distinct English passage of all these files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from clear_ir.data.collection import Text, make_collection
from clear_ir.data.files import InputError, read_jsonl
from clear_ir.data.rows import ParallelRow, RejectedRecords
from clear_ir.data.texts import passage_id_of
from clear_ir.prepare.languages import choose_langs, collection_name
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.release import find_files
from clear_ir.prepare.shared_options import Judge

FILE = re.compile(r"gold_span_passages\.afriqa\.(\w+)\.(en|fr)\.(train|dev|test)\.json")


def load_afriqa(
    data: Annotated[Path, Field(description="Folder with the gold passage files, or one above it.")],
    langs: Annotated[Sequence[str], Field(description="Languages, such as ha, ig, rw, sw, zu; or all.")],
    judge: Judge = "test",
) -> Prepared:
    """Load AfriQA.

    With `judge="test"` the rows are train and dev. With `"dev"` they are train alone, so that settings are chosen
    without a look at the test questions. Swahili has test questions only.

    Returns:
        Rows and a collection, with the queries in each language and in their human English translation.

    Raises:
        InputError: If the folder has no such files, or none in a language, or the passages of a language are French.
    """
    files, chosen, notes = _choose_files(data, langs)
    langs = list(chosen)
    lang_of = {code: lang for lang, code in chosen.items()}

    rejected = RejectedRecords()
    pool: dict[str, Text] = {}
    rows_by_file: dict[tuple[str, str], list[ParallelRow]] = {}
    for (code, split), path in files.items():
        lang = lang_of.get(code, code)
        rows_by_file[lang, split] = []
        for where, record in read_jsonl(path):
            fields = {name: _clean(record.get(name)) for name in ("context", "question_translated", "question_lang")}
            passage = fields["context"]
            passage_id = passage_id_of(passage)
            if passage:
                pool[passage] = Text(passage_id, passage, "en")
            if empty := [name for name, text in fields.items() if not text]:
                if lang in langs:
                    rejected.add(where, f"{empty[0]!r} is null or empty")
                continue
            row_id = f"{code}-{split}-{record['id']}"
            query, cross_query = fields["question_translated"], fields["question_lang"]
            rows_by_file[lang, split].append(ParallelRow(row_id, query, passage, passage_id, cross_query, lang))

    judged = [row for lang in langs for row in rows_by_file.get((lang, judge), [])]
    # Test passages are never trained on, whichever split is judged.
    hidden = {row.passage_id for (_, split), rows in rows_by_file.items() for row in rows if split in ("test", judge)}
    splits = ("train", "dev") if judge == "test" else ("train",)
    candidates = [row for lang in langs for split in splits for row in rows_by_file.get((lang, split), [])]
    rows = [row for row in candidates if row.passage_id not in hidden]
    if dropped := len(candidates) - len(rows):
        notes.append(f"{dropped} training rows dropped: their passage is a test passage.")
    if without_rows := [lang for lang in langs if not any(row.lang == lang for row in rows)]:
        notes.append(f"No training rows for {', '.join(without_rows)}: test only.")
    questions = ((row.id, row.passage_id, {"en": row.query, row.lang: row.cross_query}) for row in judged)
    collection = make_collection(collection_name("afriqa", langs), pool.values(), questions, judge)
    return Prepared(rows, collection, rejected, notes)


def _choose_files(data: Path, langs: Sequence[str]) -> tuple[dict[tuple[str, str], Path], dict[str, str], list[str]]:
    """All files with English passages by code and split; the chosen languages with their codes; what is left out."""
    found = find_files(data, FILE, "AfriQA", "gold_span_passages.afriqa.hau.en.test.json")
    files = {(match[1], match[3]): path for match, path in found.items() if match[2] == "en"}
    codes = {code for code, _ in files}
    chosen = choose_langs(langs, sorted({match[1] for match in found}), f"AfriQA in {data} has no language")
    french = [lang for lang, code in chosen.items() if code not in codes]
    if french and (not codes or "all" not in langs):
        raise InputError(
            f"The passages of {' and '.join(french)} in AfriQA are French; only English passages are supported.",
            "langs",
        )
    notes = [f"Left out: {', '.join(french)}, whose passages are French."] if french else []
    return files, {lang: code for lang, code in chosen.items() if code in codes}, notes


def _clean(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


register(
    DataSet(
        name="afriqa",
        title="AfriQA",
        what="questions in African languages with human English translations, English passages",
        rows=True,
        directions="q-en.p-en, q-L.p-en",
        source="github.com/masakhane-io/afriqa (gold passages with an English pivot)",
        licence="CC BY 4.0",
        example="--data AFRIQA --langs ha,ig --out afriqa",
        load=load_afriqa,
    )
)
