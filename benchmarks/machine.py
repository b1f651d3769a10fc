"""On what a number was measured: the machine and the versions of the libraries."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: The instruction sets that matter most for the speed of matrix products, best first.
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "asimd")


def machine() -> str:
    """Cores, model, the best instruction set for matrices, and the GPU if there is one."""
    import torch

    path = Path("/proc/cpuinfo")
    facts = dict(line.split(":", 1) for line in (path.read_text().splitlines() if path.exists() else []) if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", facts.get("Features", "")).split()
    best = next((name for name in INSTRUCTIONS if name in flags), platform.machine())
    cpu = f"{os.cpu_count()} CPU cores ({facts.get('model name', platform.machine())}, {best})"
    return f"{cpu}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else cpu


def has_gpu(described: str) -> bool:
    """Whether a machine, as `machine` describes it, has a GPU."""
    return not described.endswith(")")


def measured_with(*libraries: str) -> dict[str, Any]:
    """The entries `versions` and `machine` of a results file.

    Args:
        libraries: Further libraries, beside clear-ir and torch.
    """
    names = sorted({"clear-ir", "torch", *libraries})
    return {"versions": {name: version(name) for name in names}, "machine": machine()}


def peak_memory() -> float:
    """The highest resident memory of this process so far, in MiB."""
    path = Path("/proc/self/status")
    if path.exists():
        # Not getrusage: its peak is at least that of the parent process.
        line = next(line for line in path.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
