"""The answer at the top of the report: a headline in words, three figures, and examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clear_ir.align.dev_scores import OWN_FIRST
from clear_ir.compare.comparison import CROSS_LINGUAL, ENGLISH, WORST, Difference
from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction
from clear_ir.data.languages import describe_direction, english_name
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.resampling import QuestionScores, interval
from clear_ir.evaluate.results import Results
from clear_ir.report.query_changes import QueryChange
from clear_ir.report.reported import Reported
from clear_ir.report.tables import format_range, worst_direction

#: Up to this number, languages are named in the headline.
MOST_NAMED = 4

# What a difference comes to, see `outcome`.
BETTER, WORSE, NO_CHANGE = "better", "worse", "no clear change"


@dataclass(frozen=True)
class Tile:
    """A figure that a reader should remember.

    Args:
        title: What it is of.
        number: The figure.
        unit: What it counts.
        interval: What is known of its error.
        verdict: What it comes to; empty if that is for the reader to say.
        test: The p-value of a change.
        detail: Which directions it is of.
    """

    title: str
    number: str
    unit: str
    interval: str
    verdict: str = ""
    test: str = ""
    detail: str = ""


def outcome(difference: Difference) -> str:
    """Whether a difference is a gain, a loss, or may be chance."""
    if not difference.significant:
        return NO_CHANGE
    return BETTER if difference.change > 0 else WORSE


def headline(reported: Reported) -> list[str]:
    """What a reader wants to know first.

    Args:
        reported: What the report is about.

    Returns:
        Some sentences for each model.
    """
    others = reported.comparison.others
    if not others:
        return [" ".join(_sentences([reported.base], reported.crossing, {}))]
    return [
        (f"{other.model}: " if len(others) > 1 else "")
        + " ".join(_sentences([reported.base, other], reported.crossing, reported.differences_of(other.model)))
        for other in others
    ]


def tiles(reported: Reported) -> list[Tile]:
    """The figures under the headline: of the best model against the base, or of a model alone.

    Args:
        reported: What the report is about.

    Returns:
        At most three.
    """
    if not reported.comparison.others:
        return list(_tiles_of_one(reported))
    best = reported.best
    summaries = reported.differences_of(best.model)
    if not summaries.keys() & {CROSS_LINGUAL, WORST, ENGLISH}:
        [alone] = summaries.values()
        return [_tile_of_change(describe_direction(alone.direction), alone)]
    worst = {results.model: describe_direction(worst_direction(results)) for results in (reported.base, best)}
    was, now = worst.values()
    across = f"mean of {len(reported.crossing)} directions"
    if len(reported.crossing) == 1:
        across = describe_direction(reported.crossing[0])
    details = {
        CROSS_LINGUAL: ("Across languages", across),
        WORST: ("Weakest languages", now if now == was else f"{now}; it was: {was}"),
        ENGLISH: ("English", describe_direction(ENGLISH_DIRECTION)),
    }
    return [_tile_of_change(title, summaries[name], at) for name, (title, at) in details.items() if name in summaries]


def examples(reported: Reported) -> list[QueryChange]:
    """Three questions whose ranking changed most: gains, if possible in two directions, and the largest loss."""
    gained, lost = reported.changed_queries.get(reported.best.model, ([], []))
    other_direction = [change for change in gained if change.direction != gained[0].direction]
    candidates = [*gained[:1], *lost[:1], *other_direction[:1], *gained[1:], *lost[1:]]
    chosen = list({(change.direction, change.query): change for change in candidates}.values())[:3]
    return sorted(chosen, key=lambda change: change.before - change.after)


def _sentences(
    models: Sequence[Results], crossing: Sequence[str], differences: Mapping[str, Difference]
) -> Iterator[str]:
    """How often the right passage stands first, across languages and in English, in one model or in two.

    Args:
        models: The models, the base first.
        crossing: The directions that cross languages.
        differences: Between two models, by summary and by direction.
    """
    across = differences.get(CROSS_LINGUAL)
    if crossing:
        unclear = f", {NO_CHANGE}" if across and not across.significant else ""
        yield f"{_found_first(crossing)}: {_shares(models, crossing)}{unclear}."
    within = [name for name in models[0].directions if name not in crossing]
    if not within:
        return
    chosen = max(within, key=lambda name: name == ENGLISH_DIRECTION)
    d = differences.get(ENGLISH if chosen == ENGLISH_DIRECTION else chosen)
    lang = english_name(parse_direction(chosen).query_lang)
    shown = {_shares([results], [chosen]) for results in models}
    if crossing and d and not d.significant and len(shown) == 1:
        yield f"{lang} unchanged: {shown.pop()}."
    else:
        what = f"In {lang}" if crossing else _found_first([chosen])
        yield f"{what}: {_shares(models, [chosen])}{f', {outcome(d)}' if d else ''}."


def _found_first(names: Sequence[str]) -> str:
    """The beginning of a sentence on some directions."""
    directions = [parse_direction(name) for name in names]
    query_langs = [english_name(lang) for lang in dict.fromkeys(d.query_lang for d in directions)]
    passage_langs = {d.passage_lang for d in directions}
    if len(passage_langs) > 1:
        return f"Across {len(passage_langs)} languages, the right passage comes first"
    who = f"{query_langs[0]} questions"
    if len(query_langs) > 1:
        listed = f"{', '.join(query_langs[:-1])} and {query_langs[-1]}"
        who = f"Questions in {listed if len(query_langs) <= MOST_NAMED else f'{len(query_langs)} languages'}"
    return f"{who} find the right {english_name(*passage_langs)} passage first"


def _shares(models: Sequence[Results], names: Sequence[str]) -> str:
    """How often the first passage is relevant, the mean over directions; of results that lack it, nDCG@10."""
    shares = [_share_found_first(results, names) for results in models]
    if None in shares:
        means = [np.mean([results.directions[name].mean(MAIN_MEASURE) for name in names]) for results in models]
        return f"{MAIN_MEASURE} × 100 is {' → '.join(f'{100 * mean:.1f}' for mean in means)}"
    return f"{' → '.join(f'{100 * (share or 0):.0f} %' for share in shares)} of the time"


def _share_found_first(results: Results, names: Sequence[str]) -> float | None:
    """Share of the queries whose first passage is relevant, the mean over directions; None if that is not known."""
    of_directions = [results.directions[name] for name in names]
    reciprocal_ranks = [of.values("RR@10") for of in of_directions]
    if any(len(values) < len(of.per_query) for values, of in zip(reciprocal_ranks, of_directions, strict=True)):
        return None
    return float(np.mean([np.mean(values == 1) for values in reciprocal_ranks]))


def _tile_of_change(title: str, d: Difference, detail: str = "") -> Tile:
    return Tile(
        title,
        f"{100 * d.base:.1f} → {100 * d.value:.1f}",
        f"{MAIN_MEASURE} × 100",
        f"{100 * d.change:+.1f}, 95 % interval {format_range(d.low, d.high, '+')}",
        outcome(d),
        f"p {_p(d)}",
        detail,
    )


def _p(d: Difference) -> str:
    return "< .001" if d.p_holm < 0.001 else f"= {d.p_holm:.3f}".replace("0.", ".", 1)


def _tiles_of_one(reported: Reported) -> Iterator[Tile]:
    [intervals] = reported.intervals.values()
    ordered = sorted(intervals, key=lambda name: intervals[name][0])
    ends = {"Strongest direction": ordered[-1], "Weakest direction": ordered[0]}
    for title, name in ends.items() if len(ordered) > 1 else [("The only direction", ordered[0])]:
        value, low, high = intervals[name]
        error = f"95 % interval {format_range(low, high)}"
        yield Tile(title, f"{100 * value:.1f}", f"{MAIN_MEASURE} × 100", error, detail=describe_direction(name))
    yield _language_bias(reported.base)


def _language_bias(results: Results) -> Tile:
    """Whether a model prefers passages in the question's language to their translations."""
    title = "Language bias"
    pools = {}
    for name, pool in results.mixed.items():
        direction = parse_direction(name)
        langs = direction.passage_lang.split("+")
        per_query = {query: values for query, values in pool.per_query.items() if OWN_FIRST in values}
        if per_query and len(langs) == 2 and direction.query_lang in langs:
            pools[name] = replace(pool, per_query=per_query)
    if not pools:
        return Tile(title, "–", "not measured", "", detail="No pool has passages and their translations.")
    scores = QuestionScores(pools, results.questions, OWN_FIRST)
    low, high = interval(scores.bootstrap().mean(axis=-1))
    verdict = "prefers the question's language" if low > 0.5 else "prefers the other language" if high < 0.5 else "none"
    return Tile(
        title,
        f"{100 * scores.means.mean():.0f} %",
        "find the passage in their own language before its translation",
        f"95 % interval {format_range(low, high)}",
        verdict,
        detail=f"50 % would be no bias; mean of {len(pools)} pools in two languages",
    )
