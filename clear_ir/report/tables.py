"""Results as tables for people: terminal, Markdown and the report page share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from clear_ir.compare.comparison import Difference, gap_closed, summary_intervals
from clear_ir.evaluate.measures import MEASURES, one_target
from clear_ir.evaluate.mteb import MTEB_MEASURES
from clear_ir.evaluate.results import DirectionResult, Results

MEASURE = "nDCG@10"


@dataclass(frozen=True)
class Table:
    """A table for people.

    Args:
        head: Names of the columns.
        rows: Cells as text.
        num_names: The first so many columns name things and stand left; numbers stand right.
    """

    head: list[str]
    rows: list[list[str]]
    num_names: int = 1

    def markdown(self) -> str:
        """As a Markdown table, padded so that it reads well as text."""
        widths = [max(len(row[i]) for row in [self.head, *self.rows]) for i in range(len(self.head))]

        def line(cells: Sequence[str]) -> str:
            padded = [
                cell.ljust(width) if i < self.num_names else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return "| " + " | ".join(padded) + " |"

        rules = ["-" * (w + 2) if i < self.num_names else "-" * (w + 1) + ":" for i, w in enumerate(widths)]
        rule = "|" + "|".join(rules) + "|"
        return "\n".join([line(self.head), rule, *map(line, self.rows)]) + "\n"


def summary_table(base: Results, others: Sequence[Results], differences: Sequence[Difference]) -> Table:
    """Each model's summaries, times 100, with their intervals, and the change against the base.

    Args:
        base: The reference.
        others: The models compared.
        differences: What :func:`clear_ir.compare.comparison.compare_summaries` found for them.

    Returns:
        One row for each summary and model; the worst direction is named.
    """
    of = {(d.model, d.direction): d for d in differences}
    intervals = {results.model: summary_intervals(results) for results in (base, *others)}
    rows = []
    for name in intervals[base.model]:
        for results in (base, *others):
            value, low, high = intervals[results.model][name]
            where = ""
            if name == "worst direction":
                where = f" ({min(results.directions, key=lambda d: results.directions[d].mean(MEASURE))})"
            row = [name + where, results.model, f"{100 * value:.1f}", _range(low, high)]
            if others:
                d = of.get((results.model, name))
                row += [f"{100 * d.change:+.1f}", _range(d.low, d.high, "+"), f"{d.p_holm:.4f}"] if d else [""] * 3
            rows.append(row)
    head = ["summary", "model", MEASURE, "95 % interval"]
    return Table(head + ["change", "95 % interval", "p (Holm)"] * bool(others), rows, num_names=2)


def comparison_table(base: Results, others: Sequence[Results], differences: Sequence[Difference]) -> Table:
    """nDCG@10 of each model by direction, times 100, with the change against the base and its significance.

    Args:
        base: The reference.
        others: The models compared.
        differences: What :func:`clear_ir.compare.comparison.compare_results` found for them.

    Returns:
        One row a direction; ``*`` marks a Holm-corrected p-value below .05.
    """
    of = {(d.model, d.direction): d for d in differences}
    rows = []
    for direction, result in base.directions.items():
        row = [direction, str(len(result.per_query)), f"{100 * result.mean(MEASURE):.1f}"]
        row += [with_change(of[other.model, direction]) for other in others]
        rows.append(row)
    return Table(["direction", "queries", base.model, *(other.model for other in others)], rows)


def differences_table(
    differences: Sequence[Difference], base: Results | None = None, others: Sequence[Results] = ()
) -> Table:
    """Every difference with its interval and p-values, and the share of the gap closed where that can be told.

    Args:
        differences: As :func:`clear_ir.compare.comparison.compare_results` found them.
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
        change = [f"{100 * d.change:+.1f}", _range(d.low, d.high, "+"), f"{d.p:.4f}", f"{d.p_holm:.4f}"]
        rows.append([d.model, d.direction, *change])
    head = ["model", "direction", "change", "95 % interval", "p", "p (Holm)"]
    if any(closed):
        head.append("gap closed")
        rows = [[*row, cell] for row, cell in zip(rows, closed, strict=True)]
    return Table(head, rows, num_names=2)


