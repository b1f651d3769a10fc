"""Results as a page: tables and figures in one self-contained HTML file, the same tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_ir.comparison import Difference, bootstrap_interval, compare_results
from clear_ir.evaluation import MEASURES, Results
from clear_ir.figures import bar_chart, loss_curves
from clear_ir.files import InputError, new_folder, write_json, write_text

TEMPLATES = Path(__file__).resolve().parent / "templates"
MEASURE = "nDCG@10"
#: The file that marks a report folder.
REPORT_FILE = "report.html"

TrainLog = list[dict[str, Any]]


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


def comparison_table(base: Results, others: Sequence[Results], differences: Sequence[Difference]) -> Table:
    """nDCG@10 of each model by direction, times 100, with the change against the base and its significance.

    Args:
        base: The reference.
        others: The models compared.
        differences: What :func:`clear_ir.comparison.compare_results` found for them.

    Returns:
        One row a direction; ``*`` marks a Holm-corrected p-value below .05.
    """
    of = {(d.model, d.direction): d for d in differences}
    rows = []
    for direction, result in base.directions.items():
        row = [direction, str(len(result.per_query)), f"{100 * result.mean(MEASURE):.1f}"]
        for other in others:
            d = of[other.model, direction]
            row.append(f"{100 * d.value:.1f} ({100 * d.change:+.1f}{'*' if d.significant else ''})")
        rows.append(row)
    return Table(["direction", "queries", base.model, *(other.model for other in others)], rows)


def differences_table(differences: Sequence[Difference]) -> Table:
    """Every difference with its interval and p-values."""
    rows = [
        [
            d.model,
            d.direction,
            f"{100 * d.change:+.1f}",
            f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
            f"{d.p:.4f}",
            f"{d.p_holm:.4f}",
        ]
        for d in differences
    ]
    return Table(["model", "direction", "change", "95 % interval", "p", "p (Holm)"], rows, num_names=2)


def measures_table(results: Sequence[Results]) -> Table:
    """Every measure of every model and direction, times 100."""
    rows = [
        [result.model, direction, str(scores.num_passages), *(f"{100 * scores.mean(m):.1f}" for m in MEASURES)]
        for result in results
        for direction, scores in result.directions.items()
    ]
    return Table(["model", "direction", "pool", *MEASURES], rows, num_names=2)


def render_report(
    folder: Path,
    base: Results,
    others: Sequence[Results],
    train_logs: dict[str, TrainLog] | None = None,
    overwrite: bool = False,
) -> list[Difference]:
    """Write ``report.html``, ``report.md`` and ``comparison.json``.

    Args:
        folder: Where; refused if it holds anything but an earlier report.
        base: The reference.
        others: The models compared with it.
        train_logs: Training logs by model, for the loss curves.
        overwrite: Replace an earlier report.

    Returns:
        The differences shown.

    Raises:
        InputError: If two models share a name, the data differ, or the folder is taken.
    """
    import jinja2

    check_names([base, *others])
    differences = compare_results(base, others)
    main = comparison_table(base, others, differences)
    sections = [
        (
            "Scores by direction",
            main,
            "nDCG@10 times 100; change against the base in brackets, * where p (Holm) < .05.",
        ),
    ]
    if differences:
        note = (
            "Change of nDCG@10 in points with its 95 % bootstrap interval over queries; two-sided p-value of a paired "
            "permutation test, alone and corrected by Holm over all rows."
        )
        sections.append(("Differences", differences_table(differences), note))
    note = "Times 100; scored by pytrec_eval's rules. pool: passages to choose from."
    sections.append(("All measures", measures_table([base, *others]), note))
    headline = _headline(differences)
    with new_folder(folder, REPORT_FILE, overwrite) as partial:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
        )
        page = environment.get_template("report.html").render(
            data=base.data,
            split=base.split,
            headline=headline,
            bars=bar_chart({result.model: score_intervals(result) for result in [base, *others]}),
            curves=loss_curves(train_logs) if train_logs else "",
            sections=sections,
            models=[base, *others],
        )
        write_text(partial / REPORT_FILE, page)
        parts = [f"# {base.data}, {base.split}\n", *(f"{sentence}\n" for sentence in headline)]
        parts += [f"## {title}\n\n{note}\n\n{table.markdown()}" for title, table, note in sections]
        write_text(partial / "report.md", "\n".join(parts))
        write_json(partial / "comparison.json", [vars(difference) for difference in differences])
    return differences


def score_intervals(results: Results) -> dict[str, tuple[float, float, float]]:
    """nDCG@10 by direction with its 95 % bootstrap interval over queries."""
    found = {}
    for direction, result in results.directions.items():
        scores = [values[MEASURE] for values in result.per_query.values()]
        found[direction] = (result.mean(MEASURE), *bootstrap_interval(scores))
    return found


def check_names(results: Sequence[Results]) -> None:
    """Refuse models that tables could not tell apart.

    Raises:
        InputError: If two have one name.
    """
    names = [result.model for result in results]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"Two results are named {double!r}; evaluate one of them again with another --name.")


def _headline(differences: Sequence[Difference]) -> list[str]:
    """What a person wants to know first, a sentence for each model."""
    sentences = []
    for model in dict.fromkeys(d.model for d in differences):
        own = [d for d in differences if d.model == model]
        crossing = [d for d in own if d.direction != "q-en.p-en" and _crosses(d.direction)]
        english = [d for d in own if d.direction == "q-en.p-en"]
        parts = []
        if crossing:
            change = sum(d.change for d in crossing) / len(crossing)
            gained = sum(d.significant and d.change > 0 for d in crossing)
            parts.append(
                f"{100 * change:+.1f} points of nDCG@10 on average across languages "
                f"({gained} of {len(crossing)} directions significantly better)"
            )
        if english:
            verdict = "significant" if english[0].significant else "not significant"
            parts.append(f"{100 * english[0].change:+.1f} points in English ({verdict})")
        sentences.append(f"{model}: {'; '.join(parts) or 'see the table'}.")
    return sentences


def _crosses(direction: str) -> bool:
    query, passage = direction.split(".")
    return query[2:] != passage[2:]
