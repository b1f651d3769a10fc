"""Belebele (Bandarkar et al. 2024, arXiv 2308.16884): 900 questions on 488 passages, parallel in 122 languages.

Reads ``<code>.jsonl`` of facebookresearch/belebele, named by FLORES-200's codes such as ``hau_Latn``; ``eng_Latn`` is
``en`` here. Questions are told apart by ``link`` and ``question_number``. For testing only.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from clear_ir.data.collection import Collection, Qrels, Text
from clear_ir.data.files import InputError, hash_of, read_jsonl
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.source import check_langs, hub_records, is_local

ENGLISH = "eng_Latn"
FIELDS = ("link", "question_number", "flores_passage", "question")


def load_belebele(data: Path | str, langs: list[str]) -> Prepared:
    """Load Belebele as retrieval: questions against all passages of a language.

    Args:
        data: Folder with ``eng_Latn.jsonl`` and one file a language, or a hub name such as ``facebook/belebele``.
        langs: FLORES-200 codes to add to English; ``all`` those of the folder.

    Returns:
        No rows; a collection with questions and passages in all languages.

    Raises:
        InputError: If a language or a field is missing, or the hub cannot be reached.
    """
    folder = Path(data)
    wanted = ["en", *(lang for lang in dict.fromkeys(langs) if lang not in ("en", ENGLISH))]
    if is_local(data):
        known = sorted("en" if path.stem == ENGLISH else path.stem for path in folder.glob("*_*.jsonl"))
        wanted = check_langs("Belebele", [lang for lang in langs if lang != ENGLISH], known, data)
    elif "all" in langs:
        raise InputError("Name the languages of Belebele on the hub, such as deu_Latn; all needs a folder.")
    records = {lang: _records(data, lang) for lang in wanted}
    counts = {lang: Counter(key for key, _ in found) for lang, found in records.items()}
    shared = [key for key, _ in records["en"] if all(counts[lang][key] == 1 for lang in wanted)]

    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    of = {lang: dict(found) for lang, found in records.items()}
    for key in shared:
        name = hash_of(of["en"][key]["flores_passage"])[:12]
        question = hash_of(*key)[:12]
        for lang in wanted:
            record = of[lang][key]
            passages.setdefault(f"{name}@{lang}", Text(f"{name}@{lang}", record["flores_passage"], lang, "", name))
            query = Text(f"{question}@{lang}", record["question"], lang, parallel_id=question)
            queries[query.id] = query
            qrels[query.id] = {f"{name}@{other}": 1 for other in wanted}
    notes = []
    if dropped := len(set().union(*counts.values())) - len(shared):
        notes.append(f"{dropped} questions left out: not there exactly once in every language.")
    if not shared:
        raise InputError(f"No question of {data} is in all of {', '.join(wanted)}; check the files.")
    return Prepared([], Collection(f"belebele-{'-'.join(wanted[1:]) or 'en'}", passages, queries, qrels), notes=notes)


def _records(data: Path | str, lang: str) -> list[tuple[tuple[str, str], dict[str, Any]]]:
    code = ENGLISH if lang == "en" else lang
    if is_local(data):
        path = Path(data) / f"{code}.jsonl"
        numbered = list(read_jsonl(path))
    else:
        numbered = [(f"{data} ({code}), record {i}", r) for i, r in enumerate(hub_records(str(data), code, "test"), 1)]
    found = []
    for where, record in numbered:
        for name in FIELDS:
            if not str(record.get(name) or "").strip():
                raise InputError(f"{where}: {name!r} is missing or empty; this is no record of Belebele.")
        found.append(((str(record["link"]), str(record["question_number"])), record))
    return found
