"""Pack the texts of a tokenized batch: each distinct text once, sorted by length, so that little padding is embedded.

The trainer gives a loss one padded column after another, with repeated texts. Here the rows of all columns become one
group. Identical rows become one, and rows of similar length are neighbours. An index says where each row of a column
is in the group. Columns may be padded on the right or on the left, or be flattened, one text after another without
padding, as flash attention takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from clear_ir.loss.private_names import batch_size_of

#: The width of a mini-batch is a multiple of this, so that few different shapes occur. On a CPU, the matrix library
#: generates and keeps code for each new shape. A GPU multiplies such matrices faster.
WIDTH_MULTIPLE = 8
_SEED = 20260405
#: What flattened features have beside the tokens, made anew for each mini-batch.
_BOUNDARIES = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")

#: Where rows have padding: `none` is for flattened inputs.
Padding = Literal["right", "left", "none"]


@dataclass(frozen=True)
class Group:
    """Tokenized rows that are embedded together.

    Args:
        features: The features: of merged columns with a row for each distinct text, the longest first, padded; else of
            one column, unchanged.
        padding: Where the rows of merged columns have padding when they are embedded; None if this is one column,
            unchanged.
        made: Names of the features that flattened inputs have, to be made for each mini-batch; else empty.
        keys: The `text_keys` of the rows; None if they have none.
    """

    features: dict[str, Any]
    padding: Padding | None
    made: tuple[str, ...] = ()
    keys: Tensor | None = None

    @property
    def merged(self) -> bool:
        """Whether the rows come from several columns and are sorted by length, so that they can be cut."""
        return self.padding is not None

    def __len__(self) -> int:
        """Number of rows."""
        return batch_size_of(self.features)

    @property
    def lengths(self) -> Tensor:
        """Number of tokens of each row of merged columns, shape (num_rows,)."""
        lengths: Tensor = self.features["attention_mask"].sum(dim=1)
        return lengths

    def rows(self, begin: int, end: int, width: int) -> dict[str, Any]:
        """The features of some rows of merged columns, as the encoder takes them.

        Args:
            begin: The first row.
            end: The row after the last.
            width: As many tokens are kept of each row, at least those of the longest.

        Returns:
            The features. Their tensors are views of the group's, except for flattened inputs.
        """
        kept = slice(-width, None) if self.padding == "left" else slice(None, width)
        part = {k: v[begin:end, kept] if isinstance(v, Tensor) else v for k, v in self.features.items()}
        return self._flatten(part) if self.padding == "none" else part

    def repeated(self, count: int) -> dict[str, Any]:
        """The features of the longest row, so many times."""
        width = int(self.lengths[0])
        first = {k: v[:1].expand(count, -1) if isinstance(v, Tensor) else v for k, v in self.features.items()}
        part = Group(first, self.padding, self.made).rows(0, count, width)
        return {k: v.contiguous() if isinstance(v, Tensor) else v for k, v in part.items()}

    def mini_batches(self, size: int, num_tokens: int | None) -> list[dict[str, Any]]:
        """Cut merged columns into mini-batches. Each is as wide as its longest text, rounded up to WIDTH_MULTIPLE.

        Args:
            size: Texts per mini-batch; only used if `num_tokens` is None.
            num_tokens: Tokens per mini-batch, padding included. A text with more tokens is a mini-batch by itself.
                None: cut by `size`.

        Returns:
            Features of the mini-batches, in the order of the group.
        """
        lengths = self.lengths.tolist()
        # Not wider than the tokenizer's output: the encoder may have no positions beyond that.
        max_width = self.features["input_ids"].shape[1]
        multiple = 1 if self.padding == "none" else WIDTH_MULTIPLE
        parts = []
        begin = 0
        while begin < len(lengths):
            # The rows are sorted, so the first text of a mini-batch is its longest.
            width = min(max_width, -(-lengths[begin] // multiple) * multiple)
            end = begin + (size if num_tokens is None else max(1, num_tokens // max(1, width)))
            parts.append(self.rows(begin, end, width))
            begin = end
        return parts

    def _flatten(self, part: dict[str, Any]) -> dict[str, Any]:
        """Padded rows as one row without padding, with the boundaries that flash attention needs."""
        is_token = part["attention_mask"].bool()
        lengths = is_token.sum(dim=1)
        ends = lengths.cumsum(dim=0)
        boundaries = torch.cat([ends.new_zeros(1), ends]).to(torch.int32)
        rows = torch.arange(len(lengths), device=lengths.device)
        longest = int(lengths.max())
        made = {
            "cu_seq_lens_q": boundaries,
            "cu_seq_lens_k": boundaries,
            "max_length_q": longest,
            "max_length_k": longest,
            "seq_idx": rows.repeat_interleave(lengths).to(torch.int32)[None],
        }
        flat = {k: v[is_token][None] if isinstance(v, Tensor) else v for k, v in part.items() if k != "attention_mask"}
        return flat | {name: made[name] for name in self.made}


@dataclass(frozen=True)
class PackedColumns:
    """The rows of several columns, in as few groups as possible.

    Args:
        groups: The groups, to be embedded.
        places: For each column, the number of its group, and the rows of that group that are the column's rows, shape
            (batch_size,).
    """

    groups: list[Group]
    places: dict[int, tuple[int, Tensor]]


def pack_columns(
    columns: Mapping[int, dict[str, Any]],
    keys: Mapping[int, Tensor | None],
    pad_id: int = 0,
    deduplicate: bool = True,
    padding_side: str = "right",
) -> PackedColumns:
    """Merge the rows of columns, each distinct text once, the longest first.

    A column that cannot be merged (images, or metadata of another prompt) becomes a group by itself, unchanged.

    Args:
        columns: Tokenized features by column.
        keys: The `text_keys` of each column.
        pad_id: Token id for padding.
        deduplicate: Embed identical rows once. With dropout, they then share one mask.
        padding_side: Where the tokenizer pads: `right` or `left`. It counts for columns without padding.

    Returns:
        The groups, and the places of each column's rows in them.
    """
    by_kind: dict[tuple[Any, ...], list[int]] = {}
    for column, features in columns.items():
        kind = _kind(features, padding_side) if keys[column] is not None else None
        by_kind.setdefault(kind or ("column", column), []).append(column)
    packed = PackedColumns([], {})
    for (padding, *_), members in by_kind.items():
        group = len(packed.groups)
        if padding == "column":
            features = columns[members[0]]
            key = keys[members[0]]
            packed.groups.append(Group(features, None, keys=key))
            count = batch_size_of(features) if key is None else len(key)
            device = next(value.device for value in features.values() if isinstance(value, Tensor))
            packed.places[members[0]] = group, torch.arange(count, device=device)
            continue
        made = tuple(name for name in _BOUNDARIES if name in columns[members[0]]) if padding == "none" else ()
        padded = [_unflatten(columns[column]) if padding == "none" else columns[column] for column in members]
        merged = _concatenate(padded, pad_id, padding)
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
        sorted_rows = {k: v[order] if isinstance(v, Tensor) else v for k, v in merged.items()}
        packed.groups.append(Group(sorted_rows, padding, made, key[order]))
        start = 0
        for column, features in zip(members, padded, strict=True):
            end = start + len(features["input_ids"])
            packed.places[column] = group, place[distinct_of[start:end]]
            start = end
    return packed


def _kind(features: dict[str, Any], padding_side: str) -> tuple[Any, ...] | None:
    """What columns must have in common to be merged, first their padding; None if this column cannot be merged."""
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if isinstance(ids, Tensor) and isinstance(features.get("cu_seq_lens_q"), Tensor) and ids.shape[:1] == (1,):
        padding: Padding = "none"
    elif isinstance(ids, Tensor) and isinstance(mask, Tensor) and ids.ndim == 2 and mask.shape == ids.shape:
        # A mini-batch is made narrower by cutting columns of padding, so all padding must be on one side.
        sides = {"right": not (mask[:, 1:] > mask[:, :-1]).any(), "left": not (mask[:, 1:] < mask[:, :-1]).any()}
        possible = [side for side in (padding_side, "right", "left") if sides[side]]
        if not possible:
            return None
        padding = "left" if possible[0] == "left" else "right"
    else:
        return None
    kind: list[Any] = [padding]
    for name, value in sorted(features.items()):
        if padding == "none" and name in _BOUNDARIES:
            kind.append(name)
            continue
        if isinstance(value, Tensor) and value.shape != ids.shape:
            return None
        kind.append((name, value.dtype if isinstance(value, Tensor) else repr(value)))
    return tuple(kind)


def _unflatten(features: dict[str, Any]) -> dict[str, Any]:
    """Flattened rows as padded ones, with an attention mask."""
    boundaries = features["cu_seq_lens_q"].long()
    lengths = boundaries.diff()
    width = int(lengths.max())
    is_token = torch.arange(width, device=lengths.device) < lengths[:, None]
    padded: dict[str, Any] = {"attention_mask": is_token.long()}
    for name, value in features.items():
        if isinstance(value, Tensor) and name not in _BOUNDARIES:
            padded[name] = value.new_zeros(is_token.shape).masked_scatter(is_token, value[0])
        elif not isinstance(value, Tensor) and name not in _BOUNDARIES:
            padded[name] = value
    return padded


def _concatenate(columns: list[dict[str, Any]], pad_id: int, padding: Padding) -> dict[str, Any]:
    """The rows of all columns, padded to the width of the widest."""
    width = max(features["input_ids"].shape[1] for features in columns)

    def padded(name: str, value: Tensor) -> Tensor:
        fill = pad_id if name == "input_ids" else 0
        lacking = width - value.shape[1]
        return torch.nn.functional.pad(value, (lacking, 0) if padding == "left" else (0, lacking), value=fill)

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
