"""Results as a page: one self-contained HTML file without scripts, and the same tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clear_ir.compare.comparison import (
    Difference,
    compare_results,
    compare_summaries,
    score_intervals,
    summary_intervals,
)
from clear_ir.data.collection import Collection
from clear_ir.data.directions import parse_direction
from clear_ir.data.files import InputError, new_folder, write_json, write_text
from clear_ir.evaluate.results import Results
from clear_ir.report import tables
from clear_ir.report.figures import bar_chart, loss_curves, text_maps
from clear_ir.report.heatmap import Heatmap, heatmap
from clear_ir.report.query_changes import QueryChange, largest_changes
from clear_ir.report.tables import MEASURE, Table

TEMPLATES = Path(__file__).resolve().parent / "templates"
#: The file that marks a report folder.
REPORT_FILE = "report.html"
#: Bars of so many directions are readable side by side; with more, the summaries and q-L.p-en stand for them.
MOST_BARS = 9

TrainLog = list[dict[str, Any]]


@dataclass
class Section:
    """A part of the report.

    Args:
        title: Its heading.
        note: What is shown, in a sentence or two.
        table: For page and Markdown, if it is a table.
        figure: An SVG element, for the page.
        heatmaps: Tables in colours, for the page.
        changes: Queries that changed, for the page, and the names of the two models.
        folded: Whether the page shows it only on demand.
    """

    title: str
    note: str
    table: Table | None = None
    figure: str = ""
    heatmaps: Sequence[Heatmap] = ()
    changes: tuple[Sequence[QueryChange], Sequence[str]] = ((), ())
    folded: bool = False


def render_report(
    folder: Path,
    base: Results,
    others: Sequence[Results],
    train_logs: dict[str, TrainLog] | None = None,
    overwrite: bool = False,
    collection: Collection | None = None,
) -> list[Difference]:
    """Write ``report.html``, ``report.md`` and ``comparison.json``.

    Args:
        folder: Where; refused if it holds anything but an earlier report.
        base: The reference.
        others: The models compared with it.
        train_logs: Training logs by model, for the loss curves.
        overwrite: Replace an earlier report.
        collection: What was evaluated, for the texts of the queries that changed most; None leaves them out.

    Returns:
        The differences by direction.

    Raises:
        InputError: If two models share a name, the data differ, or the folder is taken.
    """
    import jinja2

    check_names([base, *others])
    differences = compare_results(base, others)
    summaries = compare_summaries(base, others)
    mixed = [d for m in (MEASURE, "Complete@10") for d in compare_results(base, others, m, mixed=True)]
    sections = _sections(base, others, differences, summaries, mixed)
    if train_logs:
        note = "The loss as trained on; where one model is shown, its single terms unweighted."
        sections.append(Section("Training", note, figure=loss_curves(train_logs)))
    if collection:
        sections += _changed_queries(base, others, collection)
    headline = _headline(summaries, differences)
    with new_folder(folder, REPORT_FILE, overwrite) as partial:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        page = environment.get_template("report.html").render(
            data=base.data, split=base.split, headline=headline, sections=sections, models=[base, *others]
        )
        write_text(partial / REPORT_FILE, page)
        parts = [f"# {base.data}, {base.split}\n", *(f"{sentence}\n" for sentence in headline)]
        parts += [f"## {part.title}\n\n{part.note}\n\n{part.table.markdown()}" for part in sections if part.table]
        write_text(partial / "report.md", "\n".join(parts))
        compared = {"directions": differences, "summaries": summaries, "mixed": mixed}
        write_json(partial / "comparison.json", {name: [asdict(d) for d in found] for name, found in compared.items()})
    return differences


def _sections(
    base: Results,
    others: Sequence[Results],
    differences: Sequence[Difference],
    summaries: Sequence[Difference],
    mixed: Sequence[Difference],
) -> list[Section]:
    models = [base, *others]
    interval = "95 % bootstrap interval over questions"
    test = "two-sided p-value of a paired permutation test"
    sections = [
        Section(
            "Summary",
            f"nDCG@10 times 100 with its {interval}; change against the base; {test}, corrected by Holm over "
            "all rows. Monolingual: mean of the directions with one language; cross-lingual: of the others.",
            tables.summary_table(base, others, summaries),
        ),
        Section("nDCG@10 by direction", f"Whiskers: {interval}.", figure=bar_chart(_bars(models))),
    ]
    if len(base.directions) > 3:
        maps = [heatmap(r.model, {name: of.mean(MEASURE) for name, of in r.directions.items()}) for r in models]
        for other in others:
            own = {d.direction: d for d in differences if d.model == other.model}
            changes = {name: d.change for name, d in own.items()}
            marked = [name for name, d in own.items() if d.significant]
            maps.append(heatmap(f"{other.model} minus {base.model}", changes, marked, difference=True))
        note = "nDCG@10 times 100. Queries down, passages across; * where p (Holm over directions) < .05."
        sections.append(Section("Language x language", note, heatmaps=maps))
    many = len(base.directions) > MOST_BARS
    note = "nDCG@10 times 100; change against the base in brackets, * where p (Holm) < .05."
    sections.append(
        Section("Scores by direction", note, tables.comparison_table(base, others, differences), folded=many)
    )
    if base.mixed:
        sections += _mixed_sections(models, mixed)
    if any(base.space.values()):
        note = (
            "Alignment: mean squared distance of a text from its English translation, lower is closer. Uniformity: log "
            "of the mean Gaussian potential of all pairs, lower is more evenly spread. Neither means much alone."
        )
        sections.append(Section("The embedding space", note, tables.space_table(models), folded=many))
    if all(results.map for results in models):
        note = "Parallel queries, each model on its own first two principal components; lines join translations."
        figure = text_maps({results.model: results.map for results in models})
        sections.append(Section("Map of parallel texts", note, figure=figure))
    if differences:
        note = (
            f"Change of nDCG@10 in points with its {interval}; {test}, alone and corrected by Holm over all rows. Gap "
            "closed: share of the way from the base to the base's score with perfectly translated queries."
        )
        sections.append(Section("Differences", note, tables.differences_table(differences, base, others), folded=many))
    note = "Times 100; scored by pytrec_eval's rules. pool: passages to choose from."
    sections.append(Section("All measures", note, tables.measures_table(models), folded=True))
    return sections


def _mixed_sections(models: Sequence[Results], differences: Sequence[Difference]) -> list[Section]:
    note = (
        "One pool in several languages, every translation of the passage relevant. Complete@10: all of them among the "
        "first ten; last rank: where the last of them stands; own language first: the first of them is in the query's "
        "language; English of irrelevant: English share of the irrelevant passages among the first ten. Shares times "
        "100; * where p (Holm) < .05."
    )
    foreign = [name for name in models[0].mixed if not name.startswith("q-en.")]
    if len(foreign) > MOST_BARS:
        foreign = [name for name in foreign if not name.endswith(".p-all")]
    bars = {
        results.model: score_intervals(
            {name: results.mixed[name] for name in foreign}, results.questions, "Complete@10"
        )
        for results in models
    }
    figure = bar_chart(bars, "Complete@10 x 100") if bars[models[0].model] else ""
    sections = [Section("Mixed-language pools", note, tables.mixed_table(models, differences), figure)]
    note = (
        "Average precision times 100 of the relevant passages in one language, those in other languages taken out of "
        "the ranking: is that language found among all the others?"
    )
    sections.append(Section("One target language in mixed pools", note, tables.one_target_table(models), folded=True))
    return sections


def _changed_queries(base: Results, others: Sequence[Results], collection: Collection) -> list[Section]:
    found = []
    for other in others:
        for side, changes in zip(("gained", "lost"), largest_changes(base, other, collection), strict=True):
            if changes:
                title = f"Queries that {side} most: {other.model}"
                note = f"{len(changes)} queries by change of nDCG@10, one a question, with the first passages found."
                found.append(Section(title, note, changes=(changes, (base.model, other.model)), folded=True))
    return found


def _bars(models: Sequence[Results]) -> dict[str, dict[str, tuple[float, float, float]]]:
    def of(results: Results) -> dict[str, tuple[float, float, float]]:
        directions = results.directions
        if len(directions) <= MOST_BARS:
            return score_intervals(directions, results.questions)
        to_english = {name: d for name, d in directions.items() if parse_direction(name).passage_lang == "en"}
        return summary_intervals(results) | score_intervals(to_english, results.questions)

    return {results.model: of(results) for results in models}


def check_names(results: Sequence[Results]) -> None:
    """Refuse models that tables could not tell apart.

    Raises:
        InputError: If two have one name.
    """
    names = [result.model for result in results]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"Two results are named {double!r}; evaluate one of them again with another --name.")


def _headline(summaries: Sequence[Difference], differences: Sequence[Difference]) -> list[str]:
    """What a person wants to know first, a sentence for each model."""
    sentences = []
    for model in dict.fromkeys(d.model for d in summaries):
        own = {d.direction: d for d in summaries if d.model == model}
        parts = []
        if d := own.get("mean cross-lingual"):
            crossing = [e for e in differences if e.model == model and parse_direction(e.direction).crosses]
            gained, lost = (sum(e.significant and s * e.change > 0 for e in crossing) for s in (1, -1))
            parts.append(
                f"{100 * d.change:+.1f} points of nDCG@10 on average across languages (p {_p(d)}; of {len(crossing)} "
                f"directions {gained} significantly better, {lost} worse)"
            )
        if d := own.get("English"):
            parts.append(f"{100 * d.change:+.1f} points in English (p {_p(d)})")
        sentences.append(f"{model}: {'; '.join(parts) or 'see the table'}.")
    return sentences


def _p(d: Difference) -> str:
    return "< .001" if d.p_holm < 0.001 else f"= {d.p_holm:.3f}".replace("0.", ".", 1)
