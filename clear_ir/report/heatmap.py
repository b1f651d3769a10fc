"""Language x language heatmaps as HTML tables: numbers stay selectable, and a phone shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clear_ir.data.directions import parse_direction


@dataclass(frozen=True)
class Cell:
    """One direction in a heatmap.

    Args:
        text: The number; empty where there is no such direction.
        background: CSS colour.
        ink: CSS colour of the text on it.
    """

    text: str = ""
    background: str = "transparent"
    ink: str = "inherit"


@dataclass(frozen=True)
class Heatmap:
    """A table in colours: a row for each query language, a column for each passage language.

    Args:
        title: What is shown.
        passage_langs: The columns.
        rows: For each query language its name and its cells.
    """

    title: str
    passage_langs: list[str]
    rows: list[tuple[str, list[Cell]]]


def heatmap(title: str, values: Mapping[str, float], marked: Sequence[str] = (), difference: bool = False) -> Heatmap:
    """Colour a matrix of directions.

    Args:
        title: What is shown.
        values: By direction: scores from 0 to 1, or their differences.
        marked: Directions whose number gets a `*`.
        difference: The values are differences: brown for losses and teal for gains.

    Returns:
        The heatmap, numbers times 100. Colour-blind readers can tell its colours (cividis, BrBG) apart.
    """
    from matplotlib import colormaps

    parsed = {parse_direction(name): name for name in values}
    query_langs = _english_first({direction.query_lang for direction in parsed})
    passage_langs = _english_first({direction.passage_lang for direction in parsed})
    colours = colormaps["BrBG" if difference else "cividis"]
    largest = max((abs(value) for value in values.values()), default=0) or 1.0
    name_of = {(direction.query_lang, direction.passage_lang): name for direction, name in parsed.items()}

    def cell(query: str, passage: str) -> Cell:
        name = name_of.get((query, passage))
        if name is None:
            return Cell()
        value = values[name]
        # The ends of BrBG are too dark to read on.
        rgb = colours(0.5 + 0.4 * value / largest if difference else value, bytes=True)[:3]
        shown = round(100 * value, 1) + 0.0  # never -0.0
        text = f"{shown:{'+' if difference else ''}.1f}{'*' if name in marked else ''}"
        return Cell(text, "#{:02x}{:02x}{:02x}".format(*rgb), ink_on(rgb))

    rows = [(query, [cell(query, passage) for passage in passage_langs]) for query in query_langs]
    return Heatmap(title, passage_langs, rows)


def ink_on(background: Sequence[float]) -> str:
    """Black or white, whichever is easier to read: its contrast by WCAG 2 is 4.58 or more on any background.

    Args:
        background: Red, green and blue, from 0 to 255.
    """
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (part / 255 for part in background)
    )
    # Where black and white contrast alike: (L + 0.05) / 0.05 = 1.05 / (L + 0.05).
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.0525**0.5 - 0.05 else "#ffffff"


def _english_first(langs: set[str]) -> list[str]:
    return sorted(langs, key=lambda lang: (lang != "en", lang))
