"""NTREX-128 (Federmann et al. 2022): 1997 news sentences in English and their translations, as bitext retrieval.

Reads ``newstest2019-src.eng.txt`` and ``newstest2019-ref.<code>.txt`` of MicrosoftTranslator/NTREX, line by line. A
sentence searches its translation among all sentences of another language. It has no rows to train on, but its lines may
be distilled on, by those who do not test on them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from clear_ir.data.collection import Collection, Qrels, Text
from clear_ir.data.files import InputError
from clear_ir.data.rows import Translation
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.source import check_langs

_NAME = re.compile(r"newstest2019-(?:src|ref)\.(\S+)\.txt")
#: Languages that other data sets here call by two letters; the rest keep the file's code.
SHORT = {
    "eng": "en", "arb": "ar", "deu": "de", "ell": "el", "hin": "hi", "ron": "ro", "rus": "ru", "spa": "es", "tha": "th",
    "tur": "tr", "vie": "vi", "zho-CN": "zh", "fra": "fr", "jpn": "ja", "kor": "ko", "fin": "fi", "ben": "bn",
    "tel": "te", "ind": "id",
}  # fmt: skip


def load_ntrex(data: Path, langs: list[str]) -> Prepared:
    """Load NTREX as bitext retrieval.

    Args:
        data: Folder with the files.
        langs: Languages to add to English, by the file's code or by two letters; or ``all``.

    Returns:
        No rows; a collection whose directions all cross languages, in which, where the same sentence stands on
        several lines, in either language, the translations of each are relevant for all; and the lines as translations.

    Raises:
        InputError: If a language is missing, or the files differ in their number of lines.
    """
    files = {match[1]: path for path in sorted(data.glob("*.txt")) if (match := _NAME.fullmatch(path.name))}
    paths = {SHORT.get(code, code): path for code, path in files.items()}
    wanted = check_langs("NTREX", [SHORT.get(lang, lang) for lang in langs], sorted(paths), data)
    lines = {lang: _lines(paths[lang]) for lang in wanted}
    for lang in wanted:
        if len(lines[lang]) != len(lines["en"]):
            raise InputError(
                f"{paths[lang]} has {len(lines[lang])} lines, {paths['en']} has {len(lines['en'])}; get both again."
            )
    same = {lang: _same(found) for lang, found in lines.items()}
    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for lang in wanted:
        for i, line in enumerate(lines[lang]):
            name = f"s{i + 1:04}"
            passages[f"{name}@{lang}"] = queries[f"{name}@{lang}"] = Text(f"{name}@{lang}", line, lang, "", name)
            qrels[f"{name}@{lang}"] = {
                f"s{other + 1:04}@{answering}": 1
                for answering in wanted
                if answering != lang
                for line_number in same[lang][line]
                for other in same[answering][lines[answering][line_number]]
            }
    collection = Collection(f"ntrex-{'-'.join(wanted[1:])}", passages, queries, qrels)
    pairs = [(lang, pair) for lang in wanted[1:] for pair in zip(lines["en"], lines[lang], strict=True)]
    return Prepared([], collection, translations=[Translation(*pair, lang) for lang, pair in pairs])


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no valid UTF-8; get it again.") from None
    lines = lines[:-1] if not lines[-1].strip() else lines
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"{path}, line {number} is empty; get it again.")
    return [line.strip() for line in lines]


def _same(lines: list[str]) -> dict[str, list[int]]:
    """The numbers of the lines that hold each text."""
    found: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        found[line].append(number)
    return found
