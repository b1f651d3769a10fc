"""XQuAD (Artetxe et al. 2020, arXiv 1910.11856): 240 passages, 1190 questions, parallel in all languages.

Reads ``xquad.<lang>.json`` in SQuAD's format, 12 languages upstream. Articles whose index is divisible by 4 are test,
the rest train; the pool is all 240 passages of a language. Questions are told apart by id, not by text, so that
languages pair.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from clear_ir.data.collection import Collection, Text
from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.source import check_langs, hub_records, is_local, read_squad, squad_from_records


def load_xquad(data: Path | str, langs: list[str], judge: Literal["test", "dev", "all"] = "test") -> Prepared:
    """Load XQuAD.

    Args:
        data: Folder with ``xquad.en.json`` and one file a language, or a hub name such as ``google/xquad``, which
            knows no articles and so can only be judged as a whole.
        langs: Languages to add to English; ``all`` those of the folder.
        judge: ``test`` judges on articles 0, 4, 8, ... and trains on the rest; ``dev``, for choosing
            hyperparameters, judges on articles 1, 5, 9, ... and trains on 2, 3, 6, 7, ...; ``all`` judges on
            all 1190 questions and trains on none.

    Returns:
        Rows and collection, with queries and passages in English and each language.

    Raises:
        InputError: If a file is missing or is no SQuAD file, or the hub cannot be reached.
    """
    if is_local(data):
        wanted = check_langs(
            "XQuAD", langs, sorted(p.name.split(".")[1] for p in Path(data).glob("xquad.*.json")), data
        )
        articles = {lang: read_squad(Path(data) / f"xquad.{lang}.json") for lang in wanted}
    elif judge != "all" or "all" in langs:
        raise InputError("XQuAD on the hub has no articles to split by; give --judge all, and name the languages.")
    else:
        wanted = list(dict.fromkeys(["en", *langs]))
        records = {lang: hub_records(str(data), f"xquad.{lang}", "validation") for lang in wanted}
        articles = {lang: squad_from_records(found) for lang, found in records.items()}
    for lang in wanted:
        if _question_ids(articles[lang]) != _question_ids(articles["en"]):
            raise InputError(f"{data}: {lang} does not run parallel to English, id by id; get both from one release.")

    rows: list[ParallelRow] = []
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: dict[str, dict[str, int]] = {}
    for a, english_article in enumerate(articles["en"]):
        judged = judge == "all" or a % 4 == (0 if judge == "test" else 1)
        trained = judge != "all" and not judged and a % 4 != 0
        for p, english in enumerate(english_article):
            name = f"a{a:02}-p{p}"
            for lang in wanted:
                text = articles[lang][a][p]["context"]
                passages[f"{name}@{lang}"] = Text(f"{name}@{lang}", text, lang, parallel_id=name)
            for q, english_question in enumerate(english["qas"]):
                question_id, query = english_question["id"], english_question["question"].strip()
                for lang in wanted:
                    text = articles[lang][a][p]["qas"][q]["question"].strip()
                    if judged:
                        query_id = f"{question_id}@{lang}"
                        queries[query_id] = Text(query_id, text, lang, parallel_id=question_id)
                        qrels[query_id] = {f"{name}@{other}": 1 for other in wanted}
                    elif trained and lang != "en":
                        row_id = f"{question_id}@{lang}"
                        rows.append(ParallelRow(row_id, query, english["context"], f"{name}@en", text, lang))
    others = "-".join(lang for lang in wanted if lang != "en") or "en"
    return Prepared(rows, Collection(f"xquad-{others}", passages, queries, qrels, judge))


def _question_ids(articles: list[list[dict[str, Any]]]) -> list[list[list[str]]]:
    return [[[question["id"] for question in paragraph["qas"]] for paragraph in article] for article in articles]
