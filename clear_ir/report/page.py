"""Results as a page: one self-contained HTML file without scripts, and the same tables in Markdown.

To add a section, write a function that takes `Reported` and gives sections, and add it to `SECTIONS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clear_ir.compare.comparison import (
    CROSS_LINGUAL,
    ENGLISH,
    Comparison,
    Difference,
    compare_models,
    score_intervals,
    summary_intervals,
)
from clear_ir.data.collection import Collection
from clear_ir.data.directions import parse_direction
from clear_ir.data.output_files import new_folder, write_json, write_text
from clear_ir.data.rows import ParallelRow
from clear_ir.evaluate.measures import FAMILIES, MAIN_MEASURE, MAIN_MIXED_MEASURE, MEASURES, Measure
from clear_ir.evaluate.results import Results
from clear_ir.report import tables
from clear_ir.report.figures import bar_chart, loss_curves, text_maps
from clear_ir.report.heatmap import Heatmap, heatmap
from clear_ir.report.json_documents import comparison_document
from clear_ir.report.query_changes import QueryChange, largest_changes
from clear_ir.report.tables import Table
from clear_ir.translate.samples import sample_rows

TEMPLATES = Path(__file__).resolve().parent / "templates"
#: The file that marks a report folder.
REPORT_FILE = "report.html"
#: Up to this number, bars are readable side by side; with more directions the summaries and q-L.p-en are drawn.
MOST_BARS = 9

# Phrases of several notes.
INTERVAL = "95 % bootstrap interval over questions"
TEST = "two-sided p-value of a paired permutation test"

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
        samples: Translated queries, for the page.
        folded: Whether the page shows it only on demand.
    """

    title: str
    note: str
    table: Table | None = None
    figure: str = ""
    heatmaps: Sequence[Heatmap] = ()
    changes: tuple[Sequence[QueryChange], Sequence[str]] = ((), ())
    samples: Sequence[ParallelRow] = ()
    folded: bool = False


@dataclass(frozen=True)
class Reported:
    """What a report is about.

    Args:
        comparison: The models, and how they differ from the base.
        train_logs: Training logs by model.
        collection: What was evaluated; None leaves the texts of queries out.
        translations: Rows whose queries were translated, to show some of them.
    """

    comparison: Comparison
    train_logs: Mapping[str, TrainLog] = field(default_factory=dict)
    collection: Collection | None = None
    translations: Sequence[ParallelRow] = ()

    @property
    def base(self) -> Results:
        """The reference."""
        return self.comparison.base

    @property
    def models(self) -> list[Results]:
        """The base, then the models compared with it."""
        return self.comparison.models

    @property
    def many_directions(self) -> bool:
        """Whether there are more directions than a reader takes in at once."""
        return len(self.base.directions) > MOST_BARS


def render_report(
    folder: Path,
    base: Results,
    others: Sequence[Results],
    train_logs: dict[str, TrainLog] | None = None,
    overwrite: bool = False,
    collection: Collection | None = None,
    translations: Sequence[ParallelRow] = (),
) -> list[Difference]:
    """Write `report.html`, `report.md` and `comparison.json`.

    Args:
        folder: Where; refused if it holds anything but an earlier report.
        base: The reference.
        others: The models compared with it.
        train_logs: Training logs by model, for the loss curves.
        overwrite: Replace an earlier report.
        collection: What was evaluated, for the texts of the queries that changed most; None leaves them out.
        translations: Rows whose queries were translated, to show some of them beside their English queries.

    Returns:
        The differences by direction.

    Raises:
        InputError: If two models share a name, the data differ, or the folder is taken.
    """
    import jinja2

    reported = Reported(compare_models(base, others), train_logs or {}, collection, translations)
    sections = [section for make_sections in SECTIONS for section in make_sections(reported)]
    headline = [*_headline(reported.comparison), *reported.comparison.base.few_questions]
    with new_folder(folder, REPORT_FILE, overwrite) as partial:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        page = environment.get_template("report.html").render(
            data=base.data, split=base.split, headline=headline, sections=sections, models=reported.models
        )
        write_text(partial / REPORT_FILE, page)
        made = [f"{results.model}: {how}.\n" for results in reported.models if (how := results.origin.get("made_by"))]
        parts = [f"# {base.data}, {base.split}\n", *(f"{sentence}\n" for sentence in headline), *made]
        parts += [f"## {part.title}\n\n{part.note}\n\n{part.table.markdown()}" for part in sections if part.table]
        write_text(partial / "report.md", "\n".join(parts))
        write_json(partial / "comparison.json", comparison_document(reported.comparison))
    return reported.comparison.directions


