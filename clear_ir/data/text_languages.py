"""Whether a text is in the language that it is said to be in: by its script, and by a detector if one is installed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from clear_ir.data.english import looks_english


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Languages whose words are partly English: creoles and pidgins, and Scots.
WITH_ENGLISH_WORDS = _codes("en pcm jam tpi bi kri srm sco gul wes")

_MOST_LETTERS = 100  # of a text, to find its script
_MIN_LETTERS = 4
_MIN_SHARE = 0.1  # of the letters; names and quotations are often in another script, and longer in Latin than Chinese

#: How Unicode names the letters of scripts, where that is not the name of the script.
_LETTERS_OF = {
    "Hans": ("CJK",), "Hant": ("CJK",), "Jpan": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"),
    "Kore": ("HANGUL", "CJK"), "Latn": ("LATIN",), "Cyrl": ("CYRILLIC",), "Arab": ("ARABIC",),
    "Deva": ("DEVANAGARI",), "Beng": ("BENGALI",), "Hebr": ("HEBREW",), "Grek": ("GREEK",), "Thai": ("THAI",),
    "Taml": ("TAMIL",), "Telu": ("TELUGU",), "Ethi": ("ETHIOPIC",), "Geor": ("GEORGIAN",), "Armn": ("ARMENIAN",),
    "Gujr": ("GUJARATI",), "Guru": ("GURMUKHI",), "Knda": ("KANNADA",), "Mlym": ("MALAYALAM",), "Orya": ("ORIYA",),
    "Sinh": ("SINHALA",), "Mymr": ("MYANMAR",), "Khmr": ("KHMER",), "Laoo": ("LAO",), "Tibt": ("TIBETAN",),
}  # fmt: skip
#: Languages that are written in several scripts.
_SEVERAL = _codes("az bm bs ff ha kk kr ks ku ky mn ms pa sd sh sr tg tk tt ug uz wo yue zgh")

#: Languages that detectors take for one another, and codes for one language.
_ALIKE = (
    "no nb nn da", "hr sr bs sh sl", "id ms jv su min", "cs sk", "zu xh ss nr nd st tn nso ts", "es gl pt ca ast an oc",
    "af nl", "bg mk", "ru uk be", "hi mr ne", "fa prs tg ps ur", "sw rw rn ln", "de lb nds", "fi et", "zh yue wuu ja",
    "ar arz ary apc ajp acm ars", "fr oc wa ht", "it co la", "qu ay", "am ti", "az tr tk", "bn as", "ky kk tt",
)  # fmt: skip
_MIN_CHUNK = 200  # characters that are detected at once: a single question tells too little
_MIN_CHUNKS = 3
_MIN_SHARE_OF_CHUNKS = 0.2
_MOST_TEXTS = 400


def is_in_script(text: str, lang: str) -> bool:
    """Whether a text is written in a script of its language.

    Args:
        text: The text.
        lang: Its BCP 47 tag.

    Returns:
        False if hardly any of its letters are. True if it has few letters, or the script of the language is not known.
    """
    return share_in_script(text, lang) >= _MIN_SHARE


def share_in_script(text: str, lang: str) -> float:
    """The share of a text's first letters that are in a script of its language.

    Args:
        text: The text.
        lang: Its BCP 47 tag.

    Returns:
        The share, from 0 to 1. 1 if the text has few letters, or the script of the language is not known.
    """
    expected = _letters_of(lang)
    if not expected:
        return 1.0
    letters = [char for char in text[: 2 * _MOST_LETTERS] if char.isalpha()][:_MOST_LETTERS]
    if len(letters) < _MIN_LETTERS:
        return 1.0
    return sum(_script(letter) in expected for letter in letters) / len(letters)


@lru_cache(maxsize=1024)
def _letters_of(lang: str) -> tuple[str, ...]:
    from langcodes import Language
    from langcodes.tag_parser import LanguageTagError

    try:
        language = Language.get(lang)
    except LanguageTagError:
        return ()
    if language.language in _SEVERAL and not language.script:
        return ()
    return _LETTERS_OF.get(language.maximize().script or "", ())


@lru_cache(maxsize=65536)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def other_language(lang: str, texts: Sequence[str]) -> tuple[str, list[int]] | None:
    """The language that many of the texts look like, if it is another than they are said to be in.

    Args:
        lang: The BCP 47 tag of the language that they are said to be in.
        texts: Texts of one language, those that belong together next to each other.

    Returns:
        The code of the other language, and the places in `texts` of those that look like it, among at most 400. None
        if they look right, are few, or nothing can be said: without the extra `check` nothing is installed that can,
        and its detector knows about a hundred languages.
    """
    alike = _alike(lang)
    if not alike:
        return None
    from py3langid import classify

    chunks = _chunks(lang, texts)
    places: dict[str, list[list[int]]] = {}
    for chunk in chunks:
        detected = str(classify(" ".join(texts[i] for i in chunk))[0])
        if detected not in alike:
            places.setdefault(detected, []).append(chunk)
    if not places:
        return None
    other, found = max(places.items(), key=lambda item: len(item[1]))
    if len(found) < max(_MIN_CHUNKS, _MIN_SHARE_OF_CHUNKS * len(chunks)):
        return None
    return other, [i for chunk in found for i in chunk]


def likelier_language(lang: str, text: str) -> tuple[str, float] | None:
    """The language that one text looks like most, if it is another than it is said to be in.

    Args:
        lang: The BCP 47 tag of the language that it is said to be in.
        text: The text.

    Returns:
        The code of the other language, and by how much the detector prefers it: a difference of log-likelihoods. None
        if the text looks right, or nothing can be said, as in `other_language`.
    """
    alike = _alike(lang)
    if not alike:
        return None
    from py3langid import rank

    ranked = [(str(code), float(score)) for code, score in rank(text)]
    other, best = ranked[0]
    right = max(score for code, score in ranked if code in alike)
    return (other, best - right) if best > right else None


@lru_cache(maxsize=256)
def _alike(lang: str) -> frozenset[str]:
    """The codes that the detector may take for one language; none if it is not installed or does not know it."""
    try:
        from py3langid import rank
    except ImportError:
        return frozenset()
    code = lang.partition("-")[0]
    if code in WITH_ENGLISH_WORDS or code not in {known for known, _ in rank("")}:
        return frozenset()
    return frozenset({code}).union(*(codes for codes in map(_codes, _ALIKE) if code in codes))


def _chunks(lang: str, texts: Sequence[str]) -> list[list[int]]:
    """Places of texts that follow each other, as many together as can be detected."""
    chunks: list[list[int]] = []
    chunk: list[int] = []
    for i, text in list(enumerate(texts))[:: 1 + len(texts) // _MOST_TEXTS]:
        # These are findings of their own.
        if looks_english(text) or not is_in_script(text, lang):
            continue
        chunk.append(i)
        if sum(len(texts[j]) for j in chunk) >= _MIN_CHUNK:
            chunks.append(chunk)
            chunk = []
    return chunks
