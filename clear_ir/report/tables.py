"""Results as tables for people: terminal, Markdown and the report page share them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from clear_ir.compare.comparison import WORST, Comparison, Difference, Interval, gap_closed, summary_intervals
from clear_ir.data.languages import english_name, name_directions
from clear_ir.evaluate.measures import (
    FAMILIES,
    MAIN_MEASURE,
    MEASURES,
    Measure,
    MeasureFamily,
    find_measure,
    mteb_measures,
)
from clear_ir.evaluate.results import DirectionResult, Results


@dataclass(frozen=True)
class Table:
    """A table for people.

    Args:
        head: Names of the columns.
        rows: Cells as text.
        num_names: How many columns, from the left, hold names. They are aligned left, numbers right.
    """

    head: list[str]
    rows: list[list[str]]
    num_names: int = 1

    @property
    def named(self) -> Table:
        """The table with the names of languages in the place of directions."""
        rows = [[*map(name_directions, row[: self.num_names]), *row[self.num_names :]] for row in self.rows]
        return replace(self, rows=rows)

    def csv(self) -> str:
        """As a table for other programs, its lines separated as RFC 4180 has it."""
        text = io.StringIO()
        csv.writer(text).writerows([self.head, *self.rows])
        return text.getvalue()

    def markdown(self, padded: bool = True) -> str:
        """As a Markdown table.

        Args:
            padded: Make the cells of a column equally wide, so that it reads well as text. Long sentences are better
                not padded.
        """
        columns = range(len(self.head))
        widths = [max(len(row[i]) for row in [self.head, *self.rows]) if padded else 1 for i in columns]

        def line(cells: Sequence[str]) -> str:
            aligned = [
                cell.ljust(width) if i < self.num_names else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return "| " + " | ".join(aligned) + " |"

        rules = ["-" * (width + 2) if i < self.num_names else "-" * (width + 1) + ":" for i, width in enumerate(widths)]
        rule = "|" + "|".join(rules) + "|"
        return "\n".join([line(self.head), rule, *map(line, self.rows)]) + "\n"


def summary_table(base: Results, others: Sequence[Results], differences: Sequence[Difference]) -> Table:
    """Each model's summaries, times 100, with their intervals, and the change against the base.

    Args:
        base: The reference.
        others: The models compared.
        differences: As `clear_ir.compare.comparison.compare_summaries` gives them.

    Returns:
        One row for each summary and model; the worst direction is named.
    """
    models = {results.model: results for results in (base, *others)}

    def labelled(name: str, model: str) -> str:
        return f"{name} ({worst_direction(models[model])})" if name == WORST else name

    intervals = {model: summary_intervals(results) for model, results in models.items()}
    return _interval_table("summary", intervals, differences, labelled)


def directions_table(comparison: Comparison, intervals: Mapping[str, Mapping[str, Interval]]) -> Table:
    """nDCG@10 of each model by direction with its interval, the change against the base, and the gap closed.

    Args:
        comparison: The models and their differences.
        intervals: By model and direction, as `clear_ir.compare.comparison.score_intervals` gives them.

    Returns:
        One row for each direction and model. The gap closed is there if it can be told of any.
    """
    table = _interval_table("direction", intervals, comparison.directions, lambda name, model: name)
    others = {other.model: other for other in comparison.others}
    gaps = [
        gap_closed(comparison.base, others[model], direction) if model in others else None
        for direction, model, *_ in table.rows
    ]
    if not any(gap is not None for gap in gaps):
        return table
    closed = ["" if gap is None else f"{100 * gap:.0f} %" for gap in gaps]
    rows = [[*row, cell] for row, cell in zip(table.rows, closed, strict=True)]
    return replace(table, head=[*table.head, "gap closed"], rows=rows)


def _interval_table(
    what: str,
    intervals: Mapping[str, Mapping[str, Interval]],
    differences: Sequence[Difference],
    label: Callable[[str, str], str],
) -> Table:
    """Scores by model and name, times 100, with intervals and changes; the names stand under the heading `what`."""
    difference_of = {(d.model, d.direction): d for d in differences}
    rows = []
    for name in next(iter(intervals.values())):
        for model, of_model in intervals.items():
            value, low, high = of_model[name]
            row = [label(name, model), model, f"{100 * value:.1f}", format_range(low, high)]
            if len(intervals) > 1:
                d = difference_of.get((model, name))
                row += [*_change(d), f"{d.p_holm:.4f}"] if d else [""] * 3
            rows.append(row)
    head = [what, "model", MAIN_MEASURE, "95 % interval"]
    if len(intervals) > 1:
        head += ["change", "95 % interval", "p (Holm)"]
    return Table(head, rows, num_names=2)


def _change(d: Difference) -> list[str]:
    """A change and its interval, times 100."""
    return [f"{100 * d.change:+.1f}", format_range(d.low, d.high, "+")]


def worst_direction(results: Results) -> str:
    """The direction in which a model's nDCG@10 is lowest."""
    return min(results.directions, key=lambda direction: results.directions[direction].mean(MAIN_MEASURE))


