"""Results as a page: tables and figures in one self-contained HTML file, the same tables in Markdown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_ir.comparison import Difference, bootstrap_interval, compare_results
from clear_ir.evaluation import MEASURES, Results
from clear_ir.files import InputError, new_folder, write_json, write_text

TEMPLATES = Path(__file__).resolve().parent / "templates"
#: Okabe and Ito's palette, told apart by colour-blind readers.
COLOURS = ("#7f7f7f", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
MEASURE = "nDCG@10"
#: The file that marks a report folder.
REPORT_FILE = "report.html"

TrainLog = list[dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """A table for people: a head and rows of text."""

    head: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """As a Markdown table, first column left, the others right, padded so that it reads well as text."""
        widths = [max(len(row[i]) for row in [self.head, *self.rows]) for i in range(len(self.head))]

        def line(cells: Sequence[str]) -> str:
            first, *rest = (
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            return "| " + " | ".join([first, *rest]) + " |"

        rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
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
    return Table(["model", "direction", "change", "95 % interval", "p", "p (Holm)"], rows)


def measures_table(results: Sequence[Results]) -> Table:
    """Every measure of every model and direction, times 100."""
    rows = [
        [result.model, direction, str(scores.num_passages), *(f"{100 * scores.mean(m):.1f}" for m in MEASURES)]
        for result in results
        for direction, scores in result.directions.items()
    ]
    return Table(["model", "direction", "pool", *MEASURES], rows)


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
            bars=bar_chart([base, *others]),
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


def bar_chart(results: Sequence[Results]) -> str:
    """nDCG@10 of each model by direction with 95 % bootstrap intervals over queries.

    Args:
        results: The models, the base first.

    Returns:
        An SVG element.
    """
    directions = list(results[0].directions)
    with _figure(max(6.0, 0.9 * len(directions) + 0.35 * len(directions) * len(results)), 3.6) as (figure, axes):
        width = 0.8 / len(results)
        for i, result in enumerate(results):
            values = [list(result.directions[d].per_query.values()) for d in directions]
            scores = [[100 * value[MEASURE] for value in found] for found in values]
            means = [sum(found) / len(found) for found in scores]
            intervals = [bootstrap_interval(found) for found in scores]
            errors = [
                [mean - low for mean, (low, _) in zip(means, intervals, strict=True)],
                [high - mean for mean, (_, high) in zip(means, intervals, strict=True)],
            ]
            places = [x + (i - (len(results) - 1) / 2) * width for x in range(len(directions))]
            colour = COLOURS[i % len(COLOURS)]
            bars = axes.bar(places, means, width * 0.92, color=colour, label=result.model)
            axes.errorbar(places, means, yerr=errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
            axes.bar_label(bars, [f"{mean:.0f}" for mean in means], label_type="center", color="white", fontsize=8)
        axes.set_xticks(range(len(directions)), directions)
        axes.set_ylabel("nDCG@10 x 100")
        axes.set_ylim(0, 100)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=len(results), frameon=False)
        return _svg(figure, "Bars of nDCG@10 by direction and model; the numbers stand in the tables below.")


def loss_curves(train_logs: dict[str, TrainLog]) -> str:
    """The training loss of each model, and its unweighted terms where there are several.

    Args:
        train_logs: Log entries by model.

    Returns:
        An SVG element.
    """
    with _figure(7.5, 3.2) as (figure, axes):
        for i, (model, log) in enumerate(train_logs.items()):
            entries = [entry for entry in log if "loss" in entry]
            steps = [entry["step"] for entry in entries]
            axes.plot(steps, [entry["loss"] for entry in entries], color=COLOURS[(i + 1) % 8], label=model, lw=1.8)
            terms = sorted(
                {key for entry in entries for key in entry if key.startswith("clear/") and "weig" not in key}
            )
            if len(train_logs) == 1 and len(terms) > 1:
                for term, style in zip(terms, ("--", ":", "-.", (0, (1, 3))), strict=False):
                    values = [entry.get(term) for entry in entries]
                    axes.plot(steps, values, ls=style, color=COLOURS[0], lw=1.2, label=term.removeprefix("clear/"))
        axes.set_xlabel("step")
        axes.set_ylabel("training loss")
        axes.set_ylim(bottom=0)
        axes.grid(color="#dddddd", linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=5, frameon=False)
        return _svg(figure, "Training loss by step.")


class _figure:
    """A matplotlib figure that is drawn without a screen and closed again."""

    def __init__(self, width: float, height: float) -> None:
        self.size = (width, height)

    def __enter__(self) -> tuple[Any, Any]:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        self.context = rc_context({"svg.fonttype": "none", "svg.hashsalt": "clear-ir", "font.family": "sans-serif"})
        self.context.__enter__()
        figure = Figure(figsize=self.size, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        return figure, axes

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(None, None, None)


def _svg(figure: Any, description: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
