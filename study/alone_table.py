"""Languages trained alone: what each gains, what it does for the others, and what training them jointly changes."""

from __future__ import annotations

from clear_ir.compare.comparison import holm
from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.report.tables import Table
from study.cells import BASE
from study.dev_tables import NOT_RUN
from study.experiment import Experiment
from study.scores import ModelScores, model_scores


def alone_table(experiment: Experiment, joint: str) -> str:
    """Each method on each language alone, and on all of them.

    Args:
        experiment: Plan and results.
        joint: Name of the data set with all languages; each that is trained alone has a data set `JOINT-LANG`.

    Returns:
        Markdown.
    """
    langs = experiment.matrix.data[joint].langs
    data = {lang: f"{joint}-{lang}" for lang in langs if f"{joint}-{lang}" in experiment.matrix.data}
    alone = {lang: model_scores(experiment, name) for lang, name in data.items() if experiment.has_test(name)}
    if not alone or not experiment.has_test(joint):
        return NOT_RUN
    jointly, default = model_scores(experiment, joint), experiment.matrix.default
    methods = [name for name in jointly.by_model if name != BASE and all(name in of.by_model for of in alone.values())]
    trained = [name for name in methods if name != default and experiment.matrix.objective(name).training]
    directions = [ENGLISH_DIRECTION, *jointly.to_english]
    head = ["method", "trained on", *directions]
    leads: dict[str, str] = {}
    if default in methods and trained:
        head.append(f"the language itself, over {trained[0]}")
        leads = _leads(alone, default, trained[0])
    rows = [[BASE, "", *_scores(jointly, BASE, directions), ""]]
    for name in methods:
        for lang, scores in alone.items():
            rows.append([name, lang, *_scores(scores, name, directions), leads[lang] if name == default else ""])
        rows.append([name, "all", *_scores(jointly, name, directions), ""])
    return (
        f"{Table(head, [row[: len(head)] for row in rows], num_names=2).markdown()}\n"
        "nDCG@10 x 100; one seed where a language is trained alone. The last column: 95 % bootstrap intervals over "
        "questions, p-values of paired permutation tests, corrected by Holm over the column."
    )


def _scores(scores: ModelScores, model: str, directions: list[str]) -> list[str]:
    columns = {ENGLISH_DIRECTION: scores.columns[ENGLISH_DIRECTION], **scores.to_english}
    return [f"{100 * scores.mean(model, columns[direction]):.1f}" for direction in directions]


def _leads(alone: dict[str, ModelScores], model: str, baseline: str) -> dict[str, str]:
    """By language, the lead of one method over another in the language that both were trained on alone."""
    leads = {}
    for lang, scores in alone.items():
        own = f"q-{lang}.p-en"
        leads[lang] = scores.compare([(model, baseline)], {own: scores.to_english[own]})[model, baseline, own]
    corrected = holm([lead.p for lead in leads.values()])
    return {lang: lead._replace(p=p).points() for (lang, lead), p in zip(leads.items(), corrected, strict=True)}