def comparison_table(base: Results, others: Sequence[Results], differences: Sequence[Difference]) -> Table:
    """nDCG@10 of each model by direction, times 100, with the change against the base and its significance.

    Args:
        base: The reference.
        others: The models compared.
        differences: As `clear_ir.compare.comparison.compare_results` gives them.

    Returns:
        One row a direction; `*` marks a Holm-corrected p-value below .05.
    """
    difference_of = {(d.model, d.direction): d for d in differences}
    rows = []
    for direction, result in base.directions.items():
        row = [direction, str(len(result.per_query)), f"{100 * result.mean(MAIN_MEASURE):.1f}"]
        row += [with_change(difference_of[other.model, direction]) for other in others]
        rows.append(row)
    return Table(["direction", "queries", base.model, *(other.model for other in others)], rows)


def differences_table(
    differences: Sequence[Difference], base: Results | None = None, others: Sequence[Results] = ()
) -> Table:
    """Every difference with its interval and p-values, and the share of the gap closed where that can be told.

    Args:
        differences: As `clear_ir.compare.comparison.compare_results` gives them.
        base: The reference, for the gap closed.
        others: The models, for the gap closed.

    Returns:
        One row for each model and direction.
    """
    by_name = {other.model: other for other in others}
    rows, closed = [], []
    for d in differences:
        gap = gap_closed(base, by_name[d.model], d.direction) if base and d.model in by_name else None
        closed.append("" if gap is None else f"{100 * gap:.0f} %")
        rows.append([d.model, d.direction, *_change(d), f"{d.p:.4f}", f"{d.p_holm:.4f}"])
    head = ["model", "direction", "change", "95 % interval", "p", "p (Holm)"]
    if any(closed):
        head.append("gap closed")
        rows = [[*row, cell] for row, cell in zip(rows, closed, strict=True)]
    return Table(head, rows, num_names=2)


def measures_table(results: Sequence[Results]) -> Table:
    """Every measure of every model and direction with one language a side.

    Args:
        results: Of the models.

    Returns:
        One row for each model and direction; shares times 100. A cell is blank where the results lack the measure.
    """
    measures = [measure for measure in MEASURES.values() if measure.applies(mixed=False)]
    rows = []
    for result in results:
        for direction, scores in result.directions.items():
            cells = [cell for measure in measures for cell in _cells(scores, measure)]
            rows.append([result.model, direction, str(scores.num_passages), *cells])
    return Table(["model", "direction", "pool", *_headings(measures)], rows, num_names=2)


def mixed_table(results: Sequence[Results], differences: Sequence[Difference] = ()) -> Table:
    """Pools in several languages: the main measure, and those that such pools alone have.

    Args:
        results: Of the models.
        differences: As `clear_ir.compare.comparison.compare_results` gives them, of any measures.

    Returns:
        One row for each direction and model; shares times 100, ranks as they are, with the change where there is a
        difference. A cell is blank where the results lack the measure.
    """
    difference_of = {(d.model, d.direction, d.measure): d for d in differences}
    measures = [MEASURES[MAIN_MEASURE], *special_measures(mixed=True)]
    rows = []
    for direction in results[0].mixed:
        for result in results:
            scores = result.mixed[direction]
            row = [direction, result.model, str(len(scores.per_query))]
            for measure in measures:
                cells = _cells(scores, measure)
                if d := difference_of.get((result.model, direction, measure.name)):
                    cells[0] = with_change(d)
                row += cells
            rows.append(row)
    return Table(["direction", "model", "queries", *_headings(measures)], rows, num_names=2)


