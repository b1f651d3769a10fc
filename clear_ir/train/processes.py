"""Several processes that train together, as torchrun starts them: one of them writes, and the others wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from clear_ir.data.files import InputError

if TYPE_CHECKING:
    from accelerate import PartialState

T = TypeVar("T")


def join_processes() -> PartialState:
    """This process among those that train together. At the first call each waits until all are there.

    Returns:
        Its number, how many there are, and ways to wait. Without torchrun or the like it is the only one.
    """
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())


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


def first_does(action: Callable[[], T]) -> T:
    """Let the first process do something while the others wait.

    Args:
        action: What it does.

    Returns:
        What it returned, in every process.

    Raises:
        InputError: In every process, if it fails with such an error or with one of the system.
    """
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, None]
    if join_processes().is_main_process:
        try:
            outcome[0] = action()
        except (InputError, OSError) as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    result, failure = outcome
    if failure is not None:
        raise failure
    return cast("T", result)
