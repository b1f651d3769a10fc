"""XOR-TyDi QA's gold paragraphs (Asai et al. 2021, arXiv 2010.11856): questions in seven languages, English passages.

Reads `gp_squad_dev_data.json` of the release `xorqa_reading_comprehension_format`: SQuAD's format with `lang` at
each question. The pool is the gold paragraphs of the file, so scores are far above those of the official R@2kt, which
searches Wikipedia. For testing only: the release has no English questions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from clear_ir.data.collection import Collection, Qrels, Text
from clear_ir.data.files import InputError
from clear_ir.data.languages import language_tag
from clear_ir.data.texts import passage_id_of
from clear_ir.prepare.languages import choose_langs, collection_name
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.release import find_files
from clear_ir.prepare.source import read_squad

FILE = "gp_squad_dev_data.json"


def load_xor_tydi(
    data: Annotated[Path, Field(description=f"{FILE}, or its folder.")],
    langs: Annotated[Sequence[str], Field(description="Languages: ar, bn, fi, ja, ko, ru, te; or all.")],
) -> Prepared:
    """Load the gold paragraphs of XOR-TyDi.

    Returns:
        No rows; a collection named `xor-tydi-gold-pool-...` with directions q-L.p-en. Its pool is every gold
        paragraph of the file, also those of questions in other languages.

    Raises:
        InputError: If the file is missing, has another format, or lacks a language.
    """
    path = data if data.is_file() else next(iter(find_files(data, re.compile(FILE), "XOR-TyDi", FILE).values()))
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for number, article in enumerate(read_squad(path), start=1):
        for paragraph in article:
            passage_id = passage_id_of(paragraph["context"])
            passages.setdefault(passage_id, Text(passage_id, paragraph["context"].strip(), "en"))
            for question in paragraph["qas"]:
                if not question.get("lang"):
                    raise InputError(
                        f"{path}, article {number}: a question has no 'lang'; this is no file of XOR-TyDi.", "data"
                    )
                lang = language_tag(str(question["lang"]), f"{path}, article {number}: the 'lang' of a question")
                query_id = str(question["id"])
                queries.setdefault(query_id, Text(query_id, question["question"].strip(), lang))
                qrels.setdefault(query_id, {})[passage_id] = 1
    chosen = choose_langs(langs, sorted({query.lang for query in queries.values()}), f"{path} has no questions in")
    queries = {query_id: query for query_id, query in queries.items() if query.lang in chosen}
    collection = Collection(
        collection_name("xor-tydi-gold-pool", chosen),
        passages,
        queries,
        {query_id: qrels[query_id] for query_id in queries},
    )
    note = "Gold pool: the passages are the gold paragraphs alone. This is not the official R@2kt."
    return Prepared(collection=collection, notes=[note])


register(
    DataSet(
        name="xor-tydi",
        title="XOR-TyDi QA",
        what="questions in ar, bn, fi, ja, ko, ru and te, English gold paragraphs",
        rows=False,
        directions="q-L.p-en",
        source="nlp.cs.washington.edu/xorqa (xorqa_reading_comprehension_format)",
        licence="CC BY-SA 4.0",
        example="--data XORQA --langs fi,ko --out xor-tydi",
        load=load_xor_tydi,
    )
)
