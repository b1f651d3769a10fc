"""Some translations beside their texts, so that a person can judge them."""

from __future__ import annotations

from collections.abc import Sequence

from clear_ir.data.files import hash_of
from clear_ir.data.rows import ParallelRow

#: How many are shown.
NUM_SAMPLES = 20
#: Letters of a text that are shown.
_MOST_LETTERS = 100


def sample_rows(rows: Sequence[ParallelRow], number: int = NUM_SAMPLES) -> list[ParallelRow]:
    """Draw rows with distinct queries, the same ones in each run.

    Args:
        rows: The rows.
        number: How many to draw. Each language gets as many, as far as that is possible.

    Returns:
        The rows, in their order.
    """
    distinct = list({(row.lang, row.query): row for row in rows}.values())
    langs = list(dict.fromkeys(row.lang for row in distinct))
    # By a hash, so that neighbours, which are often alike, do not come together.
    drawn = sorted(distinct, key=lambda row: hash_of(row.lang, row.query))
    chosen: set[str] = set()
    for place, lang in enumerate(langs):
        share = number // len(langs) + (place < number % len(langs))
        chosen |= {row.id for row in [row for row in drawn if row.lang == lang][:share]}
    return [row for row in distinct if row.id in chosen]


def side_by_side(rows: Sequence[ParallelRow], number: int = NUM_SAMPLES) -> str:
    """Rows as text for a terminal: the English query above its translation.

    Args:
        rows: The rows.
        number: How many to show.

    Returns:
        Several lines.
    """
    lines = []
    for row in sample_rows(rows, number):
        lines.append(f"  {'en':<8}{_shortened(row.query)}\n  {row.lang:<8}{_shortened(row.cross_query)}")
    return "\n".join(["Samples:", *lines])


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _MOST_LETTERS else f"{words[:_MOST_LETTERS]}..."
