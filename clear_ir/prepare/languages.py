"""The languages of a data set: chosen, checked, and named in its collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clear_ir.data.files import InputError
from clear_ir.data.languages import language_tag, similar_tag


def with_english(langs: Iterable[str]) -> list[str]:
    """English, then the other languages, each once."""
    return list(dict.fromkeys(["en", *langs]))


def choose_langs(
    langs: Sequence[str], codes: Iterable[str], lacks: str, tags: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The languages asked for, each once.

    Args:
        langs: Languages asked for, by any code that `language_tag` reads or by one of `codes`; `all` stands for all.
        codes: What the data set calls its languages.
        lacks: Beginning of the error about an unknown language, such as `XQuAD in DIR has no language`.
        tags: The tags of those codes whose tag is not that of `language_tag`.

    Returns:
        The data set's code of each language by its tag, in the order in which they were asked for.

    Raises:
        InputError: If a language is unknown, or the data set has two codes for it.
    """
    tag_of = tags_of(codes, tags or {})
    chosen: dict[str, str] = {}
    for lang in langs:
        if lang == "all":
            named = sorted(tag_of, key=tag_of.__getitem__)
        elif lang in tag_of:
            named = [lang]
        else:
            tag = _tag_of_asked(lang, tag_of)
            named = [code for code, other in tag_of.items() if other == tag]
            if not named:
                known = ", ".join(sorted(set(tag_of.values())))
                raise InputError(f"{lacks} {tag!r}; choose among {known}.", "langs")
        for code in named:
            if chosen.setdefault(tag_of[code], code) != code:
                other = chosen[tag_of[code]]
                raise InputError(f"{other} and {code} are both {tag_of[code]}; ask for one of the two.", "langs")
    return chosen


def _tag_of_asked(lang: str, tag_of: Mapping[str, str]) -> str:
    """The tag of a language asked for; what is no code stays as it is, unless one of the data set's was meant."""
    try:
        return language_tag(lang, "The language", "langs")
    except InputError:
        if similar_tag(lang) in tag_of.values():
            raise
        return lang


def tags_of(codes: Iterable[str], tags: Mapping[str, str]) -> dict[str, str]:
    """The tag of each of a data set's codes.

    Args:
        codes: What the data set calls its languages. What is no code is left out.
        tags: The tags of those codes whose tag is not that of `language_tag`.

    Returns:
        The tags by code.
    """
    tag_of = {}
    for code in codes:
        try:
            tag_of[code] = tags.get(code) or language_tag(code, "The code")
        except InputError:
            continue
    return tag_of


def collection_name(data_set: str, langs: Iterable[str]) -> str:
    """Name of a collection: `xquad-de-zh` for English, German and Chinese, `xquad-en` for English alone."""
    return "-".join([data_set, *([lang for lang in langs if lang != "en"] or ["en"])])
