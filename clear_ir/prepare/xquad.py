"""XQuAD (Artetxe et al. 2020, arXiv 1910.11856): 240 passages, 1190 questions, parallel in all languages.

Reads `xquad.<lang>.json` in SQuAD's format, 12 languages upstream. Articles whose index is divisible by 4 are test,
the rest train; the pool is all 240 passages of a language. Questions are identified by id, not by text, so that
languages pair.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from clear_ir.data.collection import Collection, Qrels, Text, parallel_text
from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow
from clear_ir.prepare.languages import choose_langs, collection_name, with_english
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.release import find_files
from clear_ir.prepare.shared_options import Langs
from clear_ir.prepare.source import hub_records, is_local, read_squad, squad_from_records

FILE = re.compile(r"xquad\.([\w-]+)\.json")
#: The languages of XQuAD on the hub.
ON_THE_HUB = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")

#: For each article its paragraphs.
Articles = list[list[dict[str, Any]]]


def load_xquad(
    data: Annotated[
        str | Path, Field(description="Folder with xquad.en.json and one file a language, or google/xquad.")
    ],
    langs: Langs,
    judge: Annotated[
        Literal["test", "dev", "all"],
        Field(
            description="Split to test on; dev is for choosing settings, all takes every question and trains on none."
        ),
    ] = "test",
) -> Prepared:
    """Load XQuAD.

    With `judge="test"` the collection has articles 0, 4, 8, ... and the rows are the rest. With `"dev"`, for
    choosing settings, the collection has articles 1, 5, 9, ... and the rows are 2, 3, 6, 7, ... With `"all"` the
    collection has all 1190 questions and there are no rows. XQuAD on the hub has no articles: it needs `judge="all"`.

    Returns:
        Rows and a collection, with queries and passages in English and each language.

    Raises:
        InputError: If a file is missing or has another format, or the hub cannot be reached.
    """
    articles = _read_articles(data, with_english(langs), judge)
    langs = list(articles)
    rows: list[ParallelRow] = []
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for a, english_article in enumerate(articles["en"]):
        judged = judge == "all" or a % 4 == (0 if judge == "test" else 1)
        trained = judge != "all" and not judged and a % 4 != 0
        for p, english in enumerate(english_article):
            passage_id = f"a{a:02}-p{p}"
            for lang in langs:
                passage = parallel_text(passage_id, lang, articles[lang][a][p]["context"])
                passages[passage.id] = passage
            for q, english_question in enumerate(english["qas"]):
                for lang in langs:
                    text = articles[lang][a][p]["qas"][q]["question"].strip()
                    query = parallel_text(english_question["id"], lang, text)
                    if judged:
                        queries[query.id] = query
                        qrels[query.id] = {f"{passage_id}@{other}": 1 for other in langs}
                    elif trained and lang != "en":
                        english_query = english_question["question"].strip()
                        translated = articles[lang][a][p]["context"]
                        row = query.id, english_query, english["context"], f"{passage_id}@en", text, lang, translated
                        rows.append(ParallelRow(*row))
    return Prepared(rows, Collection(collection_name("xquad", langs), passages, queries, qrels, judge))


def _read_articles(data: str | Path, langs: list[str], judge: str) -> dict[str, Articles]:
    """The articles of each language, English first; all languages have the same questions."""
    if is_local(data):
        files = {match[1]: path for match, path in find_files(data, FILE, "XQuAD", "xquad.en.json").items()}
        chosen = choose_langs(langs, files, f"XQuAD in {data} has no language")
        articles = {lang: read_squad(files[code]) for lang, code in chosen.items()}
    elif judge != "all":
        raise InputError("XQuAD on the hub has no articles to split by; only 'all' can be judged.", "judge")
    else:
        chosen = choose_langs(langs, ON_THE_HUB, f"{data} has no language")
        articles = {
            lang: squad_from_records(hub_records(str(data), f"xquad.{code}", "validation"))
            for lang, code in chosen.items()
        }
    for lang in articles:
        if _question_ids(articles[lang]) != _question_ids(articles["en"]):
            raise InputError(
                f"{data}: {lang} does not run parallel to English, id by id; download both from one release.", "data"
            )
    return articles


def _question_ids(articles: Articles) -> list[list[list[str]]]:
    return [[[question["id"] for question in paragraph["qas"]] for paragraph in article] for article in articles]


register(
    DataSet(
        name="xquad",
        title="XQuAD",
        what="1190 questions and 240 passages, parallel in 12 languages",
        rows=True,
        directions="all k x k",
        source="github.com/google-deepmind/xquad",
        licence="CC BY-SA 4.0",
        example="--data XQUAD --langs de,zh --out xquad",
        load=load_xquad,
    )
)
