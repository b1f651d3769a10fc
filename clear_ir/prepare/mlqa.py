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
from clear_ir.data.files import InputError, hash_of
from clear_ir.prepare.languages import choose_langs, collection_name, with_english
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.release import find_files
from clear_ir.prepare.shared_options import Judge, Langs
from clear_ir.prepare.source import hub_records, is_local, read_squad, squad_from_records

FILE = {split: re.compile(rf"{split}-context-(\w+)-question-(\w+)\.json") for split in ("test", "dev")}
#: Language of the contexts, language of the questions.
Files = dict[tuple[str, str], Path]
#: The languages of MLQA on the hub.
ON_THE_HUB = ("ar", "de", "en", "es", "hi", "vi", "zh")


def load_mlqa(
    data: Annotated[
        str | Path, Field(description="Folder with test-context-en-question-en.json and others, or facebook/mlqa.")
    ],
    langs: Langs,
    judge: Judge = "test",
) -> Prepared:
    """Load MLQA as retrieval: a question searches all contexts of a language.

    Returns:
        No rows; a collection in which the pool of a language is every context of its files.

    Raises:
        InputError: If a file is missing or has another format, or the hub cannot be reached.
    """
    files: Files = {}
    if is_local(data):
        found = find_files(data, FILE[judge], "MLQA", f"{judge}-context-en-question-en.json")
        files = {(match[1], match[2]): path for match, path in found.items()}
    codes = sorted({query_lang for _, query_lang in files}) or ON_THE_HUB
    chosen = choose_langs(with_english(langs), codes, f"MLQA in {data} has no language")
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for context_lang, context_code in chosen.items():
        for query_lang, query_code in chosen.items():
            for paragraph in _paragraphs(data, files, (context_code, query_code), judge):
                # Contexts are not parallel: those of other languages hold more or less than the English one.
                passage_id = f"{hash_of(paragraph['context'])[:12]}@{context_lang}"
                passages.setdefault(passage_id, Text(passage_id, paragraph["context"], context_lang))
                for question in paragraph["qas"]:
                    query = parallel_text(question["id"], query_lang, question["question"].strip())
                    queries.setdefault(query.id, query)
                    qrels.setdefault(query.id, {})[passage_id] = 1
    return Prepared(collection=Collection(collection_name("mlqa", chosen), passages, queries, qrels, judge))


def _paragraphs(data: Path | str, files: Files, codes: tuple[str, str], judge: str) -> list[dict[str, Any]]:
    context_code, query_code = codes
    if codes in files:
        articles = read_squad(files[codes])
    elif files:
        name = f"{judge}-context-{context_code}-question-{query_code}.json"
        raise InputError(f"{data} holds no {name}; check the folder and the languages.", "data", "langs")
    else:
        split = "test" if judge == "test" else "validation"
        articles = squad_from_records(hub_records(str(data), f"mlqa.{context_code}.{query_code}", split))
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
