"""AfriQA (Ogundepo et al. 2023, arXiv 2305.06897): questions in African languages, English passages.

Reads the gold passages with an English pivot, ``gold_span_passages.afriqa.<lang>.en.<split>.json``. Train is
train and dev of a language, test its test questions; a training row whose passage is a test passage is
dropped. The pool is every distinct English passage of all files in the folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from clear_ir.data.collection import Text, make_collection
from clear_ir.data.files import InputError, hash_of, read_jsonl
from clear_ir.data.rows import ParallelRow, Rejected
from clear_ir.prepare.prepared import Prepared

_NAME = re.compile(r"gold_span_passages\.afriqa\.(\w+)\.en\.(train|dev|test)\.json")


def load_afriqa(data: Path, langs: list[str], judge: Literal["test", "dev"] = "test") -> Prepared:
    """Load AfriQA.

    Args:
        data: Folder with the gold passage files.
        langs: Languages: hau, ibo, kin, zul, or swa, which has test questions only.
        judge: ``test`` trains on train and dev; ``dev``, for choosing hyperparameters, trains on train and
            judges on dev, without a look at test.

    Returns:
        Rows and collection, with the queries in each language and in their human English translation.

    Raises:
        InputError: If the folder has no such files or lacks a language.
    """
    files = {match.groups(): path for path in sorted(data.glob("*.json")) if (match := _NAME.fullmatch(path.name))}
    if not files:
        raise InputError(f"{data} holds no file gold_span_passages.afriqa.<lang>.en.<split>.json; check --data.")
    known = sorted({lang for lang, _ in files})
    if unknown := [lang for lang in langs if lang not in known]:
        raise InputError(f"AfriQA in {data} has no language {unknown[0]!r}; choose among {', '.join(known)}.")

    rejected = Rejected()
    contexts: dict[str, Text] = {}
    found: dict[tuple[str, str], list[ParallelRow]] = {}
    for (lang, split), path in files.items():
        found[lang, split] = []
        for where, record in read_jsonl(path):
            passage = _clean(record.get("context"))
            if passage:
                passage_id = "p-" + hash_of(passage)[:12]
                contexts[passage] = Text(passage_id, passage, "en")
            fields = {name: _clean(record.get(name)) for name in ("context", "question_translated", "question_lang")}
            if empty := [name for name, text in fields.items() if not text]:
                if lang in langs:
                    rejected.add(where, f"{empty[0]!r} is null or empty")
                continue
            row_id = f"{lang}-{split}-{record['id']}"
            query, cross_query = fields["question_translated"], fields["question_lang"]
            found[lang, split].append(ParallelRow(row_id, query, passage, passage_id, cross_query, lang))

    judged = [row for lang in langs for row in found.get((lang, judge), [])]
    # Whatever is judged, test passages are never trained on.
    hidden = {row.passage_id for (_, split), rows in found.items() for row in rows if split in ("test", judge)}
    splits = ("train", "dev") if judge == "test" else ("train",)
    candidates = [row for lang in langs for split in splits for row in found.get((lang, split), [])]
    rows = [row for row in candidates if row.passage_id not in hidden]
    notes = []
    if dropped := len(candidates) - len(rows):
        notes.append(f"{dropped} training rows dropped: their passage is a test passage.")
    if bare := [lang for lang in langs if not any(row.lang == lang for row in rows)]:
        notes.append(f"No training rows for {', '.join(bare)}: test only.")
    questions = ((row.id, row.passage_id, {"en": row.query, row.lang: row.cross_query}) for row in judged)
    collection = make_collection(f"afriqa-{'-'.join(langs)}", contexts.values(), questions, judge)
    return Prepared(rows, collection, rejected, notes)


def _clean(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
