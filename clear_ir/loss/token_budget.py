"""`mini_batch_num_tokens="auto"`: how many tokens to embed at once, measured with the model on this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

#: The default number of tokens embedded at once with gradients. On a CPU more is slower: large buffers get fresh memory
#: pages each time.
NUM_TOKENS = {"cpu": 1024, "other": 8192}
#: The budgets to try, smallest first.
BUDGETS = {"cpu": (512, 1024, 2048, 4096, 8192), "other": (4096, 8192, 16384, 32768, 65536, 131072)}
#: The smallest budget that reaches this share of the best rate is chosen: a larger one costs memory and gains little.
GOOD_ENOUGH = 0.95
#: Share of an accelerator's memory that a trial may fill. The rest is for the optimizer's state, which comes later.
MAX_MEMORY_SHARE = 0.7

T = TypeVar("T")

logger = logging.getLogger(__name__)


def for_device(values: Mapping[str, T], device: torch.device) -> T:
    """Choose the value for a device.

    Args:
        values: One value for `cpu`, and one for every `other` device.
        device: The device.

    Returns:
        Its value.
    """
    return values["cpu" if device.type == "cpu" else "other"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def choose_num_tokens(model: nn.Module, features: dict[str, Any]) -> int:
    """Measure budgets on the longest text of a batch, forward and backward, and choose the smallest fast one.

    This leaves no gradients behind and uses up no random numbers, so training does not change.

    Args:
        model: The encoder.
        features: The features of a batch: `input_ids` and `attention_mask` of shape (num_texts, length), the
            longest text first.

    Returns:
        The budget, in tokens.

    Raises:
        RuntimeError: If even the smallest budget does not fit into memory.
    """
    device = features["input_ids"].device
    rates: dict[int, float] = {}
    for budget in for_device(BUDGETS, device):
        try:
            rate, memory_share = _measure(model, features, budget, device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not rates:
                raise
            break
        if memory_share > MAX_MEMORY_SHARE and rates:
            break
        rates[budget] = rate
        if rate < 0.9 * max(rates.values()):
            break  # larger budgets will not be faster again
    chosen = next(budget for budget, rate in rates.items() if rate >= GOOD_ENOUGH * max(rates.values()))
    measured = ", ".join(f"{budget}: {rate:,.0f} tokens/s" for budget, rate in rates.items())
    logger.warning("mini_batch_num_tokens: auto chose %d (%s).", chosen, measured)
    return chosen


def _measure(model: nn.Module, features: dict[str, Any], budget: int, device: torch.device) -> tuple[float, float]:
    """Tokens per second, and the share of the device's memory in use at the peak (0 on a CPU)."""
    length = int(features["attention_mask"][0].sum())
    rows = max(1, budget // length)
    # Copies of the longest text: attention costs most per token there, so other mini-batches of this budget need less.
    repeated = {
        name: value[:1, :length].expand(rows, -1).contiguous() if isinstance(value, Tensor) else value
        for name, value in features.items()
    }
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.random.fork_rng(devices=[device] if cuda else []):
        for _ in range(3):
            begin = time.perf_counter()
            with torch.enable_grad():
                # Not backward(): that would add to the parameters' gradients and start DDP's exchange of them.
                output = model(dict(repeated))["sentence_embedding"]
                torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)
            if cuda:
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - begin)
    memory_share = 0.0
    if cuda:
        memory_share = torch.cuda.max_memory_allocated(device) / torch.cuda.get_device_properties(device).total_memory
        torch.cuda.empty_cache()
    return rows * length / min(seconds), memory_share
