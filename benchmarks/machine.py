"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

#: The most telling instruction sets, best first.
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


def peak_memory() -> float:
    """MiB that this process had resident at most so far."""
    path = Path("/proc/self/status")
    if path.exists():
        # Not getrusage: a child inherits its parent's peak there.
        found = next(line for line in path.read_text().splitlines() if line.startswith("VmHWM"))
        return int(found.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
