"""Which column of a user's file holds what: said by the user, or guessed from names and values, and always named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from clear_ir.data.english import english_share
from clear_ir.data.files import InputError
from clear_ir.data.languages import language_tag

_MOST_LETTERS = 50  # of a column's name in a sentence: in a file without a header it is a text

#: What a column can hold beside ids: English query, English passage, query in the target language, its language.
ROLES = ("query", "passage", "cross_query", "lang", "cross_passage")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUERY = _words("query queries question questions q anchor search user frage anfrage suchanfrage pregunta")
_CROSS = _words("cross lingual crosslingual translated translation target tgt foreign native local lang")
#: Words for a passage. Where columns have different ones, the first group that occurs has it.
_PASSAGE = (
    _words("passage passages positive positives pos paragraphs"),
    _words("context contexts paragraph document documents doc docs chunk kontext contexto contexte absatz"),
    _words("text content contents body"),
    _words("answer response antwort respuesta"),
)
_PASSAGE_WORDS = frozenset().union(*_PASSAGE, ("gold", "relevant"))
_LANG = _words("lang language locale langcode languagecode sprache idioma langue")
_LANG_WORDS = _LANG | _words("code target tgt query question cross tag iso")
_LANGUAGE_NAMES = {
    "english": "en", "german": "de", "deutsch": "de", "french": "fr", "spanish": "es", "italian": "it",
    "portuguese": "pt", "dutch": "nl", "russian": "ru", "arabic": "ar", "chinese": "zh", "japanese": "ja",
    "korean": "ko", "hindi": "hi", "bengali": "bn", "urdu": "ur", "tamil": "ta", "telugu": "te", "turkish": "tr",
    "vietnamese": "vi", "thai": "th", "indonesian": "id", "swahili": "sw", "hausa": "ha", "yoruba": "yo", "igbo": "ig",
    "zulu": "zu", "polish": "pl", "czech": "cs", "greek": "el", "persian": "fa", "ukrainian": "uk", "finnish": "fi",
}  # fmt: skip


#: Names of training rows and of the CLEAR authors' example file, where no column has our name.
ALIASES = {
    "anchor": "query", "positive": "passage", "cross_anchor": "cross_query",
    "en_question": "query", "paragraphs": "passage", "lang_question": "cross_query",
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Where the columns are.

    Args:
        names: Our names to those of the file, of the columns that were found.
        lang: The language that the name of the column of target-language queries says, such as `question_de`, if no
            column has it.
        note: A sentence that names the columns; empty if each has our name.
    """

    names: dict[str, str]
    lang: str | None
    note: str


@dataclass(frozen=True)
class _Column:
    """A column of the file, and what its name says."""

    name: str
    ours: str
    words: tuple[str, ...]
    lang: str | None
    values: Sequence[Any] = field(repr=False)

    @property
    def texts(self) -> list[str]:
        return [value for value in self.values if isinstance(value, str)]

    @property
    def is_text(self) -> bool:
        """Whether its values are texts of several words, and not ids, numbers or codes."""
        several = sum(not text.isascii() or " " in text.strip() for text in self.texts)
        return 2 * several >= max(1, len(self.values))

    @property
    def looks_english(self) -> bool:
        """Whether most of its values look English."""
        return english_share(self.texts) >= 0.5

    @property
    def says_query(self) -> bool:
        """Whether the words of the name say that it holds queries in some language; `de` alone does, too."""
        return set(self.words) <= _QUERY | _CROSS and bool(self.words or self.lang)

    @property
    def is_cross_query(self) -> bool:
        """Whether it seems to hold queries in the target language: `question_de`, `translation`."""
        marked = self.lang != "en" if self.lang else bool(_CROSS & set(self.words))
        return self.ours == "cross_query" or (not self.ours and self.says_query and marked and self.is_text)

    @property
    def is_query(self) -> bool:
        """Whether it seems to hold queries, in English as far as its name says."""
        return self.ours == "query" or (not self.ours and self.says_query and self.is_text and not self.is_cross_query)

    @property
    def passage_rank(self) -> int | None:
        """How well the name says that it holds passages, 0 the best; None if it does not."""
        if self.ours == "passage":
            return -1
        if self.lang not in (None, "en") or not self.words or not set(self.words) <= _PASSAGE_WORDS:
            return None
        if not (self.is_text or any(isinstance(value, list | dict) for value in self.values)):
            return None
        return next((rank for rank, words in enumerate(_PASSAGE) if words & set(self.words)), None)

    def is_translation_of(self, passage: _Column) -> bool:
        """Whether it seems to hold the passages of a column in the target language: `context_de` beside `context`."""
        marked = self.lang != "en" if self.lang else bool(_CROSS & set(self.words))
        return not self.ours and marked and self.is_text and set(self.words) - _CROSS == set(passage.words) - _CROSS

    @property
    def is_lang(self) -> bool:
        if self.ours == "lang":
            return True
        named = bool(_LANG & set(self.words)) and set(self.words) <= _LANG_WORDS
        return named and not self.is_text and all(len(text) <= 20 for text in self.texts)