def special_measures(mixed: bool) -> list[Measure]:
    """The measures of pools in several languages alone (`mixed`), or of one language alone."""
    return [measure for measure in MEASURES.values() if measure.applies(mixed) and not measure.applies(not mixed)]


def family_table(results: Sequence[Results], family: MeasureFamily) -> Table:
    """A family of measures, one column a language, in the pools of several languages.

    Args:
        results: Of the models.
        family: Such as `clear_ir.evaluate.measures.ONE_TARGET_AP`.

    Returns:
        One row for each direction and model, times 100.
    """
    mixed = results[0].mixed
    langs = {lang for scores in mixed.values() for name in scores.measures if (lang := family.lang_in(name))}
    ordered = sorted(langs, key=lambda lang: (lang != "en", lang))
    measures = [family.measure(lang) for lang in ordered]
    rows = []
    for direction in mixed:
        for result in results:
            cells = [cell for measure in measures for cell in _cells(result.mixed[direction], measure)]
            rows.append([direction, result.model, *cells])
    named = [english_name(lang) for lang in ordered]
    return Table(["direction", "model", *named], rows, num_names=2)


def definitions_table(mixed: bool) -> Table:
    """What each measure is, for docs/measures.md.

    Args:
        mixed: The measures and families of pools in several languages alone, or else those of every pool.

    Returns:
        One row for each measure.
    """
    listed: list[Measure | MeasureFamily] = [m for m in MEASURES.values() if m.applies(mixed=False) != mixed]
    if mixed:
        listed += FAMILIES.values()
    rows = [[measure.label, measure.definition, measure.better, measure.source] for measure in listed]
    return Table(["measure", "definition for one query", "better", "source"], rows, num_names=4)


def space_table(results: Sequence[Results]) -> Table:
    """Alignment with English and uniformity by language, of queries and of passages."""
    rows = []
    for side in ("queries", "passages"):
        for lang in results[0].space.get(side, {}):
            for result in results:
                values = result.space.get(side, {}).get(lang, {})
                cells = [f"{values[name]:.3f}" if name in values else "" for name in ("alignment", "uniformity")]
                pairs = f"{values['pairs']:.0f}" if "pairs" in values else ""
                rows.append([f"{side}, {english_name(lang)}", result.model, *cells, pairs])
    return Table(["texts", "model", "alignment", "uniformity", "pairs"], rows, num_names=2)


def mteb_table(entries: Iterable[dict[str, Any]]) -> Table:
    """Scores times 100, one row for each task, split and subset.

    Args:
        entries: As `clear_ir.evaluate.mteb.evaluate_mteb` gives them.

    Returns:
        The table; the direction is empty where mteb does not tell queries from passages.
    """
    measures = list(mteb_measures())
    rows = [
        [entry["task"], entry["split"], entry["direction"] or "", entry["subset"]]
        + [f"{100 * entry[measure]:.1f}" for measure in measures]
        for entry in entries
    ]
    return Table(["task", "split", "direction", "mteb's subset", *measures], rows, num_names=4)


def with_change(d: Difference) -> str:
    """A score with its change in brackets, shares times 100; `*` marks a Holm-corrected p-value below .05."""
    measure = find_measure(d.measure) or MEASURES[MAIN_MEASURE]
    return f"{measure.format(d.value)} ({measure.format(d.change, '+')}{'*' if d.significant else ''})"


def format_range(low: float, high: float, sign: str = "") -> str:
    """An interval, times 100: `7.2 to 16.8`, or with `sign="+"` that of a difference."""
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"


def _headings(measures: Iterable[Measure]) -> list[str]:
    """The heading of each column of `_cells`."""
    return [
        heading
        for measure in measures
        for heading in ([measure.heading] if measure.unit == "share" else [measure.heading, "median"])
    ]


def _cells(scores: DirectionResult, measure: Measure) -> list[str]:
    """The mean, and of ranks the median; blank where no query has the measure."""
    values = scores.values(measure.name)
    mean = measure.format(float(values.mean())) if len(values) else ""
    if measure.unit == "share":
        return [mean]
    return [mean, f"{median(values):g}" if len(values) else ""]
