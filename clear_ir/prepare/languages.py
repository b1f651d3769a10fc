"""The languages of a data set: chosen, checked, and named in its collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clear_ir.data.files import InputError


def with_english(langs: Iterable[str]) -> list[str]:
    """English, then the other languages, each once."""
    return list(dict.fromkeys(["en", *langs]))


def choose_langs(langs: Sequence[str], known: Sequence[str], lacks: str) -> list[str]:
    """The languages asked for, each once.

    Args:
        langs: Languages asked for; `all` stands for all that are known.
        known: Languages of the data.
        lacks: Beginning of the error about an unknown language, such as `XQuAD in DIR has no language`.

    Returns:
        The languages, in the order in which they were asked for.

    Raises:
        InputError: If a language is unknown.
    """
    chosen = list(dict.fromkeys(code for lang in langs for code in (known if lang == "all" else [lang])))
    for lang in chosen:
        if lang not in known:
            raise InputError(f"{lacks} {lang!r}; choose among {', '.join(known)}.", "langs")
    return chosen


def refuse_all(langs: Sequence[str], title: str) -> None:
    """Refuse `all` for a data set on the hub, where the languages are not known.

    Args:
        langs: Languages asked for.
        title: Name of the data set, for the error.

    Raises:
        InputError: If `all` is among the languages.
    """
    if "all" in langs:
        raise InputError(f"Name the languages of {title} on the hub; all needs a folder.", "langs")


def collection_name(data_set: str, langs: Iterable[str]) -> str:
    """Name of a collection: `xquad-de-zh` for English, German and Chinese, `xquad-en` for English alone."""
    return "-".join([data_set, *([lang for lang in langs if lang != "en"] or ["en"])])
