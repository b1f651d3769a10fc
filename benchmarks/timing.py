"""Time several functions fairly: they take turns, so that a change in the machine's load affects all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def time_in_turns(functions: Mapping[str, Callable[[], T]], rounds: int) -> tuple[dict[str, list[float]], dict[str, T]]:
    """Call each function once per round.

    Args:
        functions: The functions, by name.
        rounds: Calls per function.

    Returns:
        The seconds of each call, and the last result of each function, both by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    results: dict[str, T] = {}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            results[name] = function()
            seconds[name].append(time.perf_counter() - start)
            print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    return seconds, results
