"""Encoders whose weights are spread over processes by FSDP2: all must make equally many forward passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clear_ir.loss.private_names import batch_size_of, cut_features


def is_sharded(model: nn.Module) -> bool:
    """Whether the weights of a model are spread over several processes by FSDP2 (`fully_shard`)."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    from torch.distributed.fsdp import FSDPModule

    return any(isinstance(module, FSDPModule) for module in model.modules())


def gathered(weight: Tensor) -> Tensor:
    """A weight as one tensor. Where it is spread over processes, all of them must ask."""
    from torch.distributed.tensor import DTensor

    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def as_many_everywhere(parts: list[dict[str, Any]], device: torch.device) -> list[dict[str, Any]]:
    """Cut mini-batches further until this process has as many as the one that has most.

    Each forward pass collects weights from all processes, and one that made fewer would leave the others waiting.

    Args:
        parts: The mini-batches of this process.
        device: Where processes exchange numbers.

    Raises:
        ValueError: If there are too few texts.
    """
    most = torch.tensor(len(parts), device=device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    parts = list(parts)
    while len(parts) < int(most):
        largest = max(range(len(parts)), key=lambda place: batch_size_of(parts[place]))
        count = batch_size_of(parts[largest])
        if count < 2:
            raise ValueError(
                f"This process has {len(parts)} texts and another {int(most)} mini-batches; use larger batches."
            )
        halves = [cut_features(parts[largest], *ends) for ends in ((0, count // 2), (count // 2, count))]
        parts[largest : largest + 1] = halves
    return parts
