"""MLQA (Lewis et al. 2020, arXiv 1910.07475): questions and contexts, partly parallel in seven languages.

Reads ``test-context-<lang>-question-<lang>.json`` (or ``dev-``) of facebookresearch/MLQA, in SQuAD's format. A question
has one id in all languages, but not every language has every question. For testing only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from clear_ir.data.collection import Collection, Qrels, Text
from clear_ir.data.files import hash_of
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.source import check_langs, hub_records, is_local, read_squad, squad_from_records

_NAME = re.compile(r"(test|dev)-context-(\w+)-question-(\w+)\.json")


def load_mlqa(data: Path | str, langs: list[str], judge: Literal["test", "dev"] = "test") -> Prepared:
    """Load MLQA as retrieval: questions against all contexts of a language.

    Args:
        data: Folder with the files, or a hub name such as ``facebook/mlqa``.
        langs: Languages to add to English; ``all`` those of the folder.
        judge: The split.

    Returns:
        No rows; a collection in which the pool of a language is every context of its files.

    Raises:
        InputError: If a file is missing or no SQuAD file, or the hub cannot be reached.
    """
    wanted = list(dict.fromkeys(["en", *langs]))
    if is_local(data):
        names = [match.groups() for path in Path(data).glob("*.json") if (match := _NAME.fullmatch(path.name))]
        wanted = check_langs("MLQA", langs, sorted({asked for split, _, asked in names if split == judge}), data)
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for context_lang in wanted:
        for query_lang in wanted:
            for paragraph in _paragraphs(data, context_lang, query_lang, judge):
                passage = f"{hash_of(paragraph['context'])[:12]}@{context_lang}"
                passages.setdefault(passage, Text(passage, paragraph["context"], context_lang))
                for question in paragraph["qas"]:
                    query = f"{question['id']}@{query_lang}"
                    text = Text(query, question["question"].strip(), query_lang, parallel_id=question["id"])
                    queries.setdefault(query, text)
                    qrels.setdefault(query, {})[passage] = 1
    return Prepared([], Collection(f"mlqa-{'-'.join(wanted[1:]) or 'en'}", passages, queries, qrels, judge))


def _paragraphs(data: Path | str, context_lang: str, query_lang: str, judge: str) -> list[dict[str, Any]]:
    if is_local(data):
        articles = read_squad(Path(data) / f"{judge}-context-{context_lang}-question-{query_lang}.json")
    else:
        split = "test" if judge == "test" else "validation"
        articles = squad_from_records(hub_records(str(data), f"mlqa.{context_lang}.{query_lang}", split))
    return [paragraph for article in articles for paragraph in article]
