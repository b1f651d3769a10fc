"""The languages that a user asks translations into."""

from __future__ import annotations

from clear_ir.data.files import InputError
from clear_ir.data.languages import language_tag


def target_languages(text: str) -> list[str]:
    """Read the value of `--to`.

    Args:
        text: Codes of languages, with commas or spaces between them.

    Returns:
        Their BCP 47 tags, in that order.

    Raises:
        InputError: If there is none, one is no language, is English, or comes twice.
    """
    codes = text.replace(",", " ").split()
    if not codes:
        raise InputError("No language to translate into is named; give codes such as de,sw.", "to")
    tags: dict[str, str] = {}
    for code in codes:
        tag = language_tag(code, "The language to translate into", "to")
        if tag == "en":
            raise InputError(f"The language to translate into is {code!r}, but the texts are English already.", "to")
        if tag in tags:
            both = code if tags[tag] == code else f"{tags[tag]} and {code}"
            raise InputError(f"The languages to translate into name {tag} twice ({both}); name each once.", "to")
        tags[tag] = code
    return list(tags)
