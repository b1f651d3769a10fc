"""The details of the report: a section for each way to look at the results.

To add a section, write a function that takes `Reported` and gives sections, and add it to `SECTIONS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from clear_ir.compare.comparison import ENGLISH, Interval, score_intervals, summary_intervals
from clear_ir.data.languages import name_directions
from clear_ir.data.rows import ParallelRow
from clear_ir.encode.model_card import count_by_language
from clear_ir.evaluate.measures import FAMILIES, MAIN_MEASURE, MAIN_MIXED_MEASURE, MEASURES, Measure
from clear_ir.evaluate.results import Results
from clear_ir.report import tables
from clear_ir.report.figures import bar_chart, text_maps, training_curves
from clear_ir.report.heatmap import Heatmap, heatmap
from clear_ir.report.query_changes import QueryChange
from clear_ir.report.reported import MOST_BARS, Reported, TrainLog
from clear_ir.report.tables import Table
from clear_ir.translate.samples import sample_rows

#: Digits of a hash that are shown.
SHOWN_OF_A_HASH = 12


@dataclass
class Section:
    """A part of the report.

    Args:
        title: Its heading.
        note: What is shown, in a sentence or two.
        table: For page, Markdown and CSV, if it is a table.
        figure: An SVG element, for the page.
        heatmaps: Tables in colours, for the page.
        changes: Queries that changed, for the page.
        models: The names of the two models of `changes`.
        samples: Translated queries, for the page.
        listings: Text to show as it is, by heading, for the page.
        folded: Whether the page shows it only on demand.
    """

    title: str
    note: str
    table: Table | None = None
    figure: str = ""
    heatmaps: Sequence[Heatmap] = ()
    changes: Sequence[QueryChange] = ()
    models: Sequence[str] = ()
    samples: Sequence[ParallelRow] = ()
    listings: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False

    @property
    def name(self) -> str:
        """The title as the name of a file or of a place on the page."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.title.lower()).split()
        return "-".join(words)


def _summary(reported: Reported) -> Iterator[Section]:
    comparison = reported.comparison
    meaning = "Monolingual: mean of the directions with one language; cross-lingual: of the others."
    note = f"{_note_on_scores(reported)} {meaning}"
    table = tables.summary_table(comparison.base, comparison.others, comparison.summaries)
    if table.rows:  # there are none of one direction that is not English
        yield Section("Summary", note, table)


def _note_on_scores(reported: Reported) -> str:
    note = f"{MAIN_MEASURE} times 100 with its 95 % bootstrap interval over questions."
    if not reported.comparison.others:
        return note
    return f"{note} Change against the base; p-value of a paired permutation test, corrected by Holm over all rows."


def _directions(reported: Reported) -> Iterator[Section]:
    note = f"{_note_on_scores(reported)} German → English: German questions, English passages."
    table = tables.directions_table(reported.comparison, reported.intervals)
    if "gap closed" in table.head:
        note += " Gap closed: share of the way from the base to its score with perfectly translated questions."
    yield Section("Every direction", note, table, _bars(reported), folded=reported.many_directions)


def _bars(reported: Reported) -> str:
    if not reported.many_directions:
        return _named_bars(reported.intervals)
    bars = {}
    for results in reported.models:
        summaries = {name: score for name, score in summary_intervals(results).items() if name != ENGLISH}
        of_model = reported.intervals[results.model]
        bars[results.model] = summaries | {name: of_model[name] for name in of_model if name.endswith(".p-en")}
    return _named_bars(bars)


def _named_bars(scores: Mapping[str, Mapping[str, Interval]], measure: str = MAIN_MEASURE) -> str:
    """Bars with the names of languages."""
    named = {
        model: {name_directions(name): score for name, score in of_model.items()} for model, of_model in scores.items()
    }
    return bar_chart(named, f"{measure} x 100")


def score_map(results: Results) -> Heatmap:
    """The scores of one model by language."""
    return heatmap(results.model, {name: scores.mean(MAIN_MEASURE) for name, scores in results.directions.items()})


def change_map(reported: Reported, model: str) -> Heatmap:
    """The changes of one model against the base by language."""
    differences = [d for d in reported.comparison.directions if d.model == model]
    changes = {d.direction: d.change for d in differences}
    marked = [d.direction for d in differences if d.significant]
    return heatmap(f"{model} minus {reported.base.model}", changes, marked, difference=True)


def _heatmaps(reported: Reported) -> Iterator[Section]:
    if len(reported.base.directions) <= 3 or not reported.comparison.others:
        return  # of a model alone it stands at the top
    maps = [score_map(results) for results in reported.models]
    others = [other.model for other in reported.comparison.others if other is not reported.best]
    maps += [change_map(reported, model) for model in others]
    note = f"{MAIN_MEASURE} times 100. Questions down, passages across; * where p (Holm over directions) < .05."
    yield Section("Language by language", note, heatmaps=maps, folded=reported.many_directions)


