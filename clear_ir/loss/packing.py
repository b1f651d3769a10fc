"""Pack the texts of a tokenized batch: each distinct text once, sorted by length, so that little padding is embedded.

The trainer gives a loss one padded column after another, with repeated texts. Here the rows of all columns become one
group. Identical rows become one, and rows of similar length are neighbours. An index says where each row of a column
is in the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clear_ir.loss.private_names import batch_size_of

#: The width of a mini-batch is a multiple of this, so that few different shapes occur. On a CPU, the matrix library
#: generates and keeps code for each new shape. A GPU multiplies such matrices faster.
WIDTH_MULTIPLE = 8
_SEED = 20260405


@dataclass(frozen=True)
class PackedColumns:
    """The rows of several columns, in as few groups as possible.

    Args:
        groups: Tokenized features, to be embedded.
        merged: For each group, whether its rows come from several columns and are sorted by length. Such a group is
            embedded in mini-batches.
        places: For each column, the number of its group, and the rows of that group that are the column's rows, shape
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
) -> PackedColumns:
    """Merge the rows of columns, each distinct text once, the longest first.

    A column that cannot be merged (flattened or image inputs, left padding, or metadata of another prompt) becomes a
    group by itself, unchanged.

    Args:
        columns: Tokenized features by column.
        keys: The `text_keys` of each column.
        pad_id: Token id for padding.
        deduplicate: Embed identical rows once. With dropout, they then share one mask.

    Returns:
        The groups, and the places of each column's rows in them.
    """
    by_kind: dict[tuple[Any, ...], list[int]] = {}
    for column, features in columns.items():
        kind = _kind(features) if keys[column] is not None else None
        by_kind.setdefault(kind or ("column", column), []).append(column)
    packed = PackedColumns([], [], {})
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
        # Where a row of the merged columns is in the group: distinct_of[row] is the number of its distinct text, and
        # place[distinct_of[row]] is where the sort by length puts that text.
        first_rows, distinct_of = (
            _first_of_each(key) if deduplicate else (torch.arange(len(key), device=key.device),) * 2
        )
        by_length = torch.argsort(merged["attention_mask"][first_rows].sum(dim=1), descending=True, stable=True)
        order = first_rows[by_length]
        place = torch.empty_like(by_length)
        place[by_length] = torch.arange(len(by_length), device=by_length.device)  # the inverse permutation
        packed.groups.append({k: v[order] if isinstance(v, Tensor) else v for k, v in merged.items()})
        start = 0
        for column in members:
            end = start + len(columns[column]["input_ids"])
            packed.places[column] = group, place[distinct_of[start:end]]
            start = end
    return packed


