"""The data check: what every preparation says of its texts, so that faults show before anything is trained on them.

Nothing is changed or left out. A finding names the first texts that have the fault, with their places.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from clear_ir.data.collection import Collection
from clear_ir.data.english import looks_english
from clear_ir.data.files import InputError
from clear_ir.data.languages import is_english
from clear_ir.data.text_languages import WITH_ENGLISH_WORDS, is_in_script, other_language
from clear_ir.data.texts import text_key
from clear_ir.prepare.prepared import Prepared

QUERY, CROSS_QUERY, PASSAGE = "English queries", "cross queries", "passages"
_MOST_EXAMPLES = 3
_MOST_LETTERS = 40  # of an example
_MIN_WORDS = 4  # of a query that must look English
_MIN_QUERIES = 10  # to say what most of them look like

_NULLS = "n/a na nan null none nil undefined <na> n.a. #n/a #ref! #value! tbd todo - -- — ? ."
_NULL_LIKE = frozenset(_NULLS.split())
_TAG = re.compile(
    r"</?(?:p|br|div|span|a|b|i|u|em|strong|li|ul|ol|table|tr|td|th|h[1-6]|img|sup|sub|code|pre|script|style|font|ref)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&#?\w+;")
_MAYBE_GARBLED = re.compile(r"[ÂÃâÐÑà][^\x00-\x7f]+")
_LIST = re.compile(r"""\s*[\[{]\s*['"].*['"]\s*[\]}]\s*""", re.DOTALL)


@dataclass(frozen=True)
class CheckedText:
    """A text with all that the check needs to know of it.

    Args:
        where: Its place: file and line.
        kind: What it is: `QUERY`, `CROSS_QUERY` or `PASSAGE`.
        lang: The language that it is said to be in.
        text: The text.
        english: The English text that it translates; empty if it is not known.
    """

    where: str
    kind: str
    lang: str
    text: str
    english: str = ""


@dataclass
class Finding:
    """A fault and where it is.

    Args:
        what: The fault, as it follows the number of texts that have it: `cross queries look English`.
        total: How many texts were looked at.
        places: Where the texts with the fault are, each with its beginning.
    """

    what: str
    total: int
    places: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """The finding for people, with a few examples."""
        shown = "; ".join(self.places[:_MOST_EXAMPLES])
        more = len(self.places) - _MOST_EXAMPLES
        return f"{len(self.places)} of {self.total} {self.what}: {shown}" + (f"; and {more} more" if more > 0 else "")

    def as_json(self) -> dict[str, Any]:
        """The finding for programs."""
        examples = self.places[:_MOST_EXAMPLES]
        return {"what": self.what, "count": len(self.places), "total": self.total, "examples": examples}


@dataclass
class DataCheck:
    """What the check says.

    Args:
        lengths: By kind of text: how many there are, and the median and the 95th percentile of their characters.
        findings: The faults that were found.
    """

    lengths: dict[str, dict[str, int]]
    findings: list[Finding]

    def lines(self) -> list[str]:
        """The check for people: one line, and one more for each finding."""
        sizes = [
            f"{size['count']:,} {kind} ({size['median']:,}; {size['p95']:,})" for kind, size in self.lengths.items()
        ]
        found = "" if self.findings else " Nothing was found."
        return [
            f"Data check: {', '.join(sizes)}; in brackets the median and the 95th percentile of characters.{found}",
            *(f"  {finding.sentence}" for finding in self.findings),
        ]

    def raise_first(self) -> None:
        """Make the first finding an error.

        Raises:
            InputError: If there is any.
        """
        for finding in self.findings:
            raise InputError(f"The data check found {len(self.findings)} faults. {finding.sentence}.", "strict")

    def as_json(self) -> dict[str, Any]:
        """The check for programs."""
        return {"lengths": self.lengths, "findings": [finding.as_json() for finding in self.findings]}


def check_data(prepared: Prepared) -> DataCheck:
    """Check rows and collections.

    Args:
        prepared: What a loader returned.

    Returns:
        Lengths and findings.
    """
    texts = list(_texts_of(prepared))
    by_kind: dict[str, list[CheckedText]] = defaultdict(list)
    for text in texts:
        by_kind[text.kind].append(text)
    findings = [
        _find(f"{kind} {what}", of_kind, fault_in)
        for kinds, what, fault_in in _FAULTS
        for kind, of_kind in by_kind.items()
        if kind in kinds
    ]
    findings.append(_find_repeated(by_kind[PASSAGE], "passages repeat another one", lambda text: text.lang))
    findings += [_repeated_rows(prepared), *_not_english(by_kind[QUERY]), *_other_languages(by_kind[CROSS_QUERY])]
    lengths = {kind: _lengths(of_kind) for kind, of_kind in by_kind.items() if of_kind}
    return DataCheck(lengths, [finding for finding in findings if finding.places])


def _texts_of(prepared: Prepared) -> Iterator[CheckedText]:
    """Every text once. Queries count as often as rows ask them."""
    rows = prepared.source_rows or prepared.rows
    passages: set[tuple[str, str]] = set()
    for number, row in enumerate(rows, start=1):
        where = prepared.places.get(row.id, f"rows.jsonl, line {number}")
        yield CheckedText(where, QUERY, "en", row.query)
        yield CheckedText(where, CROSS_QUERY, row.lang, row.cross_query, row.query)
        if (row.passage_id, "en") not in passages:
            passages.add((row.passage_id, "en"))
            yield CheckedText(where, PASSAGE, "en", row.passage)
        # The collections of data sets have the translations of theirs.
        if prepared.source_rows and row.cross_passage and (row.passage_id, row.lang) not in passages:
            passages.add((row.passage_id, row.lang))
            yield CheckedText(where, PASSAGE, row.lang, row.cross_passage, row.passage)
    # What is held out of the user's rows has been seen.
    for place, collection in {} if prepared.source_rows else prepared.collections.items():
        yield from _texts_of_collection(place, collection, passages)


def _texts_of_collection(place: str, collection: Collection, passages: set[tuple[str, str]]) -> Iterator[CheckedText]:
    english = {query.parallel_id: query.text for query in collection.queries.values() if is_english(query.lang)}
    for number, query in enumerate(collection.queries.values(), start=1):
        where = f"{place}/queries.jsonl, line {number}"
        if is_english(query.lang):
            yield CheckedText(where, QUERY, query.lang, query.text)
        else:
            yield CheckedText(where, CROSS_QUERY, query.lang, query.text, english.get(query.parallel_id, ""))
    for number, passage in enumerate(collection.passages.values(), start=1):
        if (passage.id, passage.lang) not in passages:
            passages.add((passage.id, passage.lang))
            yield CheckedText(f"{place}/corpus.jsonl, line {number}", PASSAGE, passage.lang, passage.full_text)


def _lengths(texts: Sequence[CheckedText]) -> dict[str, int]:
    lengths = [len(text.text) for text in texts]
    p95 = quantiles(lengths, n=20, method="inclusive")[-1] if len(lengths) > 1 else lengths[0]
    return {"count": len(lengths), "median": round(median(lengths)), "p95": round(p95)}


def _find(what: str, texts: Sequence[CheckedText], fault_in: Callable[[CheckedText], str | None]) -> Finding:
    faults = ((text, fault_in(text)) for text in texts)
    return Finding(what, len(texts), [_place(text, fault) for text, fault in faults if fault])


def _place(text: CheckedText, shown: str | None = None) -> str:
    words = " ".join((shown or text.text).split())
    return f"{text.where} ({words[:_MOST_LETTERS]!r}{'...' if len(words) > _MOST_LETTERS else ''})"


def _normalized(text: str) -> str:
    return text_key(unicodedata.normalize("NFKC", text)).casefold()


def _find_repeated(texts: Sequence[CheckedText], what: str, key: Callable[[CheckedText], str]) -> Finding:
    seen: set[tuple[str, str]] = set()
    finding = Finding(what, len(texts))
    for text in texts:
        identity = (key(text), _normalized(text.text))
        if identity in seen:
            finding.places.append(_place(text))
        seen.add(identity)
    return finding


def _repeated_rows(prepared: Prepared) -> Finding:
    """Rows that repeat another one in all their texts."""
    texts = [
        CheckedText(
            prepared.places.get(row.id, f"rows.jsonl, line {number}"),
            "rows",
            row.lang,
            row.cross_query,
            "\n".join(map(_normalized, (row.query, row.passage))),
        )
        for number, row in enumerate(prepared.source_rows or prepared.rows, start=1)
    ]
    return _find_repeated(texts, "rows repeat another one", lambda text: f"{text.lang}\n{text.english}")


def _not_english(queries: Sequence[CheckedText]) -> Iterator[Finding]:
    """English queries most of which do not look English: the columns may be swapped."""
    long = [query for query in queries if len(query.text.split()) >= _MIN_WORDS]
    strange = [query for query in long if not looks_english(query.text)]
    if len(long) >= _MIN_QUERIES and len(strange) > 0.7 * len(long):
        yield Finding("English queries do not look English", len(long), [_place(query) for query in strange])


def _other_languages(queries: Sequence[CheckedText]) -> Iterator[Finding]:
    """Languages many of whose queries look like another one."""
    by_lang: dict[str, list[CheckedText]] = defaultdict(list)
    for query in queries:
        by_lang[query.lang].append(query)
    for lang, of_lang in by_lang.items():
        if found := other_language(lang, [query.text for query in of_lang]):
            other, places = found
            what = f"cross queries are said to be {lang}, but look like {other}"
            yield Finding(what, len(of_lang), [_place(of_lang[place]) for place in places])


def _untranslated(text: CheckedText) -> str | None:
    return text.text if text.english and _normalized(text.text) == _normalized(text.english) else None


def _english(text: CheckedText) -> str | None:
    if text.lang.partition("-")[0] in WITH_ENGLISH_WORDS or _untranslated(text):
        return None
    return text.text if looks_english(text.text) else None


def _null_like(text: CheckedText) -> str | None:
    return text.text if len(text.text) < 12 and text.text.strip().lower() in _NULL_LIKE else None


def _markup(text: CheckedText) -> str | None:
    """The first HTML tag or entity."""
    if "<" in text.text and (tag := _TAG.search(text.text)):
        return tag[0]
    entities = _ENTITY.findall(text.text) if "&" in text.text else []
    return next((entity for entity in entities if html.unescape(entity) != entity), None)


def _garbled(text: CheckedText) -> str | None:
    """The first letters that were decoded in a wrong encoding on their way here."""
    if "\ufffd" in text.text:
        return "\ufffd"
    for found in _MAYBE_GARBLED.findall(text.text):
        try:
            found.encode("cp1252").decode("utf-8")
        except UnicodeError:
            continue
        return str(found)
    return None


def _written_list(text: CheckedText) -> str | None:
    return text.text if _LIST.fullmatch(text.text) else None


def _other_script(text: CheckedText) -> str | None:
    return None if is_in_script(text.text, text.lang) else text.text


_ALL = (QUERY, CROSS_QUERY, PASSAGE)

#: Kinds of texts that can have a fault, its name, and what shows it in a text; None if the text does not have it.
_FAULTS: tuple[tuple[tuple[str, ...], str, Callable[[CheckedText], str | None]], ...] = (
    ((CROSS_QUERY,), "equal the English query", _untranslated),
    ((PASSAGE,), "equal the English passage", _untranslated),
    ((CROSS_QUERY,), "look English", _english),
    (_ALL, "look like a missing value", _null_like),
    (_ALL, "have HTML in them", _markup),
    (_ALL, "have garbled letters, as from a wrong encoding", _garbled),
    (_ALL, "look like a list or an object written as text", _written_list),
    (_ALL, "are not in the script of their language", _other_script),
)