def _mixed_pools(reported: Reported) -> Iterator[Section]:
    if not reported.base.mixed:
        return
    meanings = _meanings(tables.special_measures(mixed=True))
    note = (
        "Each pool holds passages in several languages, and every translation of a relevant passage is relevant. "
        f"{meanings}. Shares times 100; * where p (Holm) < .05."
    )
    table = tables.mixed_table(reported.models, reported.comparison.mixed)
    yield Section("Mixed-language pools", note, table, _mixed_bars(reported.models), folded=reported.many_directions)
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
    scores = {
        results.model: score_intervals(pools[results.model], results.questions, MAIN_MIXED_MEASURE)
        for results in models
    }
    return _named_bars(scores, MAIN_MIXED_MEASURE)


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


def _all_measures(reported: Reported) -> Iterator[Section]:
    note = "Shares times 100, by pytrec_eval's rules. pool: number of passages to choose from."
    if meanings := _meanings(measure for measure in MEASURES.values() if measure.applies(mixed=False)):
        note += f" {meanings}."
    yield Section("All measures", note, tables.measures_table(reported.models), folded=True)


def _training(reported: Reported) -> Iterator[Section]:
    if not reported.train_logs:
        return
    note = (
        "Left: the training loss; of a single model also each term of its loss, without its weight. Right, if there "
        f"were dev questions: {MAIN_MEASURE} times 100 on them, from the base at step 0. A diamond marks the step that "
        "was kept."
    )
    yield Section("Training", note, figure=training_curves(reported.train_logs))


def _changed_queries(reported: Reported) -> Iterator[Section]:
    for model, (gained, lost) in reported.changed_queries.items():
        for verb, changes in (("gained", gained), ("lost", lost)):
            if changes:
                note = (
                    f"{len(changes)} queries by change of {MAIN_MEASURE}, one a question, with the first passages of "
                    "both models."
                )
                models = (reported.base.model, model)
                title = f"Queries that {verb} most: {model}"
                yield Section(title, note, changes=changes, models=models, folded=True)


def _translations(reported: Reported) -> Iterator[Section]:
    if not reported.translations:
        return
    made_by = Counter(row.translated_by or "people, or it is not said" for row in reported.translations)
    sources = "; ".join(f"{translator}: {count}" for translator, count in made_by.items())
    samples = sample_rows(reported.translations)
    note = f"{len(samples)} training queries and their translations, drawn at random. Rows by translator: {sources}."
    yield Section("Translated queries", note, samples=samples, folded=True)


def _provenance(reported: Reported) -> Iterator[Section]:
    columns = [_facts(results, reported.train_logs.get(results.model, [])) for results in reported.models]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    recipes = {
        f"Recipe of {results.model}": yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
        for results in reported.models
        if (recipe := results.origin.get("recipe"))
    }
    head = ["", *(results.model for results in reported.models)]
    table = Table(head, [row for row in rows if any(row[1:])], num_names=len(head))
    yield Section("What was measured", "What is needed to repeat the results.", table, listings=recipes)


def _facts(results: Results, log: TrainLog) -> dict[str, str]:
    """What is known of a model and of its evaluation; empty where it is not known, as of older results."""
    details = results.details
    facts = {
        "made by": results.origin.get("made_by"),
        "base": results.origin.get("base"),
        "training rows": _counted((log or [{}])[0].get("rows_by_language")),
        "texts fitted on": _counted(results.origin.get("texts_by_language")),
        "data": f"{results.data}, {results.split} split, {results.num_questions:,} questions",
        "evaluated on": details.get("date"),
        "maximum length": details.get("max_seq_length"),
        "precision": details.get("precision"),
        "device": details.get("device"),
        "versions": ", ".join(f"{name} {version}" for name, version in details.get("versions", {}).items()),
        "hash of the data": results.data_hash[:SHOWN_OF_A_HASH],
        "hash of the weights": results.weights_hash[:SHOWN_OF_A_HASH],
    }
    return {name: str(fact or "") for name, fact in facts.items()}


def _counted(by_language: Any) -> str:
    """Counts in words; empty if there are none, or the file was damaged."""
    is_counts = isinstance(by_language, dict) and all(isinstance(count, int) for count in by_language.values())
    return count_by_language(by_language) if is_counts else ""


#: The sections in their order; each function gives none, one or several.
SECTIONS: list[Callable[[Reported], Iterable[Section]]] = [
    _summary,
    _directions,
    _heatmaps,
    _training,
    _mixed_pools,
    _space,
    _text_maps,
    _all_measures,
    _changed_queries,
    _translations,
    _provenance,
]
