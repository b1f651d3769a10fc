"""The plan and its results so far, as everything after them takes them."""

from __future__ import annotations

from dataclasses import dataclass

from study.cells import Cell, planned_cells
from study.matrix import PLANS, Matrix, StageName, read_matrix
from study.results import RESULTS_FOLDER, ResultFiles


@dataclass(frozen=True, eq=False)
class Experiment:
    """A matrix and the results of those of its cells that have been run.

    Args:
        matrix: The plan.
        results: The finished cells.
    """

    matrix: Matrix
    results: ResultFiles

    @classmethod
    def of_plan(cls, name: str) -> Experiment:
        """One of the study's plans, and what has been run of it.

        Args:
            name: Name of a file in `plans/`.
        """
        return cls(read_matrix(PLANS[name]), ResultFiles(RESULTS_FOLDER / name))

    def has_test(self, data: str) -> bool:
        """Whether any cell of a data set's test stage has been run."""
        return any(cell.data == data and self.results.has(cell) for cell in self.stage_cells("test"))

    @property
    def cells(self) -> list[Cell]:
        """All planned cells, in the order in which they are run."""
        return planned_cells(self.matrix)

    def stage_cells(self, stage: StageName) -> list[Cell]:
        """The planned cells of one stage."""
        return [cell for cell in self.cells if cell.stage == stage]
