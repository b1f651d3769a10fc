"""A map for each language, for those who know the language of a query. The passages stay where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clear_ir.align.dev_scores import DevScores
from clear_ir.align.fitting import STRENGTHS, Fold
from clear_ir.align.maps import AffineMap, fit_ridge
from clear_ir.align.settings import AlignSettings
from clear_ir.align.texts import FEWEST_TEXTS, FittingVectors


@dataclass(frozen=True)
class MapsByLanguage:
    """Maps of queries towards their English translations, one for each language.

    Args:
        strength: How strongly each is held near the identity, see `fit_ridge`.
        maps: By language. English queries stay.
        scores: On the dev questions, each query moved by the map of its language.
    """

    strength: float
    maps: dict[str, AffineMap]
    scores: DevScores


def fit_by_language(vectors: FittingVectors, folds: Sequence[Fold], settings: AlignSettings) -> MapsByLanguage | None:
    """Fit a ridge map of the queries of each language towards the English ones.

    Nothing has to hold English queries in place, since they are not moved. So these maps may go further than one map
    for all languages.

    Args:
        vectors: To fit on.
        folds: To choose the strength by, the same for all languages.
        settings: `strength`; None tries several.

    Returns:
        The maps of the languages with enough pairs; None if there is no such language.
    """
    if max(Counter(vectors.langs).values(), default=0) < FEWEST_TEXTS:
        return None
    tried = [
        (DevScores.mean([fold.dev.score_by_language(_fit(fold.vectors, strength)) for fold in folds]), strength)
        for strength in (STRENGTHS if settings.strength is None else (settings.strength,))
    ]
    scores, strength = max(tried, key=lambda fit: fit[0].cross_lingual)
    return MapsByLanguage(strength, _fit(vectors, strength), scores)


def _fit(vectors: FittingVectors, strength: float) -> dict[str, AffineMap]:
    """The maps of the languages with enough pairs."""
    langs = np.array(vectors.langs)
    rows_of = {lang: np.flatnonzero(langs == lang) for lang in sorted(set(vectors.langs))}
    return {
        lang: fit_ridge(vectors.translations[rows], vectors.english[rows], strength)
        for lang, rows in rows_of.items()
        if len(rows) >= FEWEST_TEXTS
    }