def mini_batches(group: dict[str, Any], size: int, num_tokens: int | None) -> list[dict[str, Any]]:
    """Cut a merged group into mini-batches. Each is as wide as its longest text, rounded up to WIDTH_MULTIPLE.

    Args:
        group: Features of a merged group, the longest text first.
        size: Texts per mini-batch; only used if `num_tokens` is None.
        num_tokens: Tokens per mini-batch, padding included. A text with more tokens is a mini-batch by itself. None:
            cut by `size`.

    Returns:
        Features of the mini-batches, in the order of the group. Their tensors are views of the group's.
    """
    lengths = group["attention_mask"].sum(dim=1).tolist()
    # Not wider than the tokenizer's output: the encoder may have no positions beyond that.
    max_width = group["input_ids"].shape[1]
    parts = []
    begin = 0
    while begin < len(lengths):
        # The rows are sorted, so the first text of a mini-batch is its longest.
        width = min(max_width, -(-lengths[begin] // WIDTH_MULTIPLE) * WIDTH_MULTIPLE)
        end = begin + (size if num_tokens is None else max(1, num_tokens // max(1, width)))
        parts.append({k: v[begin:end, :width] if isinstance(v, Tensor) else v for k, v in group.items()})
        begin = end
    return parts


def _kind(features: dict[str, Any]) -> tuple[Any, ...] | None:
    """What columns must have in common to be merged; None if this column cannot be merged."""
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if not isinstance(ids, Tensor) or not isinstance(mask, Tensor) or ids.ndim != 2 or mask.shape != ids.shape:
        return None
    # Only with right padding: a mini-batch is made narrower by cutting on the right, and that must cut only padding.
    if bool((mask[:, 1:] > mask[:, :-1]).any()):
        return None
    kind: list[Any] = ["merged"]
    for name, value in sorted(features.items()):
        if isinstance(value, Tensor) and value.shape != ids.shape:
            return None
        kind.append((name, value.dtype if isinstance(value, Tensor) else repr(value)))
    return tuple(kind)


def _concatenate(columns: list[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """The rows of all columns, padded to the width of the widest."""
    width = max(features["input_ids"].shape[1] for features in columns)

    def padded(name: str, value: Tensor) -> Tensor:
        fill = pad_id if name == "input_ids" else 0
        return torch.nn.functional.pad(value, (0, width - value.shape[1]), value=fill)

    return {
        name: torch.cat([padded(name, features[name]) for features in columns]) if isinstance(value, Tensor) else value
        for name, value in columns[0].items()
    }


def _first_of_each(keys: Tensor) -> tuple[Tensor, Tensor]:
    """For each distinct key its first row; for each row the index of its key among the distinct ones."""
    distinct, group = torch.unique(keys, return_inverse=True)
    rows = torch.arange(len(keys), device=keys.device)
    # The lowest row number of each group, computed on the device, without a loop.
    first = torch.full_like(distinct, len(keys)).scatter_reduce_(0, group, rows, reduce="amin")
    return first, group


def text_keys(features: dict[str, Any]) -> Tensor | None:
    """Give each row of one tokenized column a key that is equal for equal token rows.

    Keys find duplicates across columns of different width and across devices, where comparing all tokens would be slow.

    A key is the sum over the row's tokens, without padding, of `(token id + 1) * multiplier of its position`, modulo
    2**64. The multipliers are fixed random 64-bit numbers. int64 arithmetic wraps, which is the modulo. The `+ 1`
    makes token 0 count, so that a row and its beginning differ.

    Two different rows get one key only if the differences of their ids, times the multipliers, sum to 0. At a position
    where they differ by d, just gcd(d, 2**64) of the 2**64 multipliers make that happen. With fewer than 2**18 token
    ids this has a probability of at most 2**-46.

    Args:
        features: One column as the trainer gives it: `input_ids` with `attention_mask` of shape (batch_size,
            length), or flattened with `cu_seq_lens_q` of shape (batch_size + 1,), or the `offsets` of an embedding
            bag.

    Returns:
        Shape (batch_size,), int64; None if there are no token ids to compare, as for images.
    """
    ids = features.get("input_ids")
    if not isinstance(ids, Tensor):
        return None
    mask = features.get("attention_mask")
    if ids.ndim == 2 and isinstance(mask, Tensor) and mask.shape == ids.shape:
        is_token = mask.bool()
        # Positions count from each row's first token, so that left and right padding give the same key.
        positions = (is_token.cumsum(dim=1) - 1).clamp_min(0)
        products = (ids.long() + 1) * _multipliers(ids.shape[1], ids.device)[positions]
        return products.masked_fill(~is_token, 0).sum(dim=1)
    if isinstance(features.get("cu_seq_lens_q"), Tensor):
        starts = features["cu_seq_lens_q"].long()[:-1]
    elif isinstance(features.get("offsets"), Tensor):
        starts = features["offsets"].long()
    else:
        return None
    flat = ids.reshape(-1).long()
    index = torch.arange(len(flat), device=flat.device)
    row = torch.searchsorted(starts, index, right=True) - 1  # the last row that starts at or before the token
    products = (flat + 1) * _multipliers(len(flat), flat.device)[index - starts[row]]
    return torch.zeros(len(starts), dtype=torch.int64, device=flat.device).index_add_(0, row, products)


def _multipliers(count: int, device: torch.device) -> Tensor:
    """The multipliers of the first `count` positions.

    They are drawn on the CPU with one seed. So they are the same on every device, and fewer of them are the beginning
    of more of them: columns of different width use the same ones.
    """
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randint(-(2**63), 2**63 - 1, (count,), generator=generator, dtype=torch.int64).to(device)
