"""XQuAD-R (LAReQA, Roy et al. 2020, arXiv 2004.05484): XQuAD's questions against pools of single sentences.

Reads `<lang>.json` of google-research-datasets/lareqa: SQuAD's format, each paragraph with its `sentences` and
`sentence_breaks`, their first and last characters. The sentence in which the answer starts is relevant.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from clear_ir.data.collection import Collection, Qrels, Text, parallel_text
from clear_ir.data.files import InputError
from clear_ir.prepare.languages import choose_langs, collection_name, with_english
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.release import find_files
from clear_ir.prepare.shared_options import Langs
from clear_ir.prepare.source import read_squad

FILE = re.compile(r"([a-z]{2})\.json")


def load_xquad_r(
    data: Annotated[Path, Field(description="Folder with en.json and one file a language.")],
    langs: Langs,
) -> Prepared:
    """Load XQuAD-R, which is for testing only.

    Returns:
        No rows; a collection with every sentence in every language and each question in all of them.

    Raises:
        InputError: If a file is missing, lacks sentences, or does not run parallel to the English one.
    """
    # The release has folders of other data sets beside that of XQuAD-R, with files of the same names.
    folder = next((path for path in (data / "xquad-r", *data.glob("*/xquad-r")) if path.is_dir()), data)
    files = {match[1]: path for match, path in find_files(folder, FILE, "XQuAD-R", "en.json").items()}
    chosen = choose_langs(with_english(langs), files, f"XQuAD-R in {data} has no language")
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    relevant: Qrels = {}  # for each question, in whatever language
    questions: dict[str, list[str]] = {}
    for lang, code in chosen.items():
        path, questions[lang] = files[code], []
        for a, article in enumerate(read_squad(path)):
            for p, paragraph in enumerate(article):
                where = f"{path}, article {a + 1}, paragraph {p + 1}"
                # Languages differ in how many sentences a paragraph has, so sentences have no parallel id.
                ids = [f"a{a:02}-p{p}-s{s:02}@{lang}" for s, _ in enumerate(_field(paragraph, "sentences", where))]
                for sentence_id, text in zip(ids, paragraph["sentences"], strict=True):
                    passages[sentence_id] = Text(sentence_id, text.strip(), lang)
                starts = [start for start, _ in _field(paragraph, "sentence_breaks", where)]
                for question in paragraph["qas"]:
                    query = parallel_text(question["id"], lang, question["question"].strip())
                    queries[query.id] = query
                    answer = _field(question, "answers", where)[0]["answer_start"]
                    sentence = max((i for i, start in enumerate(starts) if start <= answer), default=0)
                    relevant.setdefault(question["id"], {})[ids[sentence]] = 1
                    questions[lang].append(question["id"])
        if sorted(questions[lang]) != sorted(questions["en"]):
            raise InputError(f"{path} has other questions than en.json; download both from one release.", "data")
    qrels = {query.id: dict(relevant[query.parallel_id]) for query in queries.values()}
    return Prepared(collection=Collection(collection_name("xquad-r", chosen), passages, queries, qrels))


def _field(record: dict[str, Any], name: str, where: str) -> list[Any]:
    if not record.get(name):
        raise InputError(f"{where}: {name!r} is missing or empty; this is no file of XQuAD-R.", "data")
    values: list[Any] = record[name]
    return values


register(
    DataSet(
        name="xquad-r",
        title="XQuAD-R",
        what="XQuAD's questions against single sentences (LAReQA)",
        rows=False,
        directions="all k x k",
        source="github.com/google-research-datasets/lareqa",
        licence="CC BY-SA 4.0",
        example="--data LAREQA --langs all --out xquad-r",
        load=load_xquad_r,
    )
)
