"""`precision: auto`: in which precision an encoder is faster, measured with the encoder on this machine."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch

from clear_ir.encode.backends import Precision

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The texts of a trial: so many, of so many tokens.
TRIAL_SHAPE = (8, 64)
#: Trials of each precision; the fastest counts.
TRIALS = 3
#: bf16 must be so many times as fast to be chosen. A smaller lead could turn in the next run.
LEAD = 1.1


def choose_precision(model: SentenceTransformer, training: bool = True) -> tuple[Precision, str]:
    """Choose the precision of training or encoding.

    On a CPU that has products of bf16 matrices, the encoder is timed in fp32 and bf16, for some seconds: on some such
    processors fp32 is faster. Without them, and on a GPU, the hardware is known to decide.

    Args:
        model: The encoder, in float32. Its gradients and the random numbers stay as they are.
        training: Whether to time the backward pass, too.

    Returns:
        `fp32`, `bf16` or `fp16`, and a sentence that says why.
    """
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "bf16: the GPU has it.") if native else ("fp16", "fp16: the GPU has no bf16.")
    if not cpu_has_bf16():
        return "fp32", "fp32: the processor has no products of bf16 matrices."
    if getattr(model, "tokenizer", None) is None:
        return "fp32", "fp32: an encoder without a tokenizer is not timed."
    seconds: dict[Precision, float] = {"fp32": math.inf, "bf16": math.inf}
    with torch.random.fork_rng(devices=[]):
        features = _random_features(model)
        for _ in range(TRIALS):
            for precision in seconds:
                seconds[precision] = min(seconds[precision], _time_once(model, features, precision == "bf16", training))
    ratio = seconds["fp32"] / seconds["bf16"]
    on_this = "with this encoder on this processor"
    if ratio > LEAD:
        return "bf16", f"bf16: {on_this} {ratio:.2f} times as fast as fp32."
    return "fp32", f"fp32: {on_this} bf16 is {ratio:.2f} times as fast."


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for products of bf16 matrices. Without them, bf16 is slower than fp32."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in older releases
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _random_features(model: SentenceTransformer) -> dict[str, Any]:
    """Tokenized texts of one length."""
    count, length = TRIAL_SHAPE
    word = model.tokenizer.convert_ids_to_tokens(len(model.tokenizer) // 2)
    features = model.preprocess([f"{word} " * length] * count)
    return {name: value[:, :length] if _is_table(value) else value for name, value in features.items()}


def _is_table(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 2


def _time_once(model: SentenceTransformer, features: dict[str, Any], bf16: bool, training: bool) -> float:
    """Seconds of one forward pass, and of the backward pass if it is for training."""
    # Not the tables: a dense gradient of a large vocabulary costs the same in either precision.
    parameters = [p for p in model.parameters() if p.requires_grad and p.numel() < 2**22]
    begin = time.perf_counter()
    with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = model(dict(features))["sentence_embedding"].float().sum()
    if training:
        torch.autograd.grad(loss, parameters, allow_unused=True)
    return time.perf_counter() - begin
