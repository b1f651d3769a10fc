"""Languages: every code that stands for one is read as the same short BCP 47 tag."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from clear_ir.data.directions import ALL, parse_direction
from clear_ir.data.files import InputError

if TYPE_CHECKING:
    from langcodes import Language

#: What stands for a language that is not known.
UNKNOWN = "xx"

_DIRECTION = re.compile(r"\bq-([\w-]+)\.p-([\w+-]+)")
_ENGLISH = re.compile(r"(en|eng|english)([-_].*)?", re.IGNORECASE)

#: Words that look like codes and name no single language, with what they mean.
_RESERVED = {
    ALL: "all languages together",
    UNKNOWN: "an unknown language",
    "und": "an unknown language",
    "mul": "several languages",
    "zxx": "no language",
}

#: Languages of data sets that go by the two-letter code of a wider language, beyond those of CLDR.
_WIDER = {"fuv": "ff", "pbt": "ps", "ydd": "yi"}
#: Parts of a script that stand for the whole one.
_WHOLE_SCRIPT = {"Hang": "Kore", "Hira": "Jpan"}


def is_english(lang: str) -> bool:
    """Whether a language code means English: `en`, `eng`, `en-US`, `eng_Latn`, `English`."""
    return _ENGLISH.fullmatch(lang.strip()) is not None


def language_tag(code: str, where: str, *settings: str) -> str:
    """The BCP 47 tag of a language, in its shortest form.

    `de`, `deu`, `ger`, `DE`, `deu_Latn` and `de-DE` are all `de`. A script or region stays where it is not the usual
    one: `zh-Hant`, `ar-Latn`, `fr-CA`. Every form of English is `en`.

    Args:
        code: A code of ISO 639 or FLORES-200, or a BCP 47 tag.
        where: The place, to begin the error's sentence, such as file, line and column.
        settings: Settings that the error names.

    Returns:
        The tag.

    Raises:
        InputError: If it stands for no language, or for more than one.
    """
    code = code.strip()
    if is_english(code):
        return "en"
    if meaning := _RESERVED.get(code.lower()):
        raise InputError(f"{where} is {code!r}, which stands for {meaning}; give the code of one language.", *settings)
    tag = _shortest_tag(code)
    if tag is None:
        similar = similar_tag(code)
        advice = f"did you mean {similar}?" if similar else "give a BCP 47 tag, such as de or zh-Hant."
        raise InputError(f"{where} is {code!r}, which is no language code; {advice}", *settings)
    return tag


def similar_tag(code: str) -> str | None:
    """The tag that somebody may have meant who wrote no code.

    Args:
        code: A country, or a language's English name, perhaps misspelled, or a code with more than a code after it.

    Returns:
        The tag; None if nothing is similar.
    """
    from langcodes import Language
    from langcodes.registry_parser import parse_registry

    if parts := re.fullmatch(r"([^\W\d_]+)[-_.].*", code):
        return _shortest_tag(parts[1]) or (similar_tag(parts[1]) if len(parts[1]) > 3 else None)
    if not code.isalpha():
        return None
    if len(code) == 2 and (country := Language.make(territory=code.upper())).is_valid():
        return country.maximize().language
    name_of: dict[str, str] = {}
    for record in parse_registry():  # type: ignore[no-untyped-call]
        if record["Type"] == "language" and "Deprecated" not in record:
            for name in record["Description"]:
                name_of.setdefault(name.lower(), record["Subtag"])  # Languages with two letters come first.
    matches = difflib.get_close_matches(code.lower(), name_of, n=1, cutoff=0.85)
    return _shortest_tag(name_of[matches[0]]) if matches else None


@lru_cache(maxsize=1024)  # the registry of all languages is read for it
def english_name(tag: str) -> str:
    """The English name of a language, with script and region if the tag has them: `Serbian, Latin`.

    Args:
        tag: Its BCP 47 tag.

    Returns:
        The name; the tag itself if it has none, or is no tag.
    """
    from langcodes import Language
    from langcodes.registry_parser import parse_registry

    if tag == UNKNOWN:
        return "language not given"
    try:
        language = Language.get(tag)
    except ValueError:
        return tag
    wanted = {"language": language.language, "script": language.script, "region": language.territory}
    names = {
        record["Type"]: record["Description"][0]
        for record in parse_registry()  # type: ignore[no-untyped-call]
        if record["Type"] in wanted and record.get("Subtag") == wanted[record["Type"]]
    }
    name = re.sub(r" \(.*?\)", "", names.pop("language", tag))  # Modern Greek (1453-)
    return ", ".join([name, *(names[part] for part in ("script", "region") if part in names)])


def describe_direction(name: str) -> str:
    """A direction in words: `German questions, English passages`.

    Args:
        name: Such as `q-de.p-en`; the pool may hold several languages.
    """
    direction = parse_direction(name)
    pool = direction.passage_lang
    passages = (
        "passages in all languages" if pool == ALL else f"{' and '.join(map(english_name, pool.split('+')))} passages"
    )
    return f"{english_name(direction.query_lang)} questions, {passages}"


def name_directions(text: str) -> str:
    """Directions by the names of their languages, for people.

    Args:
        text: Has names of directions in it, such as `worst direction (q-de.p-en+sw)`.

    Returns:
        The text with the languages of questions and passages: `worst direction (German → English + Swahili)`.
    """

    def named(found: re.Match[str]) -> str:
        query, passages = found.groups()
        names = ["all languages"] if passages == ALL else map(english_name, passages.split("+"))
        return f"{english_name(query)} → {' + '.join(names)}"

    return _DIRECTION.sub(named, text)


@lru_cache(maxsize=1024)  # a file has few languages and many rows
def _shortest_tag(code: str) -> str | None:
    """The shortest tag of a code; None if it is no code."""
    from langcodes import Language, tag_parser

    try:
        language = Language.get(code)
    except tag_parser.LanguageTagError:
        return None
    # A third part of three letters, as in ger_DEU, is taken for a second language, not for a country.
    if not language.language or language.extlangs or not language.is_valid():
        return None
    # ISO 639-3 splits some languages that have two letters: arb is ar, swh is sw. Twi (tw) is left as it is.
    wider = language.prefer_macrolanguage()
    if len(language.language) > 2 and wider.language and len(wider.language) == 2:
        language = wider
    if language.language in _WIDER:
        language = language.update_dict({"language": _WIDER[language.language]})
    return _without_usual(language).to_tag()


def _without_usual(language: Language) -> Language:
    """The language without a script or region that goes without saying."""
    from langcodes import Language
    from langcodes.data_dicts import LIKELY_SUBTAGS

    name = language.language
    if name not in LIKELY_SUBTAGS:  # Its usual script is not known; such a language has one.
        return language.update_dict({"script": None})
    script, region = language.maximize().script, language.territory
    if script in _WHOLE_SCRIPT:
        script = _WHOLE_SCRIPT[script]
    if region == Language.make(name, script=script).maximize().territory:
        region = None
    if script == Language.make(name, territory=region).maximize().script:
        script = None
    return language.update_dict({"script": script, "territory": region})
