"""`mini_batch_num_tokens="auto"`: how many tokens to embed at once, measured with the model on this machine."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import nn

from clear_ir.loss.packing import Group

#: The default number of tokens embedded at once with gradients. On a CPU more is slower: large buffers get fresh memory
#: pages each time.
NUM_TOKENS = {"cpu": 1024, "other": 8192}
#: The budgets to try, smallest first.
BUDGETS = {"cpu": (512, 1024, 2048, 4096, 8192), "other": (4096, 8192, 16384, 32768, 65536, 131072)}
#: The smallest budget that reaches this share of the best rate is chosen: a larger one costs memory and gains little.
GOOD_ENOUGH = 0.95
#: Share of the free memory of an accelerator that training may fill, with the optimizer's state.
MAX_MEMORY_SHARE = 0.9
#: Bytes that AdamW keeps for each trained parameter, from its first step on: two numbers of 32 bits.
OPTIMIZER_BYTES = 8

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


def choose_num_tokens(model: nn.Module, group: Group) -> int:
    """Measure budgets on the longest text of a batch, forward and backward, and choose the smallest fast one.

    No trial is larger than the batch, so all together take about as long as three steps. A budget must leave room for
    the state of AdamW, which comes with the first step. This leaves no gradients behind and uses up no random numbers,
    so training does not change.

    Args:
        model: The encoder.
        group: The merged columns of a batch.

    Returns:
        The budget, in tokens.

    Raises:
        RuntimeError: If even the smallest budget does not fit into memory.
    """
    device = group.features["input_ids"].device
    room = _room(model, device)
    rates: dict[int, float] = {}
    for budget in _worth_trying(for_device(BUDGETS, device), int(group.lengths.sum())):
        try:
            rate, peak = _measure(model, group, budget, device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not rates:
                raise
            break
        if peak > room and rates:
            break
        rates[budget] = rate
        if rate < max(rates.values()):
            break  # larger budgets will not be faster again
    chosen = next(budget for budget, rate in rates.items() if rate >= GOOD_ENOUGH * max(rates.values()))
    measured = ", ".join(f"{budget}: {rate:,.0f} tokens/s" for budget, rate in rates.items())
    logger.warning("mini_batch_num_tokens: auto chose %d (%s).", chosen, measured)
    return chosen


def _worth_trying(budgets: Sequence[int], num_tokens: int) -> list[int]:
    """The budgets up to the first that holds a whole batch of so many tokens: a larger one is no different."""
    smaller = [budget for budget in budgets if budget < num_tokens]
    return list(budgets[: len(smaller) + 1])


def _room(model: nn.Module, device: torch.device) -> float:
    """The bytes of the device that weights, gradients and activations may fill; no limit on a CPU."""
    if device.type != "cuda":
        return math.inf
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return MAX_MEMORY_SHARE * free - OPTIMIZER_BYTES * trained


def _measure(model: nn.Module, group: Group, budget: int, device: torch.device) -> tuple[float, int]:
    """Tokens per second, and the bytes of the device in use at the peak (0 on a CPU)."""
    length = int(group.lengths[0])
    rows = min(len(group), max(1, budget // length))
    # Copies of the longest text: attention costs most per token there, so other mini-batches of this budget need less.
    repeated = group.repeated(rows)
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.random.fork_rng(devices=[device] if cuda else []):
        for _ in range(2):  # the first one is slower: it makes buffers and code for the shape
            begin = time.perf_counter()
            with torch.enable_grad():
                # Not backward(): that would add to the parameters' gradients and start DDP's exchange of them.
                output = model(dict(repeated))["sentence_embedding"]
                torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)
            if cuda:
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - begin)
    peak = 0
    if cuda:
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.empty_cache()
    return rows * length / min(seconds), peak
