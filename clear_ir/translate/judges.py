"""Which checks the translations of a translator go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from clear_ir.data.files import InputError
from clear_ir.translate.kinds import load_translator
from clear_ir.translate.quality import find_faults
from clear_ir.translate.store import TranslationStore
from clear_ir.translate.translation import Judge, translate_texts
from clear_ir.translate.translator import Choice, Translator

if TYPE_CHECKING:
    from clear_ir.encode.text_encoder import TextEncoder

#: The value of `back_translate` that names the translator itself, and what a value begins with that is a command.
SAME, COMMAND = "same", "command:"


def judge_for(choice: Choice, translator: Translator, store: TranslationStore) -> Judge:
    """What finds the bad translations of a translator.

    Args:
        choice: What the user said, with the settings that name the checks.
        translator: The translator.
        store: Keeps what is translated back, too.

    Returns:
        The judge, for `clear_ir.translate.translation.translate_rows`.

    Raises:
        InputError: If a model for a check cannot be loaded, or cannot translate back.
    """
    settings = choice.settings
    mixed = getattr(translator, "mixes_languages", False)
    back = _back_translator(choice, translator, mixed) if settings.back_translate else None
    encoder = _encoder(choice) if settings.agreement else None

    def judge(translations: Mapping[str, str], lang: str) -> dict[str, str]:
        reasons = {} if settings.no_checks else find_faults(translations, lang, mixed)
        if encoder:
            reasons |= _disagreeing(_without(translations, reasons), lang, encoder, str(settings.agreement))
        if back:
            reasons |= _lost_on_the_way_back(_without(translations, reasons), lang, back, store)
        return reasons

    return judge


def checks_of(choice: Choice) -> dict[str, str | bool | None]:
    """Which checks were done, for the file that says how rows were made."""
    settings = choice.settings
    return {
        "rules": not settings.no_checks,
        "agreement": settings.agreement,
        "back translation": settings.back_translate,
    }


def _without(translations: Mapping[str, str], reasons: Mapping[str, str]) -> dict[str, str]:
    return {text: translation for text, translation in translations.items() if text not in reasons}


def _encoder(choice: Choice) -> TextEncoder:
    from clear_ir.encode.cache import default_cache
    from clear_ir.encode.model_loading import load_encoder
    from clear_ir.encode.text_encoder import TextEncoder

    model = load_encoder(str(choice.settings.agreement), choice.trust_remote_code)
    return TextEncoder(model, cache=None if choice.settings.no_cache else default_cache())


def _disagreeing(translations: Mapping[str, str], lang: str, encoder: TextEncoder, name: str) -> dict[str, str]:
    from clear_ir.translate.agreement import disagreeing

    reason = f"no agreement: {name} finds it no more similar to its text than to others"
    return dict.fromkeys(disagreeing(translations, lang, encoder, name), reason)


def _back_translator(choice: Choice, translator: Translator, mixed: bool) -> Translator:
    """The translator for the way back.

    Raises:
        InputError: If it cannot translate into English.
    """
    name = str(choice.settings.back_translate)
    if name == SAME:
        if mixed or (choice.command is not None and "{lang}" not in choice.command):
            raise InputError(
                f"{translator.name} cannot translate back into English; name what can, such as "
                f"'{COMMAND}apertium spa-eng'.",
                "back_translate",
            )
        back = translator
    elif name.startswith(COMMAND):
        back = load_translator(replace(choice, model="", command=name.removeprefix(COMMAND), endpoint=None))
    else:
        back = load_translator(replace(choice, model=name, command=None, endpoint=None))
    back.check(["en"])
    return back


def _lost_on_the_way_back(
    translations: Mapping[str, str], lang: str, translator: Translator, store: TranslationStore
) -> dict[str, str]:
    from clear_ir.translate.agreement import lost_on_the_way_back

    made, _ = translate_texts(list(dict.fromkeys(translations.values())), "en", translator, store, source=lang)
    back = {text: made[translation].text for text, translation in translations.items()}
    lost = lost_on_the_way_back(translations, lang, list(back.values()))
    return {text: f"lost on the way back: {back[text]!r}" for text in lost}
