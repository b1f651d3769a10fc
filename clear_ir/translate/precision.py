"""`precision: auto`: in which precision a translation model is faster, measured with the model on this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import torch

from clear_ir.encode.backends import Precision
from clear_ir.encode.precision import LEAD, TRIALS, cpu_has_bf16
from clear_ir.translate.seq2seq import Seq2Seq, load_translation_model
from clear_ir.translate.settings import TranslationSettings

#: What is translated in a trial, in one batch.
TRIAL_TEXTS = tuple(f"Where is the longest river of the country number {i}, and how long is it?" for i in range(8))

logger = logging.getLogger(__name__)


def load_in_faster_precision(name: str, settings: TranslationSettings, trust_remote_code: bool = False) -> Seq2Seq:
    """Load a translation model in the precision in which it is faster, and say which that is.

    On a CPU that has products of bf16 matrices, some sentences are translated in fp32 and in bf16. Without them, and on
    a GPU, the hardware is known to decide.

    Args:
        name: A model folder or a hub name.
        settings: How to translate.
        trust_remote_code: Run Python code that comes with the model.

    Returns:
        The translator.
    """

    def loaded(precision: Precision) -> Seq2Seq:
        return load_translation_model(name, settings, precision, trust_remote_code)

    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return _say("bf16", "the GPU has it", loaded("bf16"))
        # Activations of T5, which MADLAD-400 is, are too large for fp16.
        translator = loaded("fp16")
        if translator.languages.family.name == "MADLAD":
            return _say("fp32", "the GPU has no bf16, and T5 overflows in fp16", loaded("fp32"))
        return _say("fp16", "the GPU has no bf16", translator)
    fp32 = loaded("fp32")
    if not cpu_has_bf16():
        return _say("fp32", "the processor has no products of bf16 matrices", fp32)
    bf16 = loaded("bf16")
    lang = fp32.languages.example()
    seconds = [min(seconds_of(translator, TRIAL_TEXTS, lang) for _ in range(TRIALS)) for translator in (fp32, bf16)]
    ratio = seconds[0] / seconds[1]
    reason = f"with this model on this processor bf16 is {ratio:.2f} times as fast as fp32"
    return _say("bf16", reason, bf16) if ratio > LEAD else _say("fp32", reason, fp32)


def _say(precision: Precision, reason: str, translator: Seq2Seq) -> Seq2Seq:
    logger.warning("precision: auto chose %s: %s.", precision, reason)
    return translator


def seconds_of(translator: Seq2Seq, texts: Sequence[str], lang: str) -> float:
    """Seconds in which texts are translated."""
    begin = time.perf_counter()
    for _ in translator.translate(texts, lang):
        pass
    return time.perf_counter() - begin
