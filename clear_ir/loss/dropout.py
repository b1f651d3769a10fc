"""Dropout masks several times as fast, on CPUs for which PyTorch draws them number by number.

On all but Intel's processors, PyTorch's CPU ``bernoulli_`` takes 6 ns a number on one core, a fifth of a training step
of a small encoder. Here 64 random bits make four numbers.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

#: Random bits a number is made of: a probability is kept to 1/65536.
_BITS = 16


@contextmanager
def fast_dropout() -> Iterator[None]:
    """Draw dropout masks fast within the block, by replacing PyTorch's CPU kernel of ``Tensor.bernoulli_(p)``.

    The numbers come from PyTorch's own generator, so seeds, gradient checkpointing and the gradient cache work as
    ever; a seed gives other masks than outside the block, and p is rounded to 1/65536. Put the whole training within
    one block, backward passes too. Does nothing on Intel's processors, where PyTorch draws on all cores.
    ``clear-ir train`` uses it.

    Example:
        ::

            with fast_dropout():
                trainer.train()
    """
    if _intel() and torch.backends.mkl.is_available():
        yield
        return
    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*Overriding a previously registered kernel", UserWarning)
            library.impl("bernoulli_.float", _bernoulli_, "CPU")
        yield
    finally:
        library._destroy()


def _bernoulli_(self: Tensor, p: float = 0.5, *, generator: torch.Generator | None = None) -> Tensor:
    """Fill a tensor with ones, of probability p, and zeros."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    below = round(p * 2**_BITS)
    if below == 2**_BITS:
        return self.fill_(1)
    words = torch.empty(-(-self.numel() * _BITS // 64), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    numbers = words.view(torch.int16)[: self.numel()].view(self.shape)
    torch.lt(numbers, below - 2 ** (_BITS - 1), out=self)
    return self


def _intel() -> bool:
    info = Path("/proc/cpuinfo")
    return "GenuineIntel" in platform.processor() or (info.exists() and "GenuineIntel" in info.read_text())
