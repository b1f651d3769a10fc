"""The families of translation models: how each is known, where its codes of languages are, and how they are used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clear_ir.data.files import InputError
from clear_ir.data.languages import UNKNOWN, is_english, language_tag
from clear_ir.translate.codes import code_of, same_language

#: What is said of a model that is of no family.
KNOWN = "Marian (Opus-MT), NLLB-200, M2M-100, MADLAD-400 or SeamlessM4T"


@dataclass(frozen=True)
class Family:
    """A family of models.

    Args:
        name: Its name.
        model_types: `model_type` in `config.json`.
        token: A token of its vocabulary that stands for a language; the group is the code.
        target: How it is told the target language. prefix: the token stands before the text. forced: it is the first
            token of the translation. named: `generate` takes the code.
        has_source: Whether the tokenizer must be told the language of the text.
    """

    name: str
    model_types: tuple[str, ...]
    token: re.Pattern[str]
    target: Literal["prefix", "forced", "named"]
    has_source: bool


FAMILIES = (
    Family("Marian", ("marian",), re.compile(r">>(\w+)<<"), "prefix", False),
    Family("NLLB", ("m2m_100", "nllb-moe"), re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"), "forced", True),
    Family("M2M-100", ("m2m_100",), re.compile(r"__([a-z]{2,3})__"), "forced", True),
    Family("MADLAD", ("t5", "mt5", "umt5"), re.compile(r"<2(\w+)>"), "prefix", False),
    Family(
        "SeamlessM4T",
        ("seamless_m4t", "seamless_m4t_v2"),
        re.compile(r"__([a-z]{3}(?:_[A-Z][a-z]{3})?)__"),
        "named",
        True,
    ),
)


@dataclass(frozen=True)
class Languages:
    """The languages of one model.

    Args:
        model: Name of the model, for errors.
        family: Its family.
        tokens: The token of each language, by its code. Empty for a Marian model with one target language.
        only: For such a model the BCP 47 tag of that language, if its tokenizer says it.
        source: For a Marian model the BCP 47 tag of the language that it reads, if its tokenizer says it.
    """

    model: str
    family: Family
    tokens: Mapping[str, str]
    only: str | None = None
    source: str | None = None

    def code(self, lang: str) -> str:
        """The model's code of a target language; empty for a model with one.

        Raises:
            InputError: If the model does not have the language.
        """
        if not self.tokens:
            if self.only not in (None, lang, lang.partition("-")[0]):
                raise InputError(f"{self.model} translates into {self.only}, not into {lang}.", "to", "model")
            return ""
        code = code_of(lang, self.tokens)
        if code is None:
            near = same_language(lang, self.tokens)
            advice = f"it has {', '.join(near)}" if near else "choose another model for it"
            raise InputError(
                f"{self.model} does not translate into {lang}: {advice}; it knows {len(self.tokens)} languages.",
                "to",
                "model",
            )
        return code

    def example(self) -> str:
        """The tag of some language that the model translates into, English last; `xx` if none is known."""
        tags = [tag for tag in (self.only, *map(_tag, self.tokens)) if tag]
        return min(tags, key=is_english, default=UNKNOWN)

    def source_code(self, lang: str) -> str | None:
        """The model's code of the language that texts are in; None where the tokenizer is not told that language.

        Raises:
            InputError: If the model does not read it.
        """
        if self.source not in (None, lang, lang.partition("-")[0]):
            raise InputError(f"{self.model} translates from {self.source}, but the texts are {lang}.", "model")
        return self.code(lang) if self.family.has_source else None


def languages_of(model: str, config: Any, tokenizer: Any, generation_config: Any) -> Languages:
    """Find the family of a model and the languages that it knows.

    Args:
        model: Its name, for errors.
        config: Its configuration.
        tokenizer: Its tokenizer.
        generation_config: How it generates; SeamlessM4T's names the languages it can write.

    Returns:
        The languages.

    Raises:
        InputError: If it is of no family.
    """
    families = [family for family in FAMILIES if config.model_type in family.model_types]
    vocabulary = _vocabulary(tokenizer)
    for family in families:
        tokens = {match[1]: token for token in vocabulary if (match := family.token.fullmatch(token))}
        if family.target == "named":
            writes = getattr(generation_config, "text_decoder_lang_to_code_id", None) or {}
            tokens = {code: token for code, token in tokens.items() if code in writes}
        if family.name == "Marian":
            source, target = (_tag(getattr(tokenizer, name, None)) for name in ("source_lang", "target_lang"))
            return Languages(model, family, tokens, None if tokens else target, source)
        if tokens:
            return Languages(model, family, tokens)
    raise InputError(f"{model} has no tokens for target languages; give {KNOWN}.", "model")


def _vocabulary(tokenizer: Any) -> list[str]:
    """The tokens of a tokenizer. M2M-100's keeps those of languages apart."""
    return sorted({*tokenizer.get_vocab(), *getattr(tokenizer, "lang_token_to_id", ())})


def _tag(code: Any) -> str | None:
    """The BCP 47 tag of a language that a tokenizer names; None for none, and for a group of languages."""
    if not isinstance(code, str) or not code:
        return None
    try:
        return language_tag(code, "")
    except InputError:
        return None
