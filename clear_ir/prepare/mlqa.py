"""MLQA (Lewis et al. 2020, arXiv 1910.07475): questions and contexts, partly parallel in seven languages.

Reads `test-context-<lang>-question-<lang>.json` (or `dev-`) of facebookresearch/MLQA, in SQuAD's format. A question
has one id in all languages, but not every language has every question. For testing only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from clear_ir.data.collection import Collection, Qrels, Text, parallel_text
from clear_ir.data.files import hash_of
from clear_ir.prepare.languages import choose_langs, collection_name, refuse_all, with_english
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.shared_options import Judge, Langs
from clear_ir.prepare.source import check_files, hub_records, is_local, read_squad, squad_from_records

FILE = re.compile(r"(test|dev)-context-(\w+)-question-(\w+)\.json")


def load_mlqa(
    data: Annotated[
        str | Path, Field(description="Folder with test-context-en-question-en.json and others, or facebook/mlqa.")
    ],
    langs: Langs,
    judge: Judge = "test",
) -> Prepared:
    """Load MLQA as retrieval: a question searches all contexts of a language.

    `langs="all"` needs a folder.

    Returns:
        No rows; a collection in which the pool of a language is every context of its files.

    Raises:
        InputError: If a file is missing or has another format, or the hub cannot be reached.
    """
    langs = with_english(langs)
    if is_local(data):
        names = [match.groups() for path in Path(data).glob("*.json") if (match := FILE.fullmatch(path.name))]
        known = sorted({query_lang for split, _, query_lang in names if split == judge})
        check_files(data, known, "MLQA", f"{judge}-context-en-question-en.json")
        langs = choose_langs(langs, known, f"MLQA in {data} has no language")
    else:
        refuse_all(langs, "MLQA")
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for context_lang in langs:
        for query_lang in langs:
            for paragraph in _paragraphs(data, context_lang, query_lang, judge):
                # Contexts are not parallel: those of other languages hold more or less than the English one.
                passage_id = f"{hash_of(paragraph['context'])[:12]}@{context_lang}"
                passages.setdefault(passage_id, Text(passage_id, paragraph["context"], context_lang))
                for question in paragraph["qas"]:
                    query = parallel_text(question["id"], query_lang, question["question"].strip())
                    queries.setdefault(query.id, query)
                    qrels.setdefault(query.id, {})[passage_id] = 1
    return Prepared(collection=Collection(collection_name("mlqa", langs), passages, queries, qrels, judge))


def _paragraphs(data: Path | str, context_lang: str, query_lang: str, judge: str) -> list[dict[str, Any]]:
    if is_local(data):
        articles = read_squad(Path(data) / f"{judge}-context-{context_lang}-question-{query_lang}.json")
    else:
        split = "test" if judge == "test" else "validation"
        articles = squad_from_records(hub_records(str(data), f"mlqa.{context_lang}.{query_lang}", split))
    return [paragraph for article in articles for paragraph in article]


register(
    DataSet(
        name="mlqa",
        title="MLQA",
        what="questions and contexts in ar, de, en, es, hi, vi and zh, partly parallel",
        rows=False,
        directions="all k x k",
        source="github.com/facebookresearch/MLQA",
        licence="CC BY-SA 3.0",
        example="--data MLQA --langs de,hi --out mlqa",
        load=load_mlqa,
    )
)
