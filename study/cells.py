"""The cells of the study: one training run and its evaluation each."""

from __future__ import annotations

from dataclasses import dataclass

from study.matrix import Matrix, StageName

#: The objective of a cell that evaluates the encoder without training it.
BASE = "base"


@dataclass(frozen=True)
class Cell:
    """One training run and its evaluation; the objective `base` is not trained.

    Args:
        stage: `dev` or `test`.
        data: Name of the data set in the matrix.
        objective: Name in the matrix, or `base`.
        seed: Of the training run.
        learning_rate: Of the training run; None takes what the dev stage chose.
    """

    stage: StageName
    data: str
    objective: str
    seed: int = 0
    learning_rate: float | None = None

    @property
    def key(self) -> str:
        """The cell's name in the results of its data set and stage: `clear, JS, seed 0, learning rate 0.0001`."""
        rate = f", learning rate {self.learning_rate:g}" if self.learning_rate else ""
        return f"{self.objective}, seed {self.seed}{rate}"

    @property
    def folder_name(self) -> str:
        """The name of the folder for the cell's checkpoints: letters, digits, `+`, `.` and `-`."""
        name = f"{self.stage}-{self.data}-{self.key}"
        return name.replace(" + ", "+").replace(", ", "-").replace(" ", "-")


def planned_cells(matrix: Matrix) -> list[Cell]:
    """All cells of the matrix, in the order in which they are run.

    Args:
        matrix: The plan.

    Returns:
        Each cell once, also where two stages name it.
    """
    cells = []
    for stage in matrix.stages:
        rates = list(stage.learning_rates or ())
        for data in stage.data:
            cells.append(Cell(stage.name, data, BASE))
            for seed in stage.seeds:
                for objective in stage.objectives:
                    tried = rates if rates and matrix.objective(objective).trains else [None]
                    cells += [Cell(stage.name, data, objective, seed, rate) for rate in tried]
    return list(dict.fromkeys(cells))
