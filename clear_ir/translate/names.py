"""Names in a text and in its translation.

Names of places and offices are translated, too, so that only losing all of many is a fault.
"""

from __future__ import annotations

import re
import unicodedata

from clear_ir.data.text_languages import share_in_script

_CAPITALIZED = re.compile(r"(?<![^\W_])[^\W\d_][\w’'-]{3,}")
#: Names such as COVID-19 or MH17, which no language changes.
_CODE = re.compile(r"(?<![\w-])[A-Z][A-Za-z]*-?\d+\w*")
_SENTENCE_END = re.compile(r"(?:^|[.?!:])\W*$")
#: Words with a capital that every language has its own words for.
_DAYS_AND_MONTHS = re.compile(
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|june|july|august|(?:sept|nov|dec)ember"
    r"|october",
    re.IGNORECASE,
)
_MIN_NAMES = 4  # of which at least one is kept by nearly all human translators
_BEGINNING = 3  # letters of a name that stay when it gets an ending or another spelling


def lost_name(source: str, translation: str) -> str | None:
    """What an English source names and its translation, in Latin script, does not.

    Args:
        source: The source.
        translation: Its translation.

    Returns:
        A name with a number in it, such as COVID-19, that is missing; or names that are missing all, if they are four
        or more. None if there are none, or the translation is in another script, which spells names in its own way.
    """
    if share_in_script(translation, "en") < 1:
        return None
    text = _folded(translation)
    bare = re.sub(r"\W", "", text)
    for code in _CODE.findall(source):
        if _folded(re.sub(r"\W", "", code)) not in bare:
            return str(code)
    names = list(dict.fromkeys(_names_in(source)))
    if len(names) < _MIN_NAMES or any(_folded(name)[:_BEGINNING] in text for name in names):
        return None
    return ", ".join(names)


def _names_in(source: str) -> list[str]:
    return [
        found[0]
        for found in _CAPITALIZED.finditer(source)
        if found[0][0].isupper()
        and not _DAYS_AND_MONTHS.fullmatch(found[0])
        and not _SENTENCE_END.search(source, 0, found.start())
    ]


def _folded(text: str) -> str:
    """The text without case and marks on letters."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
