"""The encoder before training: what it makes of a text never changes, so each text is embedded once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from clear_ir.loss.packing import PackedColumns


class FrozenBase:
    """Embeddings of texts by an encoder as it is now.

    Args:
        encoder: The encoder. A copy of it is kept, unless all embeddings are known.
        known: Keys of all texts that will be asked for, see `clear_ir.loss.packing.text_keys`, shape (num_texts,), and
            their embeddings, shape (num_texts, dim). None: the copy embeds each text when it is first asked for.
    """

    def __init__(self, encoder: nn.Module, known: tuple[Tensor, Tensor] | None = None) -> None:
        # In a list, so that it does not become a submodule, which the trainer would train and save.
        self._encoder = [] if known else [copy.deepcopy(encoder).eval().requires_grad_(False)]
        self._row_of: dict[int, int] = {}
        self._vectors, self._count = torch.empty(0, 0), 0
        self._autocast: dict[str, Any] = {"enabled": False}
        if known:
            self._add(*known)
        else:
            self._watch_autocast(encoder)

    @torch.no_grad()
    def embed(
        self, packed: PackedColumns, device: torch.device, embed: Callable[[PackedColumns, nn.Module], list[Tensor]]
    ) -> list[Tensor]:
        """Embed packed columns.

        Args:
            packed: The columns.
            device: Where the embeddings are wanted.
            embed: Embeds groups with an encoder.

        Returns:
            For each group, the embeddings of its rows in float32, or float64 if the encoder has it.

        Raises:
            ValueError: If all embeddings are said to be known, and one is not.
        """
        embedded = []
        for group in packed.groups:
            if group.keys is None:  # of images, for example
                embedded.append(self._embed(PackedColumns([group], {}), device, embed))
                continue
            keys = group.keys.tolist()
            new = [number for number, key in enumerate(keys) if key not in self._row_of]
            if new:
                chosen = torch.tensor(new, device=group.keys.device)
                new_keys, part = group.keys, group
                if group.merged:  # a column by itself cannot be cut
                    rows = {k: v[chosen] if isinstance(v, Tensor) else v for k, v in group.features.items()}
                    new_keys, part = group.keys[chosen], replace(group, features=rows)
                self._add(new_keys, self._embed(PackedColumns([part], {}), device, embed))
            embedded.append(self._vectors[[self._row_of[key] for key in keys]].to(device))
        return embedded

    def _embed(
        self, packed: PackedColumns, device: torch.device, embed: Callable[[PackedColumns, nn.Module], list[Tensor]]
    ) -> Tensor:
        if not self._encoder:
            raise ValueError(
                "A text has no known embedding by the encoder before training; give those of all texts that the "
                "terms read, with their prompts."
            )
        with torch.autocast(device.type, **self._autocast):
            [vectors] = embed(packed, self._encoder[0].to(device))
        return vectors if vectors.dtype == torch.float64 else vectors.float()

    def _add(self, keys: Tensor, vectors: Tensor) -> None:
        """Keep embeddings, in the memory of the CPU."""
        begin, end = self._count, self._count + len(keys)
        if end > len(self._vectors):  # at least twice as many, so that adding a few at a time does not copy often
            kept = self._vectors[:begin] if begin else torch.empty(0, vectors.shape[1])
            self._vectors = torch.empty(max(end, 2 * begin), vectors.shape[1], dtype=vectors.dtype)
            self._vectors[:begin] = kept
        self._vectors[begin:end] = vectors.cpu()
        self._count = end
        for row, key in enumerate(keys.tolist(), start=begin):
            self._row_of[key] = row

    def _watch_autocast(self, encoder: nn.Module) -> None:
        """Note the autocast under which the encoder runs, so that the copy runs under the same.

        A trainer wraps the encoder's forward in it, and the copy is none of the trainer's.
        """
        seen = self._autocast

        def note(module: nn.Module, inputs: Any) -> None:
            kind = next(module.parameters()).device.type
            seen.update(dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))

        next(iter(encoder.children())).register_forward_pre_hook(note)
