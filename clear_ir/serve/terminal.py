"""Rankings for a terminal: models side by side, the right passages and the moves marked."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from rich.text import Text as Styled

from clear_ir.serve.passage_index import Hit
from clear_ir.serve.rankings import Ranking

#: Letters of a passage that are looked at for its first line.
MOST_LETTERS = 400
#: Joiners without a picture that belong to the words of Persian, Hindi and others.
_JOINERS = "\u200c\u200d"


def first_line(text: str) -> str:
    """The first line of a text that holds anything, safe for a terminal.

    Args:
        text: Any text of a data set.

    Returns:
        One line. Characters that could steer a terminal or turn the reading direction are spaces.
    """
    begun = text[:MOST_LETTERS].strip()
    line = next((line for line in begun.splitlines() if line.strip()), "")
    safe = "".join(c if c in _JOINERS or unicodedata.category(c)[0] != "C" else " " for c in line)
    return " ".join(safe.split())


def move(rank: int, other_rank: int) -> str:
    """How far a passage moved against the other model: `+3` is three ranks up, `=` the same rank."""
    return f"{other_rank - rank:+d}" if rank != other_rank else "="


def render_rankings(rankings: Sequence[Ranking], right: AbstractSet[str]) -> str:
    """Rankings beside each other, as text for this terminal.

    Args:
        rankings: One or two. The moves in the first are against the second.
        right: Ids of the passages that are known to be right.

    Returns:
        Lines as wide as the terminal, with colours where it has them.
    """
    console = Console(highlight=False)
    table = Table(box=MARKDOWN, expand=True)
    table.add_column("rank", justify="right", no_wrap=True)
    for ranking in rankings:
        table.add_column(Styled(first_line(ranking.model)), ratio=1, no_wrap=True, overflow="ellipsis")
    for place in range(max(len(ranking.hits) for ranking in rankings)):
        cells = [_cell(ranking.hits[place], ranking.other_ranks, right) for ranking in rankings]
        table.add_row(str(place + 1), *cells)
    with console.capture() as captured:
        console.print(table)
    return _printable_here(captured.get().rstrip("\n"), console.encoding)


def _cell(hit: Hit, other_ranks: Mapping[str, int], right: AbstractSet[str]) -> Styled:
    """Two lines: what the passage is, and how it begins."""
    passage = hit.passage
    parts = [passage.lang, first_line(passage.id)]
    if passage.id in other_ranks:
        parts.insert(0, move(hit.rank, other_ranks[passage.id]))
    if passage.id in right:
        parts.insert(0, "RIGHT")
    cell = Styled("  ".join(parts), style="bold green" if passage.id in right else "bold")
    return cell.append("\n" + (first_line(passage.full_text) or "(empty)"), style="not bold default")


def _printable_here(text: str, encoding: str) -> str:
    """The text with ? for what the terminal's encoding lacks."""
    return text.encode(encoding, "replace").decode(encoding)