def choose_columns(
    where: str,
    sample: Sequence[Mapping[str, Any]],
    mapping: Mapping[str, str],
    our_names: Mapping[str, str],
    needs_lang: bool = True,
) -> Columns:
    """Find the columns of a file.

    Args:
        where: The place of the first record, for errors.
        sample: The first records of the file.
        mapping: Our name of a column to the file's, as the user says it. What it says is not guessed.
        our_names: Name by role in `ROLES` and of what else may be there under our name, such as `id`.
        needs_lang: Whether to look for the language; otherwise it is known.

    Returns:
        The columns that were found.

    Raises:
        InputError: If a column that the user names does not exist, or several columns could be the one.
    """
    names = list(dict.fromkeys(name for record in sample for name in record))
    roles = {ours: role for role, ours in our_names.items()}
    roles |= {alias: role for alias, role in ALIASES.items() if our_names[role] not in names and alias not in roles}
    given = {roles.get(ours, ours): _find(where, theirs, names) for ours, theirs in mapping.items()}
    columns = [
        _describe(name, roles, [r[name] for r in sample if r.get(name) is not None])
        for name in names
        if name not in given.values()
    ]
    exact = {c.ours: c.name for c in columns if c.ours}
    if not needs_lang:
        exact.pop("lang", None)
        columns = [column for column in columns if not column.is_lang]
    guess = _Guess(where, columns, given, our_names)
    found = exact | {role: name for role, name in guess.roles().items() if name} | given
    lang = None
    if needs_lang and "lang" not in found and (cross := found.get("cross_query")):
        described = _describe(cross, roles, [])
        lang = described.lang if described.says_query else None
    note = ""
    if any(our_names[role] != name for role, name in found.items() if role in ROLES):
        said = [f"{our_names[role]} = {found[role]}" for role in ROLES if role in found]
        if lang:
            said.append(f"{our_names['lang']} = {lang}")
        note = f"Columns: {', '.join(said)}."
    return Columns({our_names.get(role, role): name for role, name in found.items()}, lang, note)


def _find(where: str, theirs: str, names: Sequence[str]) -> str:
    """The column that the user names; white space around a name and capitals do not matter."""
    if theirs in names:
        return theirs
    same = [name for name in names if name.casefold().split() == theirs.casefold().split()]
    if len(same) != 1:
        raise InputError(f"{no_column(where, theirs, names)}; map the column that holds it.", "mapping")
    return same[0]


def no_column(where: str, column: str, names: Iterable[str]) -> str:
    """The beginning of the sentence that says that a column is lacking."""
    shown = [str(name) if len(str(name)) <= _MOST_LETTERS else f"{str(name)[:_MOST_LETTERS]!r}..." for name in names]
    return f"{where}: no column {column!r} among {', '.join(shown) or 'none'}"


def _describe(name: str, roles: Mapping[str, str], values: Sequence[Any]) -> _Column:
    words, lang = _parse(name)
    ours = roles.get(name) or roles.get(name.strip().lower().replace(" ", "_").replace("-", "_"), "")
    return _Column(name, ours, words, lang, values)


