"""The study's tables and figure, from its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from cells import (
    ENGLISH,
    MATRIX,
    RESULTS,
    Cell,
    best_dev_cell,
    chosen_weight,
    crossing,
    dev_points,
    means,
    planned_cells,
    read_cell,
)

from clear_ir.comparison import holm
from clear_ir.figures import frontiers
from clear_ir.resampling import PairedTest, QuestionScores, interval
from clear_ir.results import DirectionResult
from clear_ir.tables import Table

MEASURE = "nDCG@10"
BASELINES = ("infonce-en", "infonce", "infonce-both", "infonce-symmetric", "distil on queries", "distil on NTREX")


def progress_table() -> str:
    """How far the matrix has been run."""
    counts: dict[tuple[str, str], list[bool]] = {}
    for cell in planned_cells():
        counts.setdefault((cell.stage, cell.data), []).append(read_cell(cell) is not None)
    rows = [[stage, data, f"{sum(done)} of {len(done)}"] for (stage, data), done in counts.items()]
    return Table(["stage", "data", "cells run"], rows, num_names=2).markdown()


def dev_table() -> str:
    """What each learning rate gives on dev, and the merging weight that is chosen."""
    cells = [cell for cell in planned_cells() if cell.stage == "dev" and read_cell(cell) is not None]
    if not cells:
        return "Not run yet."
    rows = []
    for cell in cells:
        weight = "0" if cell.objective == "base" else "1"
        scores = means(cell, weight)
        row = [cell.objective, f"{cell.learning_rate:g}" if cell.learning_rate else "", *_points(scores)]
        if cell.objective in _complete() and best_dev_cell(cell.objective) == cell:
            chosen = chosen_weight(cell.objective)
            row += [f"{chosen:g}", *_points(means(cell, f"{chosen:g}") if chosen else means(_base(cell), "0"))]
        rows.append(row + [""] * (6 + 1 - len(row)))
    head = ["objective", "learning rate", ENGLISH, "q-L.p-en", "merging weight", "merged " + ENGLISH, "merged q-L.p-en"]
    questions = _questions("dev", cells[0].data)
    return (
        f"{Table(head, rows).markdown()}\n"
        f"nDCG@10 x 100 on {len(questions[ENGLISH])} dev questions, seed 0. The merging weight of the better learning "
        f"rate is the best across languages among those that lose at most {MATRIX['max_english_loss']:g} points in "
        "English."
    )


def test_table(data: str) -> str:
    """Every objective on one test set, as trained and merged, against the strongest baseline."""
    found: dict[str, dict[str, DirectionResult]] = {}
    seeds: dict[str, int] = {}
    for cell in planned_cells():
        if (cell.stage, cell.data) == ("test", data) and cell.seed == 0 and read_cell(cell) is not None:
            same = [replace(cell, seed=seed) for seed in range(10)]
            runs = [run for run in same if read_cell(run) is not None]
            weights = list(read_cell(cell)["scores"])
            for weight in weights:
                merged = f", merged {weight}" if weight not in ("0", "1") else ""
                found[cell.objective + merged] = _mean_over_seeds(runs, weight)
                seeds[cell.objective + merged] = len(runs)
    if len(found) < 3:
        return "Not run yet."
    strongest = max((name for name in found if name in BASELINES and name in _complete()), key=_dev_score, default=None)
    scores = {name: QuestionScores(directions, {}, MEASURE) for name, directions in found.items()}
    names = list(next(iter(found.values())))
    unseen = {f"q-{lang}.p-en" for lang in MATRIX["data"][data].get("unseen", [])}
    crossing_columns = [i for i, d in enumerate(names) if d.endswith(".p-en") and d != ENGLISH and d not in unseen]
    columns = {ENGLISH: [names.index(ENGLISH)], "q-L.p-en": crossing_columns}
    if unseen:
        columns["unseen q-L.p-en"] = [names.index(name) for name in sorted(unseen)]
    for label, chosen in (
        ("q-en.p-L", [i for i, d in enumerate(names) if d.startswith("q-en.") and d != ENGLISH]),
        ("q-L.p-L", [i for i, d in enumerate(names) if not d.endswith(".p-en") and not d.startswith("q-en.")]),
    ):
        if chosen:
            columns[label] = chosen
    tested = {(name, label): _difference(scores[strongest], scores[name], columns[label])
              for name in found if strongest and name != strongest for label in (ENGLISH, "q-L.p-en")}  # fmt: skip
    corrected = dict(zip(tested, holm([p for *_, p in tested.values()]), strict=True))
    rows = []
    for name in found:
        row = [name, str(seeds[name])]
        for label, chosen in columns.items():
            text = f"{100 * scores[name].means[chosen].mean():.1f}"
            if (name, label) in tested:
                change, low, high, _ = tested[name, label]
                text += f" ({100 * change:+.1f}, {100 * low:+.1f} to {100 * high:+.1f}"
                text += f"; p {corrected[name, label]:.3f})"
            row.append(text)
        rows.append(row)
    against = (
        f"differences from {strongest}, the strongest baseline on dev, with 95 % bootstrap intervals over questions"
    )
    return (
        f"{Table(['objective', 'seeds', *columns], rows).markdown()}\n"
        f"nDCG@10 x 100, scores averaged over seeds question by question; in brackets {against} and p-values of the "
        "paired permutation test, corrected by Holm over this table."
    )


def knee_figure() -> str:
    """English against the mean across languages as each objective is merged with the base, on dev."""
    curves = {}
    for objective in _complete():
        points = [(point.weight, point.english, point.cross_lingual) for point in dev_points(objective)]
        curves[objective] = points, chosen_weight(objective)
    return frontiers(curves)


def _points(scores: Mapping[str, float]) -> list[str]:
    return [f"{100 * scores[ENGLISH]:.1f}", f"{100 * crossing(dict(scores)):.1f}"]


def _base(cell: Cell) -> Cell:
    return Cell(cell.stage, cell.data, "base")


def _complete() -> list[str]:
    """The objectives of which all dev cells have been run."""
    cells = [cell for cell in planned_cells() if cell.stage == "dev" and cell.objective != "base"]
    lacking = {cell.objective for cell in cells if read_cell(cell) is None}
    return [name for name in dict.fromkeys(cell.objective for cell in cells) if name not in lacking]


def _dev_score(objective: str) -> float:
    return crossing(means(best_dev_cell(objective), "1"))


def _questions(stage: str, data: str) -> dict[str, list[str]]:
    document = json.loads((RESULTS / f"questions-{stage}-{data}.json").read_text(encoding="utf-8"))
    return {direction: ids.split() for direction, ids in document["questions"].items()}


def _mean_over_seeds(runs: list[Cell], weight: str) -> dict[str, DirectionResult]:
    found = [read_cell(run)["scores"][weight] for run in runs]
    results = {}
    for direction, ids in _questions(runs[0].stage, runs[0].data).items():
        values = np.mean([list(map(float, scores[direction].split())) for scores in found], axis=0)
        results[direction] = DirectionResult({q: {MEASURE: v} for q, v in zip(ids, values, strict=True)}, 0)
    return results


def _difference(before: QuestionScores, after: QuestionScores, columns: list[int]) -> tuple[float, float, float, float]:
    """Change of a mean over directions, its interval, and the p-value."""

    def statistic(values: np.ndarray) -> np.ndarray:
        return values[..., columns].mean(axis=-1)

    change = float(statistic(after.means) - statistic(before.means))
    low, high = interval(statistic(after.bootstrap()) - statistic(before.bootstrap()))
    return change, low, high, PairedTest(before, after).p_value(statistic)
