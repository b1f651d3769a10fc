"""What the dev stage chooses for each objective: its learning rate, and the weight at which it is merged."""

from __future__ import annotations

from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.data.files import InputError
from clear_ir.merge.interpolation import MergePoint, best_point
from study.cells import BASE, Cell
from study.directions import mean_to_english
from study.experiment import Experiment


def complete_objectives(experiment: Experiment) -> list[str]:
    """The objectives of which all dev cells have been run."""
    cells = [cell for cell in experiment.stage_cells("dev") if cell.objective != BASE]
    incomplete = {cell.objective for cell in cells if not experiment.results.has(cell)}
    return [name for name in dict.fromkeys(cell.objective for cell in cells) if name not in incomplete]


def best_dev_cell(experiment: Experiment, objective: str) -> Cell:
    """The dev cell with the best mean to English passages, unmerged; among equal ones the best in English.

    Args:
        experiment: Plan and results.
        objective: Name in the matrix.

    Returns:
        The cell; cells within `Matrix.level` of the best count as equal.

    Raises:
        InputError: If the matrix has no dev cell of the objective, or one has not been run.
    """
    means = {cell: experiment.results.means(cell, "1") for cell in _dev_cells(experiment, objective)}
    lowest_equal = max(map(mean_to_english, means.values())) - experiment.matrix.level / 100
    equal = [cell for cell in means if mean_to_english(means[cell]) >= lowest_equal]
    return max(equal, key=lambda cell: means[cell][ENGLISH_DIRECTION])


def _dev_cells(experiment: Experiment, objective: str) -> list[Cell]:
    """The dev cells of an objective, or of the one that it is `like`, one for each learning rate left open."""
    fixed_rate = experiment.matrix.objectives[objective].training.get("learning_rate")
    trained_as = experiment.matrix.objectives[objective].like or objective
    cells = [cell for cell in experiment.stage_cells("dev") if cell.objective == trained_as]
    cells = [cell for cell in cells if fixed_rate in (None, cell.learning_rate)]
    if not cells:
        raise InputError(f"The dev stage of the matrix has no {trained_as!r}, so nothing chooses its learning rate.")
    for cell in cells:
        if not experiment.results.has(cell):
            raise InputError(f"Run the dev stage first; its cell {cell.key!r} is missing.")
    return cells


def chosen_learning_rate(experiment: Experiment, objective: str) -> float:
    """The learning rate of the best dev cell, see `best_dev_cell`."""
    rate = best_dev_cell(experiment, objective).learning_rate
    if rate is None:
        raise InputError(f"The dev stage of the matrix has no learning rates for {objective!r}; add them.")
    return rate


def dev_points(experiment: Experiment, objective: str) -> list[MergePoint]:
    """The merging weights of the best dev cell with their scores, the base at weight 0 first."""
    best = best_dev_cell(experiment, objective)
    points = []
    for weight in [0.0, *sorted(map(float, experiment.results.read(best)["scores"]))]:
        cell = Cell("dev", best.data, BASE) if weight == 0 else best
        means = experiment.results.means(cell, f"{weight:g}")
        points.append(MergePoint(weight, means[ENGLISH_DIRECTION], mean_to_english(means), means))
    return points


def chosen_weight(experiment: Experiment, objective: str) -> float:
    """The merging weight with the best mean to English passages on dev among those that keep English."""
    return best_point(dev_points(experiment, objective), experiment.matrix.max_english_loss).weight
