"""The texts of a tokenized batch, each once, sorted by length, so that few padding tokens are embedded.

The trainer hands a loss one padded column after another, repeats included. Here the columns' rows are put
together: identical token rows become one, rows of like length stand side by side. An index says where each
column's rows went.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clear_ir.loss.upstream import batch_size_of

#: Mini-batches are a multiple of this wide, so that their shapes recur: a CPU keeps code made for each shape it meets,
#: a GPU multiplies matrices faster.
WIDTH_STEP = 8
_SEED = 20260405


@dataclass(frozen=True)
class Packed:
    """The rows of several columns in as few groups as they allow.

    Args:
        groups: Tokenized features, to be embedded.
        merged: Whether a group is merged: its rows sorted by length, to be embedded in mini-batches.
        places: For each column its group, and the rows of the group that are the column's, shape
            (batch_size,).
    """

    groups: list[dict[str, Any]]
    merged: list[bool]
    places: dict[int, tuple[int, Tensor]]


def pack_columns(
    columns: Mapping[int, dict[str, Any]],
    keys: Mapping[int, Tensor | None],
    pad_id: int = 0,
    deduplicate: bool = True,
) -> Packed:
    """Put the rows of columns together, each distinct text once, the longest first.

    Columns that cannot be merged (flattened or image inputs, left padding, or other prompts' metadata) stay
    groups of their own, unchanged.

    Args:
        columns: Tokenized features by column.
        keys: What :func:`text_keys` gives for each.
        pad_id: Token id that fills up shorter rows.
        deduplicate: Keep one of identical rows. With dropout, they then share its mask.

    Returns:
        The groups, and where each column's rows are.
    """
    by_kind: dict[tuple[Any, ...], list[int]] = {}
    for column, features in columns.items():
        kind = _kind(features) if keys[column] is not None else None
        by_kind.setdefault(kind or ("column", column), []).append(column)
    packed = Packed([], [], {})
    for kind, members in by_kind.items():
        group = len(packed.groups)
        packed.merged.append(kind[0] == "merged")
        if kind[0] == "column":
            features = columns[members[0]]
            packed.groups.append(features)
            key = keys[members[0]]
            count = batch_size_of(features) if key is None else len(key)
            device = next(value.device for value in features.values() if isinstance(value, Tensor))
            packed.places[members[0]] = group, torch.arange(count, device=device)
            continue
        merged = _concatenate([columns[column] for column in members], pad_id)
        key = torch.cat([key for column in members if (key := keys[column]) is not None])
        kept, row_of = _first_of_each(key) if deduplicate else (torch.arange(len(key), device=key.device),) * 2
        by_length = torch.argsort(merged["attention_mask"][kept].sum(dim=1), descending=True, stable=True)
        order = kept[by_length]
        place = torch.empty_like(by_length)
        place[by_length] = torch.arange(len(by_length), device=by_length.device)
        packed.groups.append({k: v[order] if isinstance(v, Tensor) else v for k, v in merged.items()})
        start = 0
        for column in members:
            end = start + len(columns[column]["input_ids"])
            packed.places[column] = group, place[row_of[start:end]]
            start = end
    return packed


def mini_batches(group: dict[str, Any], size: int, num_tokens: int | None) -> list[dict[str, Any]]:
    """Cut a merged group into mini-batches, each as wide as its longest text and a few tokens more, see WIDTH_STEP.

    Args:
        group: Features of a merged group, the longest text first.
        size: Texts in each, where they are not cut by tokens.
        num_tokens: Tokens in each, padding included; a longer text is one of its own.

    Returns:
        Features of the mini-batches, in the group's order; views of the group's.
    """
    lengths = group["attention_mask"].sum(dim=1).tolist()
    # Not wider than what the tokenizer gave: the encoder may have no positions beyond.
    most = group["input_ids"].shape[1]
    parts = []
    begin = 0
    while begin < len(lengths):
        width = min(most, -(-lengths[begin] // WIDTH_STEP) * WIDTH_STEP)
        end = begin + (size if num_tokens is None else max(1, num_tokens // max(1, width)))
        parts.append({k: v[begin:end, :width] if isinstance(v, Tensor) else v for k, v in group.items()})
        begin = end
    return parts


def _kind(features: dict[str, Any]) -> tuple[Any, ...] | None:
    """What columns must share to be merged; None if this one cannot be."""
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if not isinstance(ids, Tensor) or not isinstance(mask, Tensor) or ids.ndim != 2 or mask.shape != ids.shape:
        return None
    # Right padding only: a row's tokens come first.
    if bool((mask[:, 1:] > mask[:, :-1]).any()):
        return None
    kind: list[Any] = ["merged"]
    for name, value in sorted(features.items()):
        if isinstance(value, Tensor) and value.shape != ids.shape:
            return None
        kind.append((name, value.dtype if isinstance(value, Tensor) else repr(value)))
    return tuple(kind)


def _concatenate(columns: list[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    width = max(features["input_ids"].shape[1] for features in columns)

    def wide(name: str, value: Tensor) -> Tensor:
        fill = pad_id if name == "input_ids" else 0
        return torch.nn.functional.pad(value, (0, width - value.shape[1]), value=fill)

    return {
        name: torch.cat([wide(name, features[name]) for features in columns]) if isinstance(value, Tensor) else value
        for name, value in columns[0].items()
    }


def _first_of_each(keys: Tensor) -> tuple[Tensor, Tensor]:
    """The first row of each key, and for every row which of those stands for it."""
    distinct, group = torch.unique(keys, return_inverse=True)
    rows = torch.arange(len(keys), device=keys.device)
    first = torch.full_like(distinct, len(keys)).scatter_reduce_(0, group, rows, reduce="amin")
    return first, group


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