def _summary(reported: Reported) -> Iterator[Section]:
    comparison = reported.comparison
    note = (
        f"{MAIN_MEASURE} times 100 with its {INTERVAL}; change against the base; {TEST}, corrected by Holm over all "
        "rows. Monolingual: mean of the directions with one language; cross-lingual: of the others."
    )
    table = tables.summary_table(comparison.base, comparison.others, comparison.summaries)
    if table.rows:  # there are none of one direction that is not English
        yield Section("Summary", note, table)


def _bars(reported: Reported) -> Iterator[Section]:
    bars = {}
    for results in reported.models:
        directions = results.directions
        if not reported.many_directions:
            bars[results.model] = score_intervals(directions, results.questions)
            continue
        to_english = {name: d for name, d in directions.items() if parse_direction(name).passage_lang == "en"}
        summaries = {name: score for name, score in summary_intervals(results).items() if name != ENGLISH}
        bars[results.model] = summaries | score_intervals(to_english, results.questions)
    yield Section(f"{MAIN_MEASURE} by direction", f"Whiskers: {INTERVAL}.", figure=bar_chart(bars))


def _heatmaps(reported: Reported) -> Iterator[Section]:
    if len(reported.base.directions) <= 3:
        return
    maps = [
        heatmap(results.model, {name: scores.mean(MAIN_MEASURE) for name, scores in results.directions.items()})
        for results in reported.models
    ]
    for other in reported.comparison.others:
        differences = [d for d in reported.comparison.directions if d.model == other.model]
        changes = {d.direction: d.change for d in differences}
        marked = [d.direction for d in differences if d.significant]
        maps.append(heatmap(f"{other.model} minus {reported.base.model}", changes, marked, difference=True))
    note = f"{MAIN_MEASURE} times 100. Queries down, passages across; * where p (Holm over directions) < .05."
    yield Section("Language x language", note, heatmaps=maps)


def _scores(reported: Reported) -> Iterator[Section]:
    comparison = reported.comparison
    note = f"{MAIN_MEASURE} times 100; change against the base in brackets, * where p (Holm) < .05."
    table = tables.comparison_table(comparison.base, comparison.others, comparison.directions)
    yield Section("Scores by direction", note, table, folded=reported.many_directions)


def _mixed_pools(reported: Reported) -> Iterator[Section]:
    if not reported.base.mixed:
        return
    meanings = _meanings(tables.special_measures(mixed=True))
    note = (
        "Each pool holds passages in several languages, and every translation of a relevant passage is relevant. "
        f"{meanings}. Shares times 100; * where p (Holm) < .05."
    )
    table = tables.mixed_table(reported.models, reported.comparison.mixed)
    yield Section("Mixed-language pools", note, table, _mixed_bars(reported.models))
    for family in FAMILIES.values():
        yield Section(family.title, family.meaning, tables.family_table(reported.models, family), folded=True)


def _mixed_bars(models: Sequence[Results]) -> str:
    """Bars of the pools that are asked in another language than English; empty without any."""
    foreign = [name for name in models[0].mixed if not name.startswith("q-en.")]
    if len(foreign) > MOST_BARS:
        foreign = [name for name in foreign if not name.endswith(".p-all")]
    pools = {results.model: {name: results.mixed[name] for name in foreign} for results in models}
    if not foreign or any(MAIN_MIXED_MEASURE not in pool.measures for of in pools.values() for pool in of.values()):
        return ""
    return bar_chart(
        {
            results.model: score_intervals(pools[results.model], results.questions, MAIN_MIXED_MEASURE)
            for results in models
        },
        f"{MAIN_MIXED_MEASURE} x 100",
    )


def _meanings(measures: Iterable[Measure]) -> str:
    return "; ".join(f"{measure.label}: {measure.meaning}" for measure in measures if measure.meaning)


