"""Tables and figure of the dev stage: how far the study has come, and what it chose."""

from __future__ import annotations

from collections.abc import Mapping

from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.report.figures import frontiers
from clear_ir.report.tables import Table
from study.cells import BASE, Cell
from study.choices import best_dev_cell, chosen_weight, complete_objectives, dev_points
from study.directions import TO_ENGLISH, mean_to_english
from study.experiment import Experiment

#: What stands in the place of a table whose cells have not been run.
NOT_RUN = "Not run yet."


def progress_table(experiment: Experiment) -> str:
    """How many cells of each stage and data set have been run."""
    finished: dict[tuple[str, str], list[bool]] = {}
    for cell in experiment.cells:
        finished.setdefault((cell.stage, cell.data), []).append(experiment.results.has(cell))
    rows = [[stage, data, f"{sum(done)} of {len(done)}"] for (stage, data), done in finished.items()]
    return Table(["stage", "data", "cells run"], rows, num_names=2).markdown()


def dev_table(experiment: Experiment) -> str:
    """What each learning rate gives on dev, and the merging weight that is chosen."""
    results = experiment.results
    cells = [cell for cell in experiment.stage_cells("dev") if results.has(cell)]
    if not cells:
        return NOT_RUN
    complete = complete_objectives(experiment)
    merges = bool(experiment.matrix.merging_weights)
    head = ["objective", "learning rate", ENGLISH_DIRECTION, TO_ENGLISH]
    head += ["merging weight", f"merged {ENGLISH_DIRECTION}", f"merged {TO_ENGLISH}"] if merges else [""]
    rows = []
    for cell in cells:
        means = results.means(cell, "0" if cell.objective == BASE else "1")
        row = [cell.objective, f"{cell.learning_rate:g}" if cell.learning_rate else "", *_english_and_cross(means)]
        is_chosen = cell.objective in complete and best_dev_cell(experiment, cell.objective) == cell
        if is_chosen and not merges:
            row.append("chosen")
        elif is_chosen:
            weight = chosen_weight(experiment, cell.objective)
            merged = results.means(cell, f"{weight:g}") if weight else results.means(_base_of(cell), "0")
            row += [f"{weight:g}", *_english_and_cross(merged)]
        rows.append(row + [""] * (len(head) - len(row)))
    questions = results.questions("dev", cells[0].data)
    note = f"nDCG@10 x 100 on {len(questions[ENGLISH_DIRECTION])} dev questions, one seed."
    if merges:
        note += (
            " The merging weight is given for the chosen learning rate: of the weights that lose at most "
            f"{experiment.matrix.max_english_loss:g} points in English, the one with the best q-L.p-en. 0 is the base, "
            "1 the model as trained."
        )
    return f"{Table(head, rows).markdown()}\n{note}"


def merging_figure(experiment: Experiment) -> str:
    """English against the mean across languages as each objective is merged with the base, on dev: SVG."""
    curves = {}
    for objective in complete_objectives(experiment):
        if objective in experiment.matrix.figure:
            points = [(point.weight, point.english, point.cross_lingual) for point in dev_points(experiment, objective)]
            curves[objective] = points, chosen_weight(experiment, objective)
    return frontiers(curves)


def _english_and_cross(means: Mapping[str, float]) -> list[str]:
    return [f"{100 * means[ENGLISH_DIRECTION]:.1f}", f"{100 * mean_to_english(means):.1f}"]


def _base_of(cell: Cell) -> Cell:
    return Cell(cell.stage, cell.data, BASE)
