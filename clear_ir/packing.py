"""What the rows of a tokenized batch hold: a key for each text, equal where the texts are equal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_SEED = 20260405


def text_keys(features: dict[str, Any]) -> Tensor | None:
    """Give each row of one tokenized column a key that is equal for equal token rows.

    A key is the row's token ids, padding left out, multiplied by fixed random 64-bit numbers and summed
    modulo 2**64. Two different rows share a key with a probability below 2**-46.

    Args:
        features: One column as the trainer hands it over: ``input_ids`` with ``attention_mask`` of shape
            (batch_size, length), or flattened with ``cu_seq_lens_q`` of shape (batch_size + 1,), or the
            ``offsets`` of an embedding bag.

    Returns:
        Shape (batch_size,), int64; None where there are no token ids to compare (images, say).
    """
    ids = features.get("input_ids")
    if not isinstance(ids, Tensor):
        return None
    mask = features.get("attention_mask")
    if ids.ndim == 2 and isinstance(mask, Tensor) and mask.shape == ids.shape:
        kept = mask.bool()
        # Positions count from each row's first token, so that left and right padding give one key.
        positions = (kept.cumsum(dim=1) - 1).clamp_min(0)
        products = (ids.long() + 1) * _multipliers(ids.shape[1], ids.device)[positions]
        return products.masked_fill(~kept, 0).sum(dim=1)
    if isinstance(features.get("cu_seq_lens_q"), Tensor):
        starts = features["cu_seq_lens_q"].long()[:-1]
    elif isinstance(features.get("offsets"), Tensor):
        starts = features["offsets"].long()
    else:
        return None
    flat = ids.reshape(-1).long()
    where = torch.arange(len(flat), device=flat.device)
    row = torch.searchsorted(starts, where, right=True) - 1
    products = (flat + 1) * _multipliers(len(flat), flat.device)[where - starts[row]]
    return torch.zeros(len(starts), dtype=torch.int64, device=flat.device).index_add_(0, row, products)


def _multipliers(count: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randint(-(2**63), 2**63 - 1, (count,), generator=generator, dtype=torch.int64).to(device)
