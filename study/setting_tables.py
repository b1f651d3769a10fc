"""Tables of the study's setting: what is the same for all cells, the data, and the objectives' terms."""

from __future__ import annotations

from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.report.tables import Table
from clear_ir.train.settings import TrainingSettings
from study.experiment import Experiment
from study.scores import LENGTHS


def setting_table(experiment: Experiment) -> str:
    """The settings that all objectives share."""
    matrix = experiment.matrix
    train = TrainingSettings(**matrix.train)
    settings = {
        "encoder": matrix.model,
        "texts in training, passages too, are cut at": f"{train.max_seq_length} tokens",
        "texts in evaluation are cut at": f"{matrix.evaluation_max_seq_length} tokens",
        "rows a batch": f"{train.batch_size}",
        "precision": train.precision,
        "schedule of the learning rate": train.lr_scheduler,
        "hard negatives a row, on each side": f"{matrix.mine.num_negatives}",
        "ranks that they are drawn from": f"{matrix.mine.range_min} to {matrix.mine.range_max}",
    }
    if matrix.distil_steps:
        settings["steps of distillation, where there is one"] = f"{matrix.distil_steps}"
    if matrix.merging_weights:
        settings["merging weights tried on dev"] = ", ".join(f"{weight:g}" for weight in matrix.merging_weights)
        settings["English that merging may cost on dev"] = f"{matrix.max_english_loss:g} points"
    settings["learning rates count as equal on dev within"] = f"{matrix.level:g} points"
    return Table(["setting", "value"], [[name, value] for name, value in settings.items()], num_names=2).markdown()


def data_table(experiment: Experiment) -> str:
    """The data sets of each stage that has been run: training rows, training steps, and questions in English."""
    rows = []
    for stage, data in dict.fromkeys((cell.stage, cell.data) for cell in experiment.cells):
        plan, results = experiment.matrix.data[data], experiment.results
        cells = [cell for cell in experiment.stage_cells(stage) if cell.data == data and results.has(cell)]
        num_rows = [results.read(cell)["rows"] for cell in cells if "rows" in results.read(cell)]
        if not num_rows:
            continue
        questions = results.questions(stage, data)
        steps = plan.dev_steps if stage == "dev" else plan.max_steps
        counts = [str(number) for number in (num_rows[0], steps, len(questions[ENGLISH_DIRECTION]))]
        unseen = [lang for lang in plan.unseen if f"q-{lang}.p-en" in questions]
        languages = plan.title + (f"; without rows: {', '.join(unseen)}" if unseen else "")
        rows.append([stage, data, languages, *counts])
    head = ["stage", "data", "languages", "training rows", "steps", "English questions"]
    return Table(head, rows, num_names=3).markdown()


def objective_settings_table(experiment: Experiment) -> str:
    """The terms of each objective that was run; not of those that change the learning rate or length alone."""
    matrix = experiment.matrix
    run = {cell.objective for cell in experiment.cells if experiment.results.has(cell)}
    rows = []
    for name, objective in matrix.objectives.items():
        longer = any(length and name.endswith(length) for length in LENGTHS)
        if name not in run or objective.like or objective.distil_on or longer or not objective.training:
            continue
        settings = TrainingSettings(**{**matrix.train, **objective.training})
        weights = settings.weights.by_term()
        terms = " + ".join(_weighted_term(term, weight) for term, weight in weights.items())
        kl = settings.divergence if "kl" in weights else ""
        scale = "fitted" if settings.scale is None else f"{settings.scale:g}"
        rows.append([name, terms, kl, scale, f"{settings.batch_size}", f"{settings.embedding_rate:g}"])
    head = ["objective", "terms", "KL term", "scale", "rows a batch", "rate of embeddings"]
    return Table(head, rows, num_names=3).markdown()


def _weighted_term(term: str, weight: float) -> str:
    name = "KL" if term == "kl" else term
    return name if weight == 1 else f"{weight:g} {name}"