def _space(reported: Reported) -> Iterator[Section]:
    if not any(reported.base.space.values()):
        return
    note = (
        "Alignment: mean squared distance of a text from its English translation, lower is closer. Uniformity: log "
        "of the mean Gaussian potential of all pairs, lower is more evenly spread. Neither means much alone."
    )
    yield Section("The embedding space", note, tables.space_table(reported.models), folded=reported.many_directions)


def _text_maps(reported: Reported) -> Iterator[Section]:
    if not all(results.map for results in reported.models):
        return
    note = "Parallel queries on the first two principal components of each model; lines join translations."
    figure = text_maps({results.model: results.map for results in reported.models})
    yield Section("Map of parallel texts", note, figure=figure)


def _differences(reported: Reported) -> Iterator[Section]:
    comparison = reported.comparison
    if not comparison.directions:
        return
    note = (
        f"Change of {MAIN_MEASURE} in points with its {INTERVAL}; {TEST}, alone and corrected by Holm over all rows. "
        "Gap closed: share of the way from the base to the base's score with perfectly translated queries."
    )
    table = tables.differences_table(comparison.directions, comparison.base, comparison.others)
    yield Section("Differences", note, table, folded=reported.many_directions)


def _all_measures(reported: Reported) -> Iterator[Section]:
    note = "Shares times 100, by pytrec_eval's rules. pool: number of passages to choose from."
    if meanings := _meanings(measure for measure in MEASURES.values() if measure.applies(mixed=False)):
        note += f" {meanings}."
    yield Section("All measures", note, tables.measures_table(reported.models), folded=True)


def _training(reported: Reported) -> Iterator[Section]:
    if not reported.train_logs:
        return
    note = "The training loss. If one model alone has a training log, also each term of its loss, without its weight."
    yield Section("Training", note, figure=loss_curves(reported.train_logs))


def _changed_queries(reported: Reported) -> Iterator[Section]:
    if not reported.collection:
        return
    base = reported.base
    for other in reported.comparison.others:
        gained, lost = largest_changes(base, other, reported.collection)
        for verb, changes in (("gained", gained), ("lost", lost)):
            if changes:
                title = f"Queries that {verb} most: {other.model}"
                note = (
                    f"{len(changes)} queries by change of {MAIN_MEASURE}, one a question, with the first passages of "
                    "both models."
                )
                yield Section(title, note, changes=(changes, (base.model, other.model)), folded=True)


def _translations(reported: Reported) -> Iterator[Section]:
    if not reported.translations:
        return
    made_by = Counter(row.translated_by or "people, or it is not said" for row in reported.translations)
    sources = "; ".join(f"{translator}: {count}" for translator, count in made_by.items())
    samples = sample_rows(reported.translations)
    note = f"{len(samples)} training queries and their translations, drawn at random. Rows by translator: {sources}."
    yield Section("Translated queries", note, samples=samples, folded=True)


#: The sections in their order; each function gives none, one or several.
SECTIONS: list[Callable[[Reported], Iterable[Section]]] = [
    _summary,
    _bars,
    _heatmaps,
    _scores,
    _mixed_pools,
    _space,
    _text_maps,
    _differences,
    _all_measures,
    _training,
    _changed_queries,
    _translations,
]


def _headline(comparison: Comparison) -> list[str]:
    """What a reader wants to know first, a sentence for each model."""
    sentences = []
    for model in dict.fromkeys(d.model for d in comparison.summaries):
        summaries = {d.direction: d for d in comparison.summaries if d.model == model}
        parts = []
        if d := summaries.get(CROSS_LINGUAL):
            crossing = [
                each
                for each in comparison.directions
                if each.model == model and parse_direction(each.direction).crosses
            ]
            gained = sum(each.significant and each.change > 0 for each in crossing)
            lost = sum(each.significant and each.change < 0 for each in crossing)
            parts.append(
                f"{100 * d.change:+.1f} points of {MAIN_MEASURE} on average across languages (p {_p(d)}; "
                f"of {len(crossing)} directions {gained} significantly better, {lost} worse)"
            )
        if d := summaries.get(ENGLISH):
            parts.append(f"{100 * d.change:+.1f} points in English (p {_p(d)})")
        sentences.append(f"{model}: {'; '.join(parts) or 'see the table'}.")
    return sentences


def _p(d: Difference) -> str:
    return "< .001" if d.p_holm < 0.001 else f"= {d.p_holm:.3f}".replace("0.", ".", 1)
