"""Fast dropout masks for CPUs on which PyTorch draws one number at a time.

On many processors, PyTorch's CPU `bernoulli_` takes 6 ns per number on one core. That is a fifth of a training step of
a small encoder. Here 64 random bits make four numbers.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

#: Random bits per number. A probability is rounded to a multiple of 1/65536.
_BITS = 16
#: So many times as fast it must be to be used. A smaller lead could turn in the next run, which then had other masks.
_LEAD = 1.2


@contextmanager
def fast_dropout() -> Iterator[None]:
    """Draw dropout masks fast within the block, by replacing PyTorch's CPU kernel of `Tensor.bernoulli_(p)`.

    The numbers come from PyTorch's generator, so seeds, gradient checkpointing and the gradient cache work as usual.
    A seed gives other masks than outside the block, and p is rounded to a multiple of 1/65536. Put all of the training
    into one block, backward passes too. Both kernels are timed first, for some hundredths of a second; where PyTorch's
    is as fast, as with MKL on many cores of Intel's, nothing is replaced. `clear-ir train` uses it.

    Example:
        ::

            with fast_dropout():
                trainer.train()
    """
    library = _replace_kernel() if is_faster() else None
    try:
        yield
    finally:
        del library  # the kernel goes with it


def _replace_kernel() -> torch.library.Library:
    """Replace PyTorch's kernel for as long as what is returned lives."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Overriding a previously registered kernel", UserWarning)
        library.impl("bernoulli_.float", _bernoulli_, "CPU")
    return library


@lru_cache(maxsize=1)
def is_faster() -> bool:
    """Whether the fast kernel is faster on this processor, with its present number of threads."""
    numbers, generator = torch.empty(2**20), torch.Generator()

    def seconds(draw: Callable[[], Tensor]) -> float:
        times = []
        for _ in range(4):
            begin = time.perf_counter()
            draw()
            times.append(time.perf_counter() - begin)
        return min(times)

    plain = seconds(lambda: numbers.bernoulli_(0.1, generator=generator))
    return plain > _LEAD * seconds(lambda: _bernoulli_(numbers, 0.1, generator=generator))


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
