"""XOR-TyDi QA's gold paragraphs (Asai et al. 2021, arXiv 2010.11856): questions in seven languages, English passages.

Reads ``gp_squad_dev_data.json`` of the release ``xorqa_reading_comprehension_format``: SQuAD's format with ``lang`` at
each question. The pool is the gold paragraphs of the file, so scores are far above those of the official R@2kt, which
searches Wikipedia. For testing only: the release has no English questions.
"""

from __future__ import annotations

from pathlib import Path

from clear_ir.data.collection import Collection, Qrels, Text
from clear_ir.data.files import InputError, hash_of
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.source import read_squad

FILE = "gp_squad_dev_data.json"


def load_xor_tydi(data: Path, langs: list[str]) -> Prepared:
    """Load the gold paragraphs of XOR-TyDi.

    Args:
        data: The file, or the folder that holds it.
        langs: Languages: ar, bn, fi, ja, ko, ru, te; or ``all``.

    Returns:
        No rows; a collection named ``xor-tydi-gold-pool-...`` with directions q-L.p-en, whose pool is every gold
        paragraph of the file, those of other languages' questions included.

    Raises:
        InputError: If the file is missing, is no such file, or lacks a language.
    """
    path = data / FILE if data.is_dir() else data
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for a, article in enumerate(read_squad(path), start=1):
        for paragraph in article:
            passage = "p-" + hash_of(paragraph["context"])[:12]
            passages.setdefault(passage, Text(passage, paragraph["context"].strip(), "en"))
            for question in paragraph["qas"]:
                if not question.get("lang"):
                    raise InputError(f"{path}, article {a}: a question has no 'lang'; this is no file of XOR-TyDi.")
                query = str(question["id"])
                queries.setdefault(query, Text(query, question["question"].strip(), question["lang"]))
                qrels.setdefault(query, {})[passage] = 1
    known = sorted({query.lang for query in queries.values()})
    wanted = known if langs == ["all"] else langs
    if unknown := [lang for lang in wanted if lang not in known]:
        raise InputError(f"{path} has no questions in {unknown[0]!r}; choose among {', '.join(known)}.")
    queries = {name: query for name, query in queries.items() if query.lang in wanted}
    collection = Collection(
        f"xor-tydi-gold-pool-{'-'.join(wanted)}", passages, queries, {name: qrels[name] for name in queries}
    )
    note = "Gold pool: the passages are the gold paragraphs alone. This is not the official R@2kt."
    return Prepared([], collection, notes=[note])
