"""Bilingual word lists: the translations of English words and phrases.

Read are TSV (a word, a tab, its translation; one translation a line), and the lists of FreeDict, as dictd has them
(`.index` beside `.dict.dz`, in Debian's packages `dict-freedict-eng-*`) or in TEI (`.tei`, from freedict.org).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from clear_ir.data.files import InputError, check_exists, not_utf8, open_bytes, reason_of

#: English phrases in lower case, and their translations in the order of the list.
WordList = dict[str, list[str]]

#: The digits with which dictd writes places and lengths.
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DICT_NAMES = (".dict.dz", ".dict")
#: Lines of an entry that are no translations: examples, and what they call synonyms, see and note.
_NO_TRANSLATION = re.compile(r'\s*(?:"|Synonyms?:|see:|Note:)')
#: What stands around a translation: the number of a sense, pronunciation, grammar, fields of knowledge, remarks.
_AROUND = re.compile(r"^\s*\d+\.\s|(?<!\S)/[^/]+/(?!\S)|<[^>]*>|\[[^\]]*\]|\([^)]*\)|\{[^}]*\}")
_TEI = "{http://www.tei-c.org/ns/1.0}"


def read_word_list(path: Path) -> WordList:
    """Read a word list.

    Args:
        path: The file. For dictd either of its two files.

    Returns:
        The translations by phrase.

    Raises:
        InputError: If the file is missing, damaged, no word list, or empty.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".index", *_DICT_NAMES)):
        pairs = _read_dictd(path)
    elif name.endswith((".tei", ".xml")):
        pairs = _read_tei(path)
    else:
        pairs = _read_tsv(path)
    words: WordList = {}
    for phrase, translation in pairs:
        key, text = phrase_key(phrase), " ".join(translation.split())
        if key and text and text not in words.setdefault(key, []):
            words[key].append(text)
    words = {key: texts for key, texts in words.items() if texts}
    if not words:
        raise InputError(f"{path} holds no words with translations; give another word list.", "model")
    return words


def phrase_key(phrase: str) -> str:
    """What is equal for one phrase in other letters: in lower case, each run of other characters as one space."""
    return " ".join(re.findall(r"\w+", phrase.replace("’", "'").replace("'", "").lower()))


def _read_tsv(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        columns = line.rstrip("\r").split("\t")
        if len(columns) != 2 or not all(column.strip() for column in columns):
            raise InputError(
                f"{path}, line {number}: expected a word, one tab and its translation; write one translation a line.",
                "model",
            )
        yield columns[0], columns[1]


def _read_dictd(path: Path) -> Iterator[tuple[str, str]]:
    """The entries in the order of the index. Lines that begin with 00database describe the list."""
    stem = next(path.name[: -len(end)] for end in (".index", *_DICT_NAMES) if path.name.lower().endswith(end))
    index = path.with_name(f"{stem}.index")
    files = [path.with_name(stem + end) for end in _DICT_NAMES]
    content = next((file for file in files if file.exists()), files[0])
    for file in (index, content):
        check_exists(file)
    with open_bytes(content) as opened:
        data = opened.read()
    for number, line in enumerate(_text(index).splitlines(), start=1):
        where = f"{index}, line {number}"
        try:
            phrase, begin, length, *_ = line.split("\t")
            place, end = _number(begin), _number(begin) + _number(length)
        except ValueError:
            raise InputError(f"{where}: not an index of dictd; get the word list again.", "model") from None
        if end > len(data):
            raise InputError(f"{where}: {content} ends before this entry; get the word list again.", "model")
        if not phrase.startswith("00database"):
            yield from _entry(data[place:end].decode("utf-8", "replace"))


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = 64 * number + _DIGITS.index(digit)
    return number


def _entry(entry: str) -> Iterator[tuple[str, str]]:
    """The headword, before its pronunciation and grammar, and the translations on the lines after it."""
    head, *lines = entry.strip("\n").split("\n")
    phrase = re.split(r"\s+[/<(]", head)[0]
    is_pattern = re.search(r"…|\.\.\.", phrase)  # "the … the" is not what "the the" means
    for line in lines:
        if not is_pattern and not _NO_TRANSLATION.match(line):
            yield from ((phrase, text) for text in _split(_AROUND.sub(" ", line)))


def _split(line: str) -> Iterable[str]:
    """Translations between commas. A `~` stands for a space; of the forms welche/r/s the first is taken."""
    texts = (text.replace("~", " ").strip(" ?!.…") for text in re.split(r"[,;]", line))
    return (re.sub(r"(?<=\w)/\w+", "", text) for text in texts)


def _read_tei(path: Path) -> Iterator[tuple[str, str]]:
    from xml.etree import ElementTree

    check_exists(path)
    try:
        with open_bytes(path) as opened:
            for _, entry in ElementTree.iterparse(opened):
                if entry.tag != f"{_TEI}entry":
                    continue
                for quote in entry.iterfind(f".//{_TEI}sense//{_TEI}cit[@type='trans']/{_TEI}quote"):
                    for orth in entry.iterfind(f"{_TEI}form/{_TEI}orth"):
                        yield orth.text or "", quote.text or ""
                entry.clear()
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is not valid XML: {reason_of(error)}; get the word list again.", "model") from None


def _text(path: Path) -> str:
    check_exists(path)
    with open_bytes(path) as opened:
        data = opened.read()
    try:
        return str(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), error) from None
