"""The embedding space across languages: alignment, uniformity, and a map of parallel texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from clear_ir.data.collection import Text

#: Texts of a language that uniformity compares at most; of more, an even sample is taken.
MOST_COMPARED = 1_000
#: Parallel texts on the map, at most.
MOST_ON_MAP = 60

Item = TypeVar("Item")


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance between translations on the unit sphere (Wang and Isola 2020, alpha = 2).

    Args:
        first: Shape (num_pairs, dim).
        second: Their translations, same shape.

    Returns:
        From 0, where all pairs coincide, to 4.
    """
    return float(np.mean(np.sum((unit(first) - unit(second)) ** 2, axis=1)))


def uniformity(vectors: np.ndarray) -> float:
    """Logarithm of the mean Gaussian potential of all pairs on the unit sphere (Wang and Isola 2020, t = 2).

    Args:
        vectors: Shape (num_texts, dim), two or more.

    Returns:
        0 where all texts coincide. Lower is more evenly spread.
    """
    directions = unit(vectors)
    squared = np.clip(2 - 2 * (directions @ directions.T), 0, 4)
    return float(np.log(np.mean(np.exp(-2 * squared[np.triu_indices(len(directions), k=1)]))))


def describe_space(texts: Sequence[Text], vectors: np.ndarray) -> dict[str, dict[str, Any]]:
    """Alignment with English and uniformity of each language.

    Args:
        texts: Queries, or passages, in several languages; translations share `parallel_id`.
        vectors: Their embeddings, shape (num_texts, dim).

    Returns:
        `{lang: {"alignment": ..., "pairs": ..., "uniformity": ...}}`. Alignment, and the number of pairs, are
        there if texts have an English translation, uniformity if there are two texts or more.
    """
    row_of = _rows_by_lang(texts)
    by_lang: dict[str, dict[str, Any]] = {}
    for lang, rows in sorted(row_of.items(), key=lambda item: (item[0] != "en", item[0])):
        values: dict[str, Any] = {}
        pairs = [(row_of["en"][key], row) for key, row in rows.items() if key in row_of.get("en", {})]
        if lang != "en" and pairs:
            english, other = (vectors[list(side)] for side in zip(*pairs, strict=True))
            values |= {"alignment": alignment(english, other), "pairs": len(pairs)}
        if len(rows) > 1:
            values["uniformity"] = uniformity(vectors[_even_sample(list(rows.values()), MOST_COMPARED)])
        by_lang[lang] = values
    return by_lang


def map_texts(texts: Sequence[Text], vectors: np.ndarray) -> dict[str, Any]:
    """Project parallel texts onto the plane in which they vary most (principal components).

    Args:
        texts: Queries in several languages; translations share `parallel_id`.
        vectors: Their embeddings, shape (num_texts, dim).

    Returns:
        `{"points": [{"text", "lang", "x", "y"}, ...], "explained": [share of x, share of y]}` for at most
        `MOST_ON_MAP` texts that exist in every language. Languages that share no text with English are left
        out. Empty if fewer than two languages or two texts remain.
    """
    row_of = _rows_by_lang(texts)
    english = row_of.get("en", {})
    langs = [lang for lang in sorted(row_of) if lang == "en" or english.keys() & row_of[lang].keys()]
    shared = [key for key in english if all(key in row_of[lang] for lang in langs)]
    if len(langs) < 2 or len(shared) < 2:
        return {}
    chosen = _even_sample(shared, MOST_ON_MAP)
    points = [(key, lang) for lang in langs for key in chosen]
    directions = unit(vectors[[row_of[lang][key] for key, lang in points]])
    centred = directions - directions.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    # The sign of an axis is arbitrary. The largest coordinate is made positive, so that every run draws the same map.
    axes = axes[:2] * np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    plane = centred @ axes.T
    total = float(np.sum(sizes**2)) or 1.0
    return {
        "points": [
            {"text": key, "lang": lang, "x": round(float(x), 5), "y": round(float(y), 5)}
            for (key, lang), (x, y) in zip(points, plane, strict=True)
        ],
        "explained": [round(float(size**2) / total, 4) for size in sizes[:2]],
    }


def _rows_by_lang(texts: Sequence[Text]) -> Mapping[str, dict[str, int]]:
    """The row of each text, by language and `parallel_id`; the first row if several have both in common."""
    row_of: dict[str, dict[str, int]] = {}
    for row, text in enumerate(texts):
        row_of.setdefault(text.lang, {}).setdefault(text.parallel_id or text.id, row)
    return row_of


def _even_sample(items: list[Item], most: int) -> list[Item]:
    """At most `most` of the items, evenly spread."""
    if len(items) <= most:
        return items
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, most).round()]


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors scaled to length 1, in float64. A vector of zeros stays.

    Args:
        vectors: Shape (num_vectors, dim).
    """
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0))