def measures_table(results: Sequence[Results]) -> Table:
    """Every measure of every model and direction, times 100."""
    rows = [
        [result.model, direction, str(scores.num_passages), *(f"{100 * scores.mean(m):.1f}" for m in MEASURES)]
        for result in results
        for direction, scores in result.directions.items()
    ]
    return Table(["model", "direction", "pool", *MEASURES], rows, num_names=2)


def mixed_table(results: Sequence[Results], differences: Sequence[Difference] = ()) -> Table:
    """Mixed-language pools: how complete, how far down, which language first.

    Args:
        results: Of the models.
        differences: Of nDCG@10 and Complete@10, as :func:`clear_ir.compare.comparison.compare_results` found them.

    Returns:
        One row for each direction and model; shares times 100, with the change where there is a difference.
    """
    of = {(d.model, d.direction, d.measure): d for d in differences}
    rows = []
    for direction in results[0].mixed:
        for result in results:
            scores = result.mixed[direction]
            shares = [
                with_change(of[result.model, direction, measure])
                if (result.model, direction, measure) in of
                else f"{100 * scores.mean(measure):.1f}"
                for measure in (MEASURE, "Complete@10")
            ]
            ranks = scores.values("last_rank")
            depth = [f"{ranks.mean():.1f}", f"{median(ranks):g}"]
            bias = [_share(scores, measure) for measure in ("own_language_first", "english_irrelevant@10")]
            rows.append([direction, result.model, str(len(scores.per_query)), *shares, *depth, *bias])
    head = ["direction", "model", "queries", MEASURE, "Complete@10", "last rank, mean", "median"]
    return Table([*head, "own language first", "English of irrelevant"], rows, num_names=2)


def one_target_table(results: Sequence[Results]) -> Table:
    """One-target average precision by passage language in the pools of several languages, times 100."""
    mixed = results[0].mixed
    found = {m for scores in mixed.values() for m in scores.extra_measures if m.startswith("one_target")}
    langs = sorted((m[len("one_target_AP(") : -1] for m in found), key=lambda lang: (lang != "en", lang))
    rows = [
        [direction, result.model, *(_share(result.mixed[direction], one_target(lang)) for lang in langs)]
        for direction in mixed
        for result in results
    ]
    return Table(["direction", "model", *(f"p-{lang}" for lang in langs)], rows, num_names=2)


def space_table(results: Sequence[Results]) -> Table:
    """Alignment with English and uniformity by language, of queries and of passages."""
    rows = []
    for side in ("queries", "passages"):
        for lang in results[0].space.get(side, {}):
            for result in results:
                values = result.space.get(side, {}).get(lang, {})
                cells = [f"{values[name]:.3f}" if name in values else "" for name in ("alignment", "uniformity")]
                rows.append([f"{side}, {lang}", result.model, *cells, str(values.get("pairs", ""))])
    return Table(["texts", "model", "alignment", "uniformity", "pairs"], rows, num_names=2)


def mteb_table(entries: Iterable[dict[str, Any]]) -> Table:
    """Scores times 100, one row for each task, split and subset.

    Args:
        entries: As :func:`clear_ir.evaluate.mteb.evaluate_mteb` gives them.

    Returns:
        The table; the direction is empty where mteb does not tell queries from passages.
    """
    rows = [
        [entry["task"], entry["split"], entry["direction"] or "", entry["subset"]]
        + [f"{100 * entry[measure]:.1f}" for measure in MTEB_MEASURES]
        for entry in entries
    ]
    return Table(["task", "split", "direction", "mteb's subset", *MTEB_MEASURES], rows, num_names=4)


def with_change(d: Difference) -> str:
    """A score times 100 with its change in brackets; ``*`` marks a Holm-corrected p-value below .05."""
    return f"{100 * d.value:.1f} ({100 * d.change:+.1f}{'*' if d.significant else ''})"


def _range(low: float, high: float, sign: str = "") -> str:
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"


def _share(scores: DirectionResult, measure: str) -> str:
    return f"{100 * scores.mean(measure):.1f}" if len(scores.values(measure)) else ""
