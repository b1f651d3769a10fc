"""Several processes that train together, as torchrun starts them: one of them writes, and the others wait for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from clear_ir.data.files import InputError

if TYPE_CHECKING:
    from accelerate import PartialState

T = TypeVar("T")

#: Ways of accelerate to spread the weights of one encoder over several processes, by the variable that asks for each.
SHARDING = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}


def join_processes() -> PartialState:
    """This process among those that train together. At the first call each waits until all are there.

    Returns:
        Its number, how many there are, and ways to wait. Without torchrun or the like it is the only one.
    """
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())


def refuse_sharding() -> None:
    """Refuse to train an encoder of which each process has but a part: checkpoints are judged and kept whole.

    Raises:
        InputError: If accelerate is told to spread the encoder by FSDP or DeepSpeed.
    """
    for variable, name in SHARDING.items():
        if os.environ.get(variable, "").lower() in ("true", "1"):
            raise InputError(
                f"clear-ir train does not spread an encoder over processes by {name}; launch without it, and for an "
                "encoder that is too large train an adapter beside weights in bf16.",
                "lora_r",
            )


def num_processes() -> int:
    """How many processes train together; 1 before they are joined."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if together else 1


def leave_processes() -> None:
    """End the connections to the processes that train together, if there are any; the command does so before it ends.

    A process that ends with open connections may crash (SIGABRT), and then its own exit code is lost.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        _patient_group.cache_clear()


@lru_cache(maxsize=1)
def _patient_group() -> Any:
    """All processes, connected so that they may wait for each other for days.

    Those that exchange gradients give up after 10 minutes on GPUs, but encoding a large corpus takes the first longer.
    """
    return torch.distributed.new_group(backend="gloo", timeout=timedelta(days=30))


def first_does(action: Callable[[], T]) -> T:
    """Let the first process do something while the others wait, however long it takes.

    Args:
        action: What it does.

    Returns:
        What it returned, in every process.

    Raises:
        InputError: In every process, if it fails with such an error or with one of the system.
    """
    outcome: list[Any] = [None, None]
    if join_processes().is_main_process:
        try:
            outcome[0] = action()
        except (InputError, OSError) as error:
            outcome[1] = error
    if num_processes() > 1:
        torch.distributed.broadcast_object_list(outcome, group=_patient_group())
    result, failure = outcome
    if failure is not None:
        raise failure
    return cast("T", result)


def check_agreed(value: Any, sentence: str, *settings: str) -> None:
    """Refuse to train together with a process that has another value.

    Args:
        value: Something that all processes must have alike.
        sentence: What is wrong, if one of them has not, and what to do.
        settings: Names of the settings that may be wrong.

    Raises:
        InputError: In every process, if the values differ.
    """
    values = [value] * num_processes()
    if len(values) > 1:
        torch.distributed.all_gather_object(values, value, group=_patient_group())
    if any(other != value for other in values):
        raise InputError(sentence, *settings)
