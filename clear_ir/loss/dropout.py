"""Fast dropout masks for CPUs on which PyTorch draws one number at a time.

On all processors but Intel's, PyTorch's CPU `bernoulli_` takes 6 ns per number on one core. That is a fifth of a
training step of a small encoder. Here 64 random bits make four numbers.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

#: Random bits per number. A probability is rounded to a multiple of 1/65536.
_BITS = 16


@contextmanager
def fast_dropout() -> Iterator[None]:
    """Draw dropout masks fast within the block, by replacing PyTorch's CPU kernel of `Tensor.bernoulli_(p)`.

    The numbers come from PyTorch's generator, so seeds, gradient checkpointing and the gradient cache work as usual.
    A seed gives other masks than outside the block, and p is rounded to a multiple of 1/65536. Put all of the training
    into one block, backward passes too. On Intel's processors this does nothing: PyTorch is fast there, and draws on
    all cores. `clear-ir train` uses it.

    Example:
        ::

            with fast_dropout():
                trainer.train()
    """
    if _is_intel() and torch.backends.mkl.is_available():
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
    """Fill a tensor with ones, each with probability p, and zeros."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    num_ones = round(p * 2**_BITS)  # of the 2**16 values that a number can have, those that become a one
    if num_ones == 2**_BITS:
        return self.fill_(1)  # the threshold below would be 2**15, which int16 cannot hold
    # random_ fills one int64 at a time, over its full range (None: no upper limit), so all 64 bits are random. Each
    # int64 is read as four int16, uniform from -2**15 to 2**15 - 1. A number is below the threshold in num_ones of
    # 2**16 cases.
    words = torch.empty(-(-self.numel() * _BITS // 64), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    numbers = words.view(torch.int16)[: self.numel()].view(self.shape)
    torch.lt(numbers, num_ones - 2 ** (_BITS - 1), out=self)
    return self


def _is_intel() -> bool:
    info = Path("/proc/cpuinfo")
    return "GenuineIntel" in platform.processor() or (info.exists() and "GenuineIntel" in info.read_text())
