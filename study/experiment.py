"""The plan and its results so far, as everything after them takes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from study.cells import Cell, planned_cells
from study.matrix import Matrix, StageName, read_matrix
from study.results import ResultFiles


@dataclass(frozen=True, eq=False)
class Experiment:
    """A matrix and the results of those of its cells that have been run.

    Args:
        matrix: The plan; by default the study's.
        results: The finished cells; by default the study's.
    """

    matrix: Matrix = field(default_factory=read_matrix)
    results: ResultFiles = field(default_factory=ResultFiles)

    @property
    def cells(self) -> list[Cell]:
        """All planned cells, in the order in which they are run."""
        return planned_cells(self.matrix)

    def stage_cells(self, stage: StageName) -> list[Cell]:
        """The planned cells of one stage."""
        return [cell for cell in self.cells if cell.stage == stage]
