"""The cells of the study: which are planned, where their JSON lies, and what the dev stage chose."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from clear_ir.data.directions import ENGLISH_DIRECTION as ENGLISH
from clear_ir.merge.interpolation import MergePoint, best_point

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
MATRIX = yaml.safe_load((HERE / "matrix.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Cell:
    """One training run and its evaluation; ``base`` is not trained.

    Args:
        stage: ``dev`` or ``test``.
        data: Name in the matrix.
        objective: Name in the matrix, or ``base``.
        seed: Of the run.
        learning_rate: Of the run; None takes what the dev stage chose.
    """

    stage: str
    data: str
    objective: str
    seed: int = 0
    learning_rate: float | None = None


def planned_cells() -> list[Cell]:
    """All cells of the matrix, in order."""
    cells = []
    for stage in MATRIX["stages"]:
        for data in stage["data"]:
            cells.append(Cell(stage["name"], data, "base"))
            for seed in stage["seeds"]:
                for objective in stage["objectives"]:
                    rates = stage.get("learning_rates", [None])
                    cells += [Cell(stage["name"], data, objective, seed, rate) for rate in rates]
    return list(dict.fromkeys(cells))  # the base of a data set that stands in two stages once


def cell_path(cell: Cell) -> Path:
    """Where a cell's JSON lies."""
    rate = f"-lr{cell.learning_rate:g}" if cell.learning_rate else ""
    name = f"{cell.stage}-{cell.data}-{cell.objective}-seed{cell.seed}{rate}"
    return RESULTS / f"{name.replace(' + ', '+').replace(', ', '-').replace(' ', '-')}.json"


def read_cell(cell: Cell) -> dict | None:
    """What a cell found, None if it has not been run."""
    path = cell_path(cell)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def means(cell: Cell, weight: str) -> dict[str, float]:
    """Mean nDCG@10 by direction."""
    found = read_cell(cell)
    return {direction: float(np.mean(list(map(float, s.split())))) for direction, s in found["scores"][weight].items()}


def crossing(scores: dict[str, float]) -> float:
    """Mean over the directions from another language to English passages."""
    return float(np.mean([value for d, value in scores.items() if d.endswith(".p-en") and d != ENGLISH]))


def loss_settings(objective: str) -> dict:
    """What an objective sets, with what it takes over from the one that it is ``like``."""
    own = dict(MATRIX["objectives"].get(objective, {}))
    return {**MATRIX["objectives"].get(own.pop("like", None), {}), **own}


def dev_stage() -> list[Cell]:
    """The cells that choose."""
    return [cell for cell in planned_cells() if cell.stage == "dev"]


def dev_cells(objective: str) -> list[Cell]:
    """The dev cells of an objective, or of the one that it is ``like``, one for each learning rate left open."""
    fixed = MATRIX["objectives"][objective].get("learning_rate")
    objective = MATRIX["objectives"][objective].get("like", objective)
    found = [cell for cell in dev_stage() if cell.objective == objective]
    found = [cell for cell in found if fixed in (None, cell.learning_rate)]
    if missing := [cell for cell in found if read_cell(cell) is None]:
        raise SystemExit(f"Run the dev stage first; {missing[0]} is not there.")
    if not found:
        raise SystemExit(f"The dev stage of the matrix has no {objective!r}, so nothing chooses its learning rate.")
    return found


def best_dev_cell(objective: str) -> Cell:
    """The dev cell with the best mean across languages, unmerged; of those level with it, the best in English."""
    scores = {cell: means(cell, "1") for cell in dev_cells(objective)}
    least = max(map(crossing, scores.values())) - MATRIX["level"] / 100
    return max((cell for cell in scores if crossing(scores[cell]) >= least), key=lambda cell: scores[cell][ENGLISH])


def chosen_learning_rate(objective: str) -> float:
    """The learning rate of the best dev cell."""
    return best_dev_cell(objective).learning_rate


def dev_points(objective: str) -> list[MergePoint]:
    """The merging weights of the chosen dev cell, the base at 0 first."""
    best = best_dev_cell(objective)
    points = []
    for weight in [0.0, *MATRIX["merging_weights"]]:
        cell = Cell("dev", best.data, "base") if weight == 0 else best
        scores = means(cell, f"{weight:g}")
        points.append(MergePoint(weight, scores[ENGLISH], crossing(scores), scores))
    return points


def chosen_weight(objective: str) -> float:
    """The merging weight that is best across languages on dev among those that keep English."""
    return best_point(dev_points(objective), MATRIX["max_english_loss"]).weight
