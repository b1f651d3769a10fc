"""What can be said of a translation without a reference: is it one at all, in the right language, and with its numbers?

Each check looks for a fault that translators really make. The thresholds are set so that the checks rarely reject what
a human translated; docs/translate.md says how rarely, on which data.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from clear_ir.data.english import looks_english
from clear_ir.data.text_languages import WITH_ENGLISH_WORDS, likelier_language, share_in_script
from clear_ir.translate.names import lost_name
from clear_ir.translate.numbers import lost_number, new_number


class Finding(NamedTuple):
    """Why a translation was rejected.

    Attributes:
        check: Name of the check, such as `wrong script`.
        detail: What it saw in this translation; empty if there is nothing to add.
    """

    check: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}" if self.detail else self.check


@dataclass(frozen=True)
class Check:
    """A fault that a translation may have.

    Args:
        name: How the fault is called in counts and files.
        meaning: Half a sentence: a translation is rejected if ...
        find: Takes source, translation and the target's BCP 47 tag. Gives a detail if the fault is there, else None.
        of_language: Whether it asks for the target language; texts that mix languages by design skip it.
    """

    name: str
    meaning: str
    find: Callable[[str, str, str], str | None]
    of_language: bool = False


_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_FIRST_WORD = re.compile(r"\W*\w+\W+")
#: A word with a capital or a digit, and further ones, as in The Lord of the Rings.
_CAPITAL = r"(?<!\w)(?=\w*[A-Z\d])\w[\w’'-]*"
_NAME = re.compile(rf"{_CAPITAL}(?:\s+(?:(?:of|the|and|in|on|for|to|a|an|at|with|from)\s+)*{_CAPITAL})*")
#: Share of the letters, without those of names that were kept, that have to be in a script of the language.
_MIN_IN_SCRIPT = 0.3
#: By how much the detector has to prefer another language: a difference of logarithms of probabilities.
_MIN_MARGIN = 20.0
_MIN_DETECTED = 24  # characters
#: Length of the translation divided by that of the source, in characters.
_LENGTHS, _LENGTHS_WITHOUT_ALPHABET = (0.5, 2.5), (0.2, 1.0)
_LENGTH_SLACK = 6  # characters, more or fewer: in short texts a word more is a large share
_WITHOUT_ALPHABET = frozenset({"zh", "ja", "yue", "wuu"})
#: Something four times in a row; or of ten characters, twice, as the whole text.
_LOOP = re.compile(r"(.{2,60}?)\1{3,}")
_TWICE = re.compile(r"(.{10,}?) ?\1")
_SHORTEST_LOOP = 8  # characters


def judge(source: str, translation: str, lang: str, mixed: bool = False) -> Finding | None:
    """The first fault that is found in a translation.

    Args:
        source: The English text.
        translation: Its translation.
        lang: BCP 47 tag of the target language.
        mixed: Whether the text mixes English and the target language by design, as code-switching does.

    Returns:
        The finding; None if there is none.
    """
    for check in CHECKS:
        if mixed and check.of_language:
            continue
        detail = check.find(source, translation, lang)
        if detail is not None:
            return Finding(check.name, detail)
    return None


def find_faults(translations: Mapping[str, str], lang: str, mixed: bool = False) -> dict[str, str]:
    """Judge many translations.

    Args:
        translations: The translations by their English texts.
        lang: BCP 47 tag of the target language.
        mixed: See `judge`.

    Returns:
        What was found, by text, of those with a fault: the name of the check, and after a colon what it saw.
    """
    findings = ((source, judge(source, translation, lang, mixed)) for source, translation in translations.items())
    return {source: str(finding) for source, finding in findings if finding}


def _empty(source: str, translation: str, lang: str) -> str | None:
    return None if re.search(r"[^\W_]", translation) or not re.search(r"[^\W_]", source) else ""


def _same(source: str, translation: str, lang: str) -> str | None:
    """Names, numbers and single words may be the same in both languages."""
    words = _WORD.findall(source)
    if len(words) < 2 or _lowered(words) != _lowered(_WORD.findall(translation)):
        return None
    return "" if words[1:] != [word for word in words[1:] if word[0].isupper()] else None


def _script(source: str, translation: str, lang: str) -> str | None:
    share = share_in_script(_without_names(source, translation), lang)
    return f"{share:.0%} of its letters are in a script of {lang}" if share < _MIN_IN_SCRIPT else None


def _language(source: str, translation: str, lang: str) -> str | None:
    if lang.partition("-")[0] in WITH_ENGLISH_WORDS:
        return None
    text = _without_names(source, translation)
    if looks_english(text):
        return "looks English"
    if len(text) < _MIN_DETECTED:
        return None
    likelier = likelier_language(lang, text)
    return f"looks like {likelier[0]}" if likelier and likelier[1] > _MIN_MARGIN else None


def _length(source: str, translation: str, lang: str) -> str | None:
    least, most = _LENGTHS_WITHOUT_ALPHABET if lang.partition("-")[0] in _WITHOUT_ALPHABET else _LENGTHS
    if least * len(source) - _LENGTH_SLACK <= len(translation) <= most * len(source) + _LENGTH_SLACK:
        return None
    return f"{len(translation)} characters for {len(source)}"


def _repeated(source: str, translation: str, lang: str) -> str | None:
    loop = _loop(translation)
    return f"{loop[:30]!r} again and again" if loop and not _loop(source) else None


def _loop(text: str) -> str | None:
    bare = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in text)
    bare = " ".join(bare.casefold().split())
    for match in _LOOP.finditer(f"{bare} "):
        if len(match[0]) >= _SHORTEST_LOOP and any(map(str.isalpha, match[1])):
            return match[1].strip()
    twice = _TWICE.fullmatch(bare)
    return twice[1] if twice else None


def _lost(source: str, translation: str, lang: str) -> str | None:
    lost = lost_number(source, translation)
    return f"{lost} is missing" if lost else None


def _new(source: str, translation: str, lang: str) -> str | None:
    new = new_number(source, translation)
    return f"{new} is not in the source" if new else None


def _name(source: str, translation: str, lang: str) -> str | None:
    lost = lost_name(source, translation)
    return f"{lost} missing" if lost else None


def _lowered(words: list[str]) -> list[str]:
    return [word.casefold() for word in words]


def _without_names(source: str, translation: str) -> str:
    """The translation without names and titles that it took over from the source."""
    begin = _FIRST_WORD.match(source)  # has a capital anyway
    names = {found[0] for found in _NAME.finditer(source, begin.end() if begin else 0)}
    if names:
        # Longest first, as one may begin with another. No Latin letter may follow: Chinese has no space after a name.
        either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        translation = re.sub(rf"(?<![a-z])(?:{either})(?![a-z])", " ", translation, flags=re.IGNORECASE)
    return " ".join(translation.split())


#: The checks in their order. The first that finds something names the reason.
CHECKS: list[Check] = [
    Check("empty", "it has no letter and no digit", _empty),
    Check("same as the source", "it is the source, and that is more than a name or a word", _same),
    Check("wrong script", "less than 30 % of its letters, names aside, are in a script of the language", _script, True),
    Check(
        "wrong language", "it looks English, or the detector of the extra `check` is sure of another", _language, True
    ),
    Check("length", "it is far too short or far too long for its source", _length),
    Check("repetition", "it says the same again and again", _repeated),
    Check("lost name", "in Latin script: a name with digits is missing, or all of four names or more", _name),
    Check("lost number", "a number of the source is missing", _lost),
    Check("new number", "it has a number, and the source has none", _new),
]
