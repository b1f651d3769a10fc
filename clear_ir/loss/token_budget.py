"""``mini_batch_num_tokens="auto"``: how many tokens to embed at once, measured on the model and machine at hand."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

#: Tokens embedded at once with gradients where nothing else is asked for. On a CPU larger buffers are fresh pages each
#: time, and slower.
NUM_TOKENS = {"cpu": 1024, "other": 8192}
#: Budgets tried, smallest first.
TRIED = {"cpu": (512, 1024, 2048, 4096, 8192), "other": (4096, 8192, 16384, 32768, 65536, 131072)}
#: The smallest budget that reaches this share of the best rate is chosen: more would cost memory alone.
GOOD_ENOUGH = 0.95
#: Share of an accelerator's memory that a trial may fill; the optimizer's state is yet to come.
MOST_MEMORY = 0.7

T = TypeVar("T")

logger = logging.getLogger(__name__)


def for_device(by_kind: Mapping[str, T], device: torch.device) -> T:
    """What a table of ``cpu`` and ``other`` says of a device.

    Args:
        by_kind: The table.
        device: The device.

    Returns:
        Its entry.
    """
    return by_kind["cpu" if device.type == "cpu" else "other"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def choose_num_tokens(model: nn.Module, features: dict[str, Any]) -> int:
    """Try budgets on the longest texts of a batch, forward and backward, and take the smallest of the fastest.

    No gradient is accumulated and no random number used up: training goes on as if nothing had been tried.

    Args:
        model: The encoder.
        features: A batch's features, ``input_ids`` and ``attention_mask`` of shape (num_texts, length), the longest
            text first.

    Returns:
        The budget.

    Raises:
        RuntimeError: If even the smallest budget does not fit into memory.
    """
    device = features["input_ids"].device
    tried = for_device(TRIED, device)
    rates: dict[int, float] = {}
    for budget in tried:
        try:
            rate, share = _trial(model, features, budget, device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not rates:
                raise
            break
        if share > MOST_MEMORY and rates:
            break
        rates[budget] = rate
        if rate < 0.9 * max(rates.values()):
            break
    chosen = next(budget for budget, rate in rates.items() if rate >= GOOD_ENOUGH * max(rates.values()))
    measured = ", ".join(f"{budget}: {rate:,.0f} tokens/s" for budget, rate in rates.items())
    logger.warning("mini_batch_num_tokens: auto chose %d (%s).", chosen, measured)
    return chosen


def _trial(model: nn.Module, features: dict[str, Any], budget: int, device: torch.device) -> tuple[float, float]:
    """Tokens a second, and the share of the device's memory in use at the peak (0 on a CPU)."""
    length = int(features["attention_mask"][0].sum())
    rows = max(1, budget // length)
    # The longest text again and again: the worst that a mini-batch of this budget can be.
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
                # Not backward(): that would add to the parameters' gradients and wake DDP.
                output = model(dict(repeated))["sentence_embedding"]
                torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)
            if cuda:
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - begin)
    share = 0.0
    if cuda:
        share = torch.cuda.max_memory_allocated(device) / torch.cuda.get_device_properties(device).total_memory
        torch.cuda.empty_cache()
    return rows * length / min(seconds), share
