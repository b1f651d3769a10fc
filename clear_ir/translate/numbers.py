"""Numbers in a text and in its translation, whatever digits and separators write them."""

from __future__ import annotations

import re

#: Digits, with separators of thousands and decimals. After a space three digits have to follow.
_NUMBER = re.compile(r"\d+(?:[.,'’٬٫]\d+|[ \u00a0\u202f]\d{3}(?!\d))*")
#: What stands after a number that translators write in another way: 2 million is 200万, 3 pm is 15 Uhr, 5 feet are
#: 1,5 m, the 20th century is siglo XX, the 1980s are die 80er, 10:15 is another hour in Swahili.
_CONVERTED = re.compile(
    r"\W*(?:hundred|thousand|million|billion|trillion|lakh|crore|dozen|[kmb]n?\b|a\.?m\b|p\.?m\b|o'clock|:\d|percent"
    r"|st\b|nd\b|rd\b|th\b|feet|foot|ft\b|inch|mile|mph|yard|pound|lb|acre|ounce|gallon|degree|°|'?s\b)",
    re.IGNORECASE,
)
#: Words that translators write in digits.
_NUMBER_WORD = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|\w+ty|\w+ties|hundreds?|thousands?"
    r"|\w+illions?|dozens?|half|quarter|third|decades?|century|centuries|noon|midnight|first|second|\w+th|[ivxlc]{2,})\b",
    re.IGNORECASE,
)
_MIN_DIGITS = 2  # smaller numbers are often written as words
_MIN_NEW_DIGITS = 3


def lost_number(source: str, translation: str) -> str | None:
    """A number of the English source that its translation lacks, as the source writes it; None if there is none.

    Numbers of one digit, and those that translators write in another way, such as times, feet and millions, are not
    asked for.
    """
    has = _forms(translation)
    for found in _NUMBER.finditer(source):
        number = _digits(found[0])
        if len(number) < _MIN_DIGITS or _CONVERTED.match(source, found.end()):
            continue
        if number not in has and not (number.endswith("000") and number.rstrip("0") in {n.rstrip("0") for n in has}):
            return found[0]
    return None


def new_number(source: str, translation: str) -> str | None:
    """A number of three digits or more in the translation of a source that has no number, not even in words."""
    if re.search(r"\d", source) or _NUMBER_WORD.search(source):
        return None
    return next((n[0] for n in _NUMBER.finditer(translation) if len(_digits(n[0])) >= _MIN_NEW_DIGITS), None)


def _forms(text: str) -> set[str]:
    """The numbers of a text as digits: as a whole, and each part between separators."""
    forms = set()
    for number in _NUMBER.findall(text):
        forms |= {_digits(number), *(_digits(part) for part in re.findall(r"\d+", number))}
    return forms


def _digits(number: str) -> str:
    """ASCII digits alone, without zeros before them: `6,650`, `6.650` and `٦٦٥٠` are all `6650`."""
    return "".join(str(int(char)) for char in number if char.isdecimal()).lstrip("0")
