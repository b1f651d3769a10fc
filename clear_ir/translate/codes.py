"""Each translation model has codes of its own for languages. Which of them stands for a BCP 47 tag.

The codes are not in a table: a model's vocabulary says which ones it has, and most of them are codes of ISO 639 with or
without a script, which `clear_ir.data.languages` reads: `swh_Latn` of NLLB, `sw` of M2M-100, `swa` of Opus-MT and `swh`
of SeamlessM4T are all `sw`. The tables below hold what cannot be derived.
"""

from __future__ import annotations

from collections.abc import Iterable

from clear_ir.data.files import InputError
from clear_ir.data.languages import language_tag

#: Codes that are no codes of ISO 639, or are those of another language, by what they really mean.
_MEANS = {
    "ns": "nso",  # M2M-100: Northern Sotho
    "sat_Beng": "sat",  # NLLB: its texts are in Ol Chiki, the usual script
}
#: What else a tag may be called in a model that does not have it: Norwegian, Quechua, Malay.
_OTHER_NAMES = {"no": ("nb",), "nb": ("no",), "qu": ("quy",), "quy": ("qu",), "ms": ("zlm",), "zlm": ("ms",)}
#: Where several codes of one model mean the same, the one to take if it is there.
_PREFERRED = {"zh": ("cmn_Hans", "zho_Hans", "cmn"), "zh-Hant": ("cmn_Hant", "zho_Hant")}


def code_of(lang: str, codes: Iterable[str]) -> str | None:
    """The code of a language among those of a model.

    Args:
        lang: BCP 47 tag of the language, see `clear_ir.data.languages.language_tag`.
        codes: The codes of the model.

    Returns:
        The code; None if the model does not have the language. A tag with a region, such as `es-MX`, gets the code of
        the language where the model does not tell regions apart. A script is never replaced by another one.
    """
    by_tag: dict[str, list[str]] = {}
    for code in codes:
        if tag := _tag_of(code):
            by_tag.setdefault(tag, []).append(code)
    for name in (lang, *_OTHER_NAMES.get(lang, ()), _without_region(lang)):
        if name in by_tag:
            return _best(name, by_tag[name])
    return None


def same_language(lang: str, codes: Iterable[str]) -> list[str]:
    """The tags of a model's codes that are of a language, in whatever script: what a user may have meant."""
    name = lang.partition("-")[0]
    tags = {tag for code in codes if (tag := _tag_of(code))}
    return sorted(tag for tag in tags if tag.partition("-")[0] == name)


def _tag_of(code: str) -> str | None:
    """The BCP 47 tag of a code; None if it is of no single language, such as `mul`."""
    try:
        return language_tag(_MEANS.get(code, code), "")
    except InputError:
        return None


def _without_region(lang: str) -> str:
    """The tag without a region: `es` of `es-MX`, but `zh-Hant` of `zh-Hant-HK`."""
    return "-".join(part for part in lang.split("-") if not (len(part) == 2 and part.isupper()) and not part.isdigit())


def _best(lang: str, codes: list[str]) -> str:
    """Of several codes for a language the plainest: that of ISO 639 for the language as a whole, without a script."""
    from langcodes import Language

    preferred = [code for code in _PREFERRED.get(lang, ()) if code in codes]
    if preferred:
        return preferred[0]
    plain = (lang, Language.get(lang).to_alpha3())
    return min(codes, key=lambda code: (code not in plain, "_" in code, code))