@lru_cache(maxsize=256)
def _parse(name: str) -> tuple[tuple[str, ...], str | None]:
    """The words of a column's name in lower case, and the language that it ends or begins with."""
    words = re.findall(r"[^\W_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    # A script or a region follows a language: eng_Latn, zh-CN.
    if len(words) > 1 and len(words[-1]) in (2, 4) and (lang := _language("-".join(words[-2:]))):
        return tuple(words[:-2]), lang
    for at in (-1, 0):
        if words and (lang := _language(words[at])):
            return tuple(words[:-1] if at else words[1:]), lang
    return tuple(words), None


def _language(word: str) -> str | None:
    """The language that a part of a column's name stands for."""
    from langcodes import tag_is_valid

    if word in _LANGUAGE_NAMES:
        return _LANGUAGE_NAMES[word]
    code = word.partition("-")[0]
    if not re.fullmatch("[a-z]{2,3}", code) or not tag_is_valid(word):
        return None
    try:
        tag = language_tag(word, "")
    except InputError:
        return None
    # Many words of three letters are codes of small languages: pos, neg, doc.
    return tag if len(code) == 2 or len(tag.partition("-")[0]) == 2 else None


class _Guess:
    """The roles of the columns that the user did not name.

    Args:
        where: The place of the first record, for errors.
        columns: The columns to choose among.
        given: The columns that the user named, by role.
        our_names: Our name of each role, for errors.
    """

    def __init__(
        self, where: str, columns: list[_Column], given: Mapping[str, str], our_names: Mapping[str, str]
    ) -> None:
        self.where, self.columns, self.given, self.our_names = where, columns, given, our_names

    def roles(self) -> dict[str, str | None]:
        """The column of each role that the user did not name; None if there is none."""
        query, cross = self._queries()
        found = {"query": query, "cross_query": cross}
        if "passage" not in self.given:
            found["passage"] = self._passage([c for c in self.columns if c not in (query, cross)])
        if "lang" not in self.given:
            found["lang"] = self._only("lang", _exact([c for c in self.columns if c.is_lang], "lang"))
        if "cross_passage" not in self.given and not any(c.ours == "cross_passage" for c in self.columns):
            found["cross_passage"] = self._translation_of_passage(found)
        return {role: column.name if column else None for role, column in found.items() if role not in self.given}

    def _queries(self) -> tuple[_Column | None, _Column | None]:
        """The columns of English queries and of target-language queries."""
        crosses = [column for column in self.columns if column.is_cross_query]
        queries = [column for column in self.columns if column.is_query and column not in crosses]
        if not queries and len(crosses) > 1:  # AfriQA: question_lang, question_translated
            queries = [column for column in crosses if not column.ours and column.looks_english]
            crosses = [column for column in crosses if column not in queries]
        query = cross = None
        if "query" not in self.given:
            query = self._query(queries, has_cross=bool(crosses) or "cross_query" in self.given)
        if "cross_query" not in self.given:
            left = [column for column in queries if column is not query and not column.looks_english]
            cross = self._only("cross_query", _exact(crosses, "cross_query") or left)
        if query and cross and not (query.ours or query.lang or cross.ours or cross.lang):
            # A translated question may be the English one: the other was asked first.
            swapped = cross.looks_english and english_share(query.texts) < 0.2
            query, cross = (cross, query) if swapped else (query, cross)
        return query, cross

    def _query(self, queries: list[_Column], has_cross: bool) -> _Column | None:
        english = [column for column in queries if column.lang == "en"]
        if len(english) == 1 and not has_cross:
            return english[0]  # A column `query` beside `query_en` is that of the other language.
        queries = _exact(queries, "query")
        if len(queries) > 1 and english:
            queries = english
        if len(queries) > 1:
            queries = [column for column in queries if column.looks_english] or queries
        return self._only("query", queries)

    def _passage(self, columns: list[_Column]) -> _Column | None:
        ranks = [(rank, column) for column in columns if (rank := column.passage_rank) is not None]
        best = [column for rank, column in ranks if rank == min(rank for rank, _ in ranks)]
        return self._only("passage", [column for column in best if column.lang == "en"] or best)

    def _translation_of_passage(self, found: Mapping[str, _Column | None]) -> _Column | None:
        """The column of translated passages; None if there is none, or it is not clear which."""
        passage, cross = (
            _describe(self.given[role], {}, []) if role in self.given else found[role]
            for role in ("passage", "cross_query")
        )
        others = [column for column in self.columns if column not in found.values()]
        columns = [column for column in others if passage and column.is_translation_of(passage)]
        lang = cross.lang if cross else None
        if lang:
            columns = [column for column in columns if column.lang == lang] or [c for c in columns if not c.lang]
        return columns[0] if len(columns) == 1 else None

    def _only(self, role: str, columns: list[_Column]) -> _Column | None:
        """The column, if there is one.

        Raises:
            InputError: If there are several.
        """
        if len(columns) > 1:
            names = ", ".join(column.name for column in columns)
            raise InputError(
                f"{self.where}: {self.our_names[role]} may be any of the columns {names}; map the right one.", "mapping"
            )
        return columns[0] if columns else None


def _exact(columns: list[_Column], ours: str) -> list[_Column]:
    """The column that has our name, if there is one; else all."""
    return [column for column in columns if column.ours == ours] or columns
