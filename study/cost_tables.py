"""What each objective gains across languages, and what it costs: a table and a figure."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

from benchmarks.machine import has_gpu
from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.report.figures import scatter
from clear_ir.report.tables import Table
from study.cells import BASE, Cell
from study.dev_tables import NOT_RUN
from study.directions import TO_ENGLISH, UNSEEN_TO_ENGLISH
from study.experiment import Experiment
from study.scores import SEEDS, ModelScores, model_scores


def cost_table(experiment: Experiment, data: str) -> str:
    """Every objective as trained: its cost, English, and the languages, against the strongest baseline.

    Args:
        experiment: Plan and results.
        data: Name of the data set.

    Returns:
        Markdown.
    """
    scores = model_scores(experiment, data)
    if BASE not in scores.by_model or len(scores.by_model) < 2:
        return NOT_RUN
    base = {heading: scores.mean(BASE, directions) for heading, directions in scores.columns.items()}
    gap = base[ENGLISH_DIRECTION] - base[TO_ENGLISH]
    differences = scores.compare_with_strongest({TO_ENGLISH: scores.columns[TO_ENGLISH]})
    shown = list(scores.columns)
    rows = []
    for name in _as_trained(scores):
        minutes = _minutes(experiment, data, name)
        means = {heading: scores.mean(name, scores.columns[heading]) for heading in shown}
        row = [name, str(scores.seeds[name]), f"{minutes:.1f}" if minutes else ""]
        row += [f"{100 * value:.1f}" for value in means.values()]
        closed = (means[TO_ENGLISH] - base[TO_ENGLISH]) / gap
        row.append("" if name == BASE else f"{100 * closed:.0f} %")
        if scores.strongest:
            row.append(differences[name, TO_ENGLISH].points() if (name, TO_ENGLISH) in differences else "")
        rows.append(row)
    head = ["method", "seeds", "minutes", *shown, "gap closed"]
    compared = ""
    if scores.strongest:
        head.append(f"{TO_ENGLISH} over {scores.strongest}")
        compared = (
            " The last column compares with the baseline that is strongest on dev: 95 % bootstrap interval over "
            "questions, and p-value of a paired permutation test, corrected by Holm over the column."
        )
    return (
        f"{Table(head, rows).markdown()}\n"
        "nDCG@10 x 100, each question's score averaged over seeds. minutes: of one processor, for fitting and "
        "training; what the base encodes comes from the cache. gap closed: how much of the distance from the base's "
        f"{TO_ENGLISH} to its {ENGLISH_DIRECTION}.{compared}"
    )


def headline_table(experiment: Experiment, data: str) -> str:
    """The same in short, for those who read one table: Markdown."""
    scores = model_scores(experiment, data)
    headline = (BASE, "align: auto", experiment.matrix.default, "infonce", scores.strongest or "infonce")
    shown = [name for name in dict.fromkeys(headline) if name in scores.by_model]
    if not shown:
        return NOT_RUN
    named = {"English": ENGLISH_DIRECTION, "other languages": TO_ENGLISH, "a language without rows": UNSEEN_TO_ENGLISH}
    columns = {name: heading for name, heading in named.items() if heading in scores.columns}
    rows = []
    for name in shown:
        minutes = _minutes(experiment, data, name)
        cells = [f"{100 * scores.mean(name, scores.columns[heading]):.1f}" for heading in columns.values()]
        rows.append([name.split(":")[0], *cells, f"{minutes:.1f}" if minutes else ""])
    return (
        f"{Table(['', *columns, 'minutes'], rows).markdown()}\n"
        f"nDCG@10 x 100 on test questions, {experiment.matrix.data[data].title}; minutes of one processor."
    )


def cost_figure(experiment: Experiment, data: str) -> str:
    """Score across languages against the minutes of training, of the plan's methods whose cost is known: SVG."""
    scores = model_scores(experiment, data)
    shown = (BASE, *experiment.matrix.figure)
    minutes = {name: _minutes(experiment, data, name) for name in _as_trained(scores) if name in shown}
    points = {
        name: (cost, 100 * scores.mean(name, scores.columns[TO_ENGLISH]))
        for name, cost in minutes.items()
        if cost or name == BASE
    }
    return scatter(points, "minutes of one processor", f"{TO_ENGLISH}, nDCG@10 x 100")


def _as_trained(scores: ModelScores) -> list[str]:
    return [name for name in scores.by_model if ", merged" not in name]


def _minutes(experiment: Experiment, data: str, objective: str) -> float:
    """Mean minutes of one processor for training; 0 for the base. Runs on a GPU, and resumed ones, do not count."""
    results, cell = experiment.results, Cell("test", data, objective)
    runs = [results.read(run) for run in (replace(cell, seed=seed) for seed in SEEDS) if results.has(run)]
    cost = "train_processor_seconds"
    seconds = [float(run[cost]) for run in runs if cost in run and not has_gpu(run["machine"])]
    if seconds:
        return mean(seconds) / 60
    alike = experiment.matrix.objectives[objective].costs_like if objective != BASE else None
    return _minutes(experiment, data, alike) if alike else 0.0
