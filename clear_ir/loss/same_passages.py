"""Passages in several languages: a passage and its translations are one passage, and never negatives of each other."""

from __future__ import annotations

import torch
from torch import Tensor


class SamePassages:
    """Which keys stand for the same passage.

    Args:
        keys: Keys of passages, see `clear_ir.loss.packing.text_keys`, shape (num_passages,); each once.
        shared: For each the key that it has in common with its translations, shape (num_passages,).

    Raises:
        ValueError: If there are not as many of both, or a key is there twice.
    """

    def __init__(self, keys: Tensor, shared: Tensor) -> None:
        if keys.shape != shared.shape:
            raise ValueError(
                f"There are {len(keys)} keys of passages and {len(shared)} shared keys; give one for each."
            )
        self._keys, order = keys.cpu().sort()
        self._shared = shared.cpu()[order]
        if (self._keys[1:] == self._keys[:-1]).any():
            raise ValueError("A passage is given twice in same_passages; give each key once.")

    def __len__(self) -> int:
        """Number of passages that have a shared key."""
        return len(self._keys)

    def shared_keys(self, keys: Tensor) -> Tensor:
        """The shared key of each passage; its own where none was given.

        Args:
            keys: Keys of passages, of any shape.
        """
        if not len(self):
            return keys
        self._keys, self._shared = self._keys.to(keys.device), self._shared.to(keys.device)
        places = torch.searchsorted(self._keys, keys).clamp_max(len(self) - 1)
        return torch.where(self._keys[places] == keys, self._shared[places], keys)
