"""XQuAD-R (LAReQA, Roy et al. 2020, arXiv 2004.05484): XQuAD's questions against pools of single sentences.

Reads ``<lang>.json`` of google-research-datasets/lareqa: SQuAD's format, each paragraph with its ``sentences`` and
``sentence_breaks``, their first and last characters. The sentence in which the answer starts is relevant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clear_ir.data.collection import Collection, Qrels, Text
from clear_ir.data.files import InputError
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.source import check_langs, read_squad


def load_xquad_r(data: Path, langs: list[str]) -> Prepared:
    """Load XQuAD-R, which is for testing only.

    Args:
        data: Folder with ``en.json`` and one file a language.
        langs: Languages to add to English, or ``all``.

    Returns:
        No rows; a collection with every sentence in every language and each question in all of them.

    Raises:
        InputError: If a file is missing, lacks sentences, or does not run parallel to the English one.
    """
    wanted = check_langs("XQuAD-R", langs, sorted(path.stem for path in data.glob("??.json")), data)
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    relevant: dict[str, dict[str, int]] = {}
    asked: dict[str, list[str]] = {}
    for lang in wanted:
        path, asked[lang] = data / f"{lang}.json", []
        for a, article in enumerate(read_squad(path)):
            for p, paragraph in enumerate(article):
                where = f"{path}, article {a + 1}, paragraph {p + 1}"
                ids = [f"a{a:02}-p{p}-s{s:02}@{lang}" for s, _ in enumerate(_field(paragraph, "sentences", where))]
                for name, text in zip(ids, paragraph["sentences"], strict=True):
                    passages[name] = Text(name, text.strip(), lang)
                starts = [start for start, _ in _field(paragraph, "sentence_breaks", where)]
                for question in paragraph["qas"]:
                    query_id = f"{question['id']}@{lang}"
                    queries[query_id] = Text(query_id, question["question"].strip(), lang, parallel_id=question["id"])
                    answer = _field(question, "answers", where)[0]["answer_start"]
                    sentence = max((i for i, start in enumerate(starts) if start <= answer), default=0)
                    relevant.setdefault(question["id"], {})[ids[sentence]] = 1
                    asked[lang].append(question["id"])
        if sorted(asked[lang]) != sorted(asked["en"]):
            raise InputError(f"{path} has other questions than en.json; get both from one release.")
    for query_id, query in queries.items():
        qrels[query_id] = dict(relevant[query.parallel_id or ""])
    return Prepared([], Collection(f"xquad-r-{'-'.join(wanted[1:]) or 'en'}", passages, queries, qrels, "test"))


def _field(record: dict[str, Any], name: str, where: str) -> list[Any]:
    if not record.get(name):
        raise InputError(f"{where}: {name!r} is missing or empty; this is no file of XQuAD-R.")
    values: list[Any] = record[name]
    return values
