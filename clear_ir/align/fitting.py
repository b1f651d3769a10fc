"""Fit the maps of every method, try them on the dev questions, and choose."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from clear_ir.align.dev_scores import DevQuestions, DevScores
from clear_ir.align.maps import (
    SideMaps,
    fit_procrustes,
    fit_projection,
    fit_ridge,
    fit_shift,
    language_directions,
)
from clear_ir.align.settings import AlignSettings
from clear_ir.align.texts import FEWEST_TEXTS, FittingVectors
from clear_ir.data.files import InputError

#: Strengths that are tried.
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
#: Weights of English queries that are tried.
ENGLISH_WEIGHTS = (0.5, 1.0, 2.0)
#: Numbers of directions that are tried, at most.
MOST_DIRECTIONS = 8


@dataclass(frozen=True)
class Fold:
    """Texts to fit on, and questions on others to choose by.

    Args:
        vectors: To fit on.
        dev: To choose by.
    """

    vectors: FittingVectors
    dev: DevQuestions


@dataclass(frozen=True)
class Fitted:
    """Maps of one method with certain settings, and what they give.

    Args:
        method: Name of the method; `base` for no maps.
        chosen: Settings of the method by name.
        maps: The maps.
        scores: On the dev questions.
    """

    method: str
    chosen: dict[str, float]
    maps: SideMaps
    scores: DevScores


@dataclass(frozen=True)
class Choice:
    """What was tried, and the best of it.

    Args:
        base: The encoder as it is.
        tried: The best of each method, in the order of `METHODS`.
        best: The best that keeps English and the monolingual mean; the base if none is better.
        notes: What is worth knowing, a sentence each.
    """

    base: Fitted
    tried: list[Fitted]
    best: Fitted
    notes: list[str] = field(default_factory=list)


Fits = Iterator[tuple[dict[str, float], SideMaps]]


def _projections(vectors: FittingVectors, settings: AlignSettings) -> Fits:
    """Removes the directions in which the languages differ, on both sides."""
    directions = language_directions(vectors.means)
    for count in _counts(len(directions), vectors, settings):
        project = fit_projection(directions[:count])
        yield {"directions": count}, SideMaps(project, project)


def _shifts(vectors: FittingVectors, settings: AlignSettings) -> Fits:
    """Gives queries the English mean in these directions."""
    directions = language_directions(vectors.means)
    for count in _counts(len(directions), vectors, settings):
        yield {"directions": count}, SideMaps(fit_shift(directions[:count], vectors.means["en"]))


def _ridges(vectors: FittingVectors, settings: AlignSettings, passages: bool = False) -> Fits:
    """Maps queries towards their English translations, and leaves English queries where they are."""
    strengths = STRENGTHS if settings.strength is None else (settings.strength,)
    weights = ENGLISH_WEIGHTS if settings.english_weight is None else (settings.english_weight,)
    others = [vectors.english, *([vectors.passages] if passages and len(vectors.passages) else [])]
    sources = np.concatenate([vectors.translations, *others])
    targets = np.concatenate([vectors.english, *others])
    for strength, weight in itertools.product(strengths, weights):
        shares = [np.full(len(of_kind), weight / len(of_kind)) for of_kind in others]
        of_pairs = np.full(len(vectors.translations), 1 / len(vectors.translations))
        ridge = fit_ridge(sources, targets, strength, np.concatenate([of_pairs, *shares]))
        yield {"strength": strength, "english_weight": weight}, SideMaps(ridge, ridge if passages else None)


def _ridges_of_both_sides(vectors: FittingVectors, settings: AlignSettings) -> Fits:
    """The same, for passages too; English passages are left where they are."""
    return _ridges(vectors, settings, passages=True)


def _rotations(vectors: FittingVectors, settings: AlignSettings) -> Fits:
    """Rotates queries onto their English translations."""
    yield {}, SideMaps(fit_procrustes(vectors.translations, vectors.english))


def _projected_ridges(vectors: FittingVectors, settings: AlignSettings) -> Fits:
    """Projects, then maps."""
    for projected, first in _projections(vectors, settings):
        assert first.query is not None
        english, others, passages = (
            first.query.unscaled(of_kind) for of_kind in (vectors.english, vectors.translations, vectors.passages)
        )
        moved = replace(vectors, english=english, translations=others, passages=passages)
        for chosen, maps in _ridges(moved, settings, passages=True):
            both = maps.after(first)
            yield projected | chosen, SideMaps(both.query, both.query)


def _counts(most: int, vectors: FittingVectors, settings: AlignSettings) -> list[int]:
    """Numbers of directions to try: all, or `MOST_DIRECTIONS` evenly spread."""
    if (wanted := settings.directions) is not None:
        if wanted > most:
            raise InputError(
                f"directions is {wanted}, but the means of {len(vectors.means)} languages differ in {most}; give "
                "fewer, or texts in more languages.",
                "directions",
                begins_with_setting=True,
            )
        return [wanted]
    return sorted({round(count) for count in np.linspace(1, most, min(most, MOST_DIRECTIONS))})


#: What each method tries.
METHODS: dict[str, Callable[[FittingVectors, AlignSettings], Fits]] = {
    "project": _projections,
    "shift": _shifts,
    "map": _ridges,
    "map-both": _ridges_of_both_sides,
    "procrustes": _rotations,
    "project+map": _projected_ridges,
}
#: Those that need the mean of each language, and those that need pairs.
NEED_MEANS, NEED_PAIRS = {"project", "shift", "project+map"}, {"map", "map-both", "procrustes", "project+map"}
#: Methods that begin with another one, whose best number of directions they take.
BEGIN_WITH = {"project+map": "project"}


def choose_maps(
    vectors: FittingVectors,
    folds: Sequence[Fold],
    settings: AlignSettings,
    report: Callable[[str], None] | None = None,
) -> Choice:
    """Choose the method, or the settings of the one that is named, by the dev questions, and fit the maps.

    Args:
        vectors: What the maps are fitted on in the end.
        folds: To choose by: the mean over them counts.
        settings: Method and limits. What they leave open is tried.
        report: Called with the name of each method before it is tried.

    Returns:
        The choice. Of equal maps the earlier method is chosen.

    Raises:
        InputError: If the method cannot be fitted on the texts.
    """
    base = Fitted("base", {}, SideMaps(), DevScores.mean([fold.dev.score(SideMaps()) for fold in folds]))
    named = [*METHODS] if settings.method == "auto" else [settings.method]
    of_each = ", in each part of the rows" if len(folds) > 1 else ""
    reasons = {name: reason for name in named for fold in folds if (reason := _why_not(name, fold.vectors, of_each))}
    if settings.method in reasons:
        raise InputError(f"The method {settings.method} cannot be fitted: {reasons[settings.method]}.", "rows")
    best_of: dict[str, Fitted] = {}
    for name in named:
        for part in (BEGIN_WITH.get(name), name):
            if part is None or part in best_of or name in reasons:
                continue
            if report:
                report(part)
            begin = best_of.get(BEGIN_WITH.get(part, ""))
            fixed = settings.model_copy(update={"directions": begin.chosen["directions"]}) if begin else settings
            best = _best(_try(part, folds, fixed), base, settings.max_loss)
            best_of[part] = replace(best, maps=refit(best, vectors))
    tried = [best_of[name] for name in named if name in best_of]
    notes = [f"{name} was not tried: {reason}." for name, reason in reasons.items()]
    if vectors.few:
        langs = ", ".join(f"{lang} {count}" for lang, count in vectors.few.items())
        notes.append(f"Languages with fewer than {FEWEST_TEXTS} texts have no mean of their own: {langs}.")
    aim = base.scores.aim
    better = [fit for fit in tried if fit.scores.aim > aim and fit.scores.keeps(base.scores, settings.max_loss)]
    return Choice(base, tried, _best(better, base, settings.max_loss) if better else base, notes)


def _try(method: str, folds: Sequence[Fold], settings: AlignSettings) -> list[Fitted]:
    """A method with all settings that can be fitted in each fold, and the mean scores.

    The maps of the folds are not kept: those of a large encoder, for all settings, would fill the memory.
    """
    tried: dict[tuple[tuple[str, float], ...], list[DevScores]] = {}
    for fold in folds:
        for chosen, maps in METHODS[method](fold.vectors, settings):
            tried.setdefault(tuple(chosen.items()), []).append(fold.dev.score(maps))
    return [
        Fitted(method, dict(chosen), SideMaps(), DevScores.mean(scores))
        for chosen, scores in tried.items()
        if len(scores) == len(folds)
    ]


def refit(fitted: Fitted, vectors: FittingVectors) -> SideMaps:
    """Fit the maps of a method on other texts, with the settings that were chosen.

    Args:
        fitted: The method and its settings.
        vectors: To fit on.
    """
    [(_, maps)] = METHODS[fitted.method](vectors, AlignSettings.model_validate(fitted.chosen))
    return maps


def _why_not(name: str, vectors: FittingVectors, of_each: str) -> str:
    """Why a method cannot be fitted; empty if it can."""
    if name in NEED_PAIRS and not len(vectors.english):
        return "it needs texts with their English translations"
    if name in NEED_MEANS:
        if "en" not in vectors.means or len(vectors.means) < 2:
            return f"it needs {FEWEST_TEXTS} texts or more in English and in another language{of_each}"
        if not len(language_directions(vectors.means)):
            return "the means of the languages do not differ"
    return ""


def _best(fits: list[Fitted], base: Fitted, max_loss: float) -> Fitted:
    """The highest aim among those that keep English and the monolingual mean, or among all if none does."""
    keeping = [fit for fit in fits if fit.scores.keeps(base.scores, max_loss)]
    return max(keeping or fits, key=lambda fit: fit.scores.aim)
