"""NTREX-128 (Federmann et al. 2022): 1997 news sentences in English and their translations, as bitext retrieval.

Reads `newstest2019-src.eng.txt` and `newstest2019-ref.<code>.txt` of MicrosoftTranslator/NTREX, line by line. A
sentence searches its translation among all sentences of another language. There are no rows to train on. The lines may
serve for distillation, but then they are no test any more.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated

from pydantic import Field

from clear_ir.data.collection import Collection, Qrels, Text, parallel_text
from clear_ir.data.files import InputError
from clear_ir.data.languages import is_english
from clear_ir.data.rows import Translation
from clear_ir.prepare.languages import choose_langs, collection_name, with_english
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.release import find_files
from clear_ir.prepare.shared_options import Langs

FILE = re.compile(r"newstest2019-(?:src|ref)\.(\S+)\.txt")
ENGLISH = "eng"
#: `por` is the Portuguese of Portugal, beside `por-BR`.
TAGS = {"por": "pt-PT"}


def load_ntrex(
    data: Annotated[Path, Field(description="Folder with newstest2019-src.eng.txt and the translations.")],
    langs: Langs,
) -> Prepared:
    """Load NTREX as bitext retrieval.

    The same sentence may stand on several lines, in either language. Then the translations of each of these lines are
    relevant for all of them. English is the source; its British, American and Indian versions are left out.

    Returns:
        No rows; a collection whose directions all cross languages; and the lines as translations.

    Raises:
        InputError: If a language is missing, or the files differ in their number of lines.
    """
    found = find_files(data, FILE, "NTREX", "newstest2019-src.eng.txt")
    files = {match[1]: path for match, path in found.items() if match[1] == ENGLISH or not is_english(match[1])}
    chosen = choose_langs(with_english(langs), files, f"NTREX in {data} has no language", TAGS)
    paths = {lang: files[code] for lang, code in chosen.items()}
    langs = list(chosen)
    lines = {lang: _read_lines(paths[lang]) for lang in langs}
    for lang in langs:
        if len(lines[lang]) != len(lines["en"]):
            raise InputError(
                f"{paths[lang]} has {len(lines[lang])} lines, {paths['en']} has {len(lines['en'])}; "
                "download both again."
            )
    numbers = {lang: _numbers_by_text(lines[lang]) for lang in langs}
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for lang in langs:
        for i, line in enumerate(lines[lang]):
            sentence = parallel_text(_sentence_id(i), lang, line)
            passages[sentence.id] = queries[sentence.id] = sentence
            qrels[sentence.id] = {
                f"{_sentence_id(match)}@{other}": 1
                for other in langs
                if other != lang
                for same in numbers[lang][line]
                for match in numbers[other][lines[other][same]]
            }
    collection = Collection(collection_name("ntrex", langs), passages, queries, qrels)
    pairs = [(lang, pair) for lang in langs if lang != "en" for pair in zip(lines["en"], lines[lang], strict=True)]
    return Prepared(collection=collection, translations=[Translation(*pair, lang) for lang, pair in pairs])


def _sentence_id(line_number: int) -> str:
    return f"s{line_number + 1:04}"


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not valid UTF-8; download the file again.") from None
    lines = lines[:-1] if not lines[-1].strip() else lines
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"{path}, line {number} is empty; download the file again.")
    return [line.strip() for line in lines]


def _numbers_by_text(lines: list[str]) -> dict[str, list[int]]:
    """The numbers of the lines that hold each text."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        numbers[line].append(number)
    return numbers


register(
    DataSet(
        name="ntrex",
        title="NTREX-128",
        what="1997 news sentences and their translations into 128 languages; to test or to distil on",
        rows=False,
        directions="all pairs of two languages",
        source="github.com/MicrosoftTranslator/NTREX",
        licence="CC BY-SA 4.0",
        example="--data NTREX --langs de,ha --out ntrex",
        load=load_ntrex,
    )
)
