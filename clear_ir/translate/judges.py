"""Which checks the translations of a translator go through."""

from __future__ import annotations

from functools import partial

from clear_ir.translate.quality import find_faults
from clear_ir.translate.settings import TranslationSettings
from clear_ir.translate.translation import Judge
from clear_ir.translate.translator import Translator


def judge_for(translator: Translator, settings: TranslationSettings) -> Judge | None:
    """What finds the bad translations of a translator.

    Args:
        translator: The translator.
        settings: Which checks to do.

    Returns:
        The judge, for `clear_ir.translate.translation.translate_rows`; None if nothing is checked.
    """
    if settings.no_checks:
        return None
    return partial(find_faults, mixed=getattr(translator, "mixes_languages", False))
