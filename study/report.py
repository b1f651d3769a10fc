"""The study's tables and figure, from its cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

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
    dev_stage,
    means,
    planned_cells,
    read_cell,
)

from clear_ir.compare.comparison import holm
from clear_ir.compare.resampling import PairedTest, QuestionScores, interval
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.results import DirectionResult
from clear_ir.report.figures import frontiers
from clear_ir.report.tables import Table

BASELINES = ("infonce-en", "infonce", "infonce-both", "infonce-symmetric", "distil on queries", "distil on NTREX")
#: Baselines that the default is held against; merged at the weight that dev chose.
OPPONENTS = ("infonce-both", "infonce-both, 3e-4", "infonce-both, 3e-4, merged", "infonce")

#: What the names of models end with that are compared among themselves: as long as planned, and longer.
LENGTHS = ("", ", 3x the steps")


def progress_table() -> str:
    """How far the matrix has been run."""
    counts: dict[tuple[str, str], list[bool]] = {}
    for cell in planned_cells():
        counts.setdefault((cell.stage, cell.data), []).append(read_cell(cell) is not None)
    rows = [[stage, data, f"{sum(done)} of {len(done)}"] for (stage, data), done in counts.items()]
    return Table(["stage", "data", "cells run"], rows, num_names=2).markdown()


def dev_table() -> str:
    """What each learning rate gives on dev, and the merging weight that is chosen."""
    cells = [cell for cell in dev_stage() if read_cell(cell) is not None]
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


class Found:
    """What the cells of one test set found, averaged over seeds question by question.

    Args:
        data: Name in the matrix.
    """

    def __init__(self, data: str) -> None:
        self.by_name: dict[str, QuestionScores] = {}
        self.seeds: dict[str, int] = {}
        self.names: list[str] = []
        cells = [cell for cell in planned_cells() if (cell.stage, cell.data) == ("test", data)]
        for cell in [cell for cell in cells if cell.seed == 0 and read_cell(cell) is not None]:
            runs = [run for run in (replace(cell, seed=seed) for seed in range(10)) if read_cell(run) is not None]
            for weight in read_cell(cell)["scores"]:
                name = cell.objective + (f", merged {weight}" if weight not in ("0", "1") else "")
                directions = _mean_over_seeds(runs, weight)
                self.names = list(directions)
                self.by_name[name] = QuestionScores(directions, {}, MAIN_MEASURE)
                self.seeds[name] = len(runs)
        unseen = [d for lang in MATRIX["data"][data].get("unseen", []) if (d := f"q-{lang}.p-en") in self.names]
        columns = {
            ENGLISH: [d for d in self.names if d == ENGLISH],
            "q-L.p-en": [d for d in self.names if d.endswith(".p-en") and d != ENGLISH and d not in unseen],
            "unseen q-L.p-en": unseen,
            "q-en.p-L": [d for d in self.names if d.startswith("q-en.") and d != ENGLISH],
            "q-L.p-L": [d for d in self.names if not d.endswith(".p-en") and not d.startswith("q-en.")],
        }
        #: Numbers of the directions that a column of a table is the mean of.
        self.columns = {label: [self.names.index(d) for d in found] for label, found in columns.items() if found}
        self.crossing = {d: [i] for i, d in enumerate(self.names) if d.endswith(".p-en") and d != ENGLISH}
        trained = [name for name in self.by_name if name in BASELINES and name in _complete()]
        self.strongest = max(trained, key=_dev_score, default=None)

    def variants(self, objective: str) -> list[str]:
        """The names of an objective's models, as trained and merged."""
        return [name for name in self.by_name if name.split(", merged")[0] == objective]

    def mean(self, name: str, columns: list[int]) -> float:
        return float(self.by_name[name].means[columns].mean())

    def differences(self, columns: Mapping[str, list[int]]) -> dict[tuple[str, str], tuple[float, float, float, float]]:
        """Change against the strongest baseline, its interval, and the p-value corrected over all of them."""
        others = [name for name in self.by_name if name != self.strongest]
        return compared(self, [(name, self.strongest) for name in others], columns, lambda pair: pair[0])


@cache
def found_on(data: str) -> Found:
    """What the cells of one test set found, read once."""
    return Found(data)


def compared(found: Found, pairs: list[tuple[str, str]], columns: Mapping[str, list[int]], key: Callable) -> dict:
    """Differences of pairs of models, by (key of the pair, label of the columns), p-values corrected over all."""
    tested = {}
    for after, before in pairs:
        test = PairedTest(found.by_name[before], found.by_name[after])
        for label, chosen in columns.items():
            tested[key((after, before)), label] = _difference(test, chosen)
    corrected = holm([p for *_, p in tested.values()])
    return {name: (*values[:3], p) for (name, values), p in zip(tested.items(), corrected, strict=True)}


def test_table(data: str) -> str:
    """Every objective on one test set, as trained and merged, against the strongest baseline."""
    found = found_on(data)
    if len(found.by_name) < 3 or not found.strongest:
        return "Not run yet."
    tested = found.differences({label: found.columns[label] for label in (ENGLISH, "q-L.p-en")})
    rows = []
    for name in found.by_name:
        row = [name, str(found.seeds[name])]
        for label, chosen in found.columns.items():
            text = f"{100 * found.mean(name, chosen):.1f}"
            if (name, label) in tested:
                change, low, high, p = tested[name, label]
                text += f" ({100 * change:+.1f}, {100 * low:+.1f} to {100 * high:+.1f}; p {p:.3f})"
            row.append(text)
        rows.append(row)
    return (
        f"{Table(['objective', 'seeds', *found.columns], rows).markdown()}\n"
        f"nDCG@10 x 100, scores averaged over seeds question by question; in brackets differences from "
        f"{found.strongest}, the strongest baseline on dev, with 95 % bootstrap intervals over questions and p-values "
        "of the paired permutation test, corrected by Holm over this table."
    )


def language_table(data: str) -> str:
    """The directions to English passages one by one."""
    found = found_on(data)
    if len(found.by_name) < 3 or not found.strongest:
        return "Not run yet."
    tested = found.differences(found.crossing)
    rows = []
    for name in found.by_name:
        row = [name]
        for label, chosen in found.crossing.items():
            star = "*" if tested.get((name, label), (1,))[-1] < 0.05 else ""
            row.append(f"{100 * found.mean(name, chosen):.1f}{star}")
        rows.append(row)
    return (
        f"{Table(['objective', *found.crossing], rows).markdown()}\n"
        f"nDCG@10 x 100; * p < .05 against {found.strongest}, corrected by Holm over this table."
    )


def default_table() -> str:
    """The default objective against the base, the paper's baseline and infonce-both, on every test set."""
    rows = []
    for data in MATRIX["data"]:
        found = found_on(data)
        for length in LENGTHS:
            if {"base", *(kind + length for kind in ("infonce", "infonce-both", MATRIX["default"]))} <= set(
                found.by_name
            ):
                rows += _default_rows(data, found, length)
    if not rows:
        return "Not run yet."
    head = ["data", "model", *(f"q-L.p-en, {kind}" for kind in OPPONENTS), f"{ENGLISH}, base", "most over infonce"]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        "Differences in points of nDCG@10 x 100 with 95 % bootstrap intervals and permutation p-values, corrected by "
        "Holm within a row (English and q-L.p-en against each); a merged model has the weight that dev chose "
        "for it. The last column is relative, in the direction where it is largest."
    )


def _default_rows(data: str, found: Found, length: str) -> list[list[str]]:
    """The default as trained and merged, against opponents that were trained as long."""
    kinds = [kind.replace(", merged", f"{length}, merged") if "merged" in kind else kind + length for kind in OPPONENTS]
    others = [next((n for n in found.by_name if n == kind or n.startswith(f"{kind} ")), "") for kind in kinds]
    chosen = {label: found.columns[label] for label in (ENGLISH, "q-L.p-en")}
    rows = []
    for name in found.variants(MATRIX["default"] + length):
        pairs = [(name, other) for other in [*others, "base"] if other]
        tested = compared(found, pairs, chosen, lambda pair: pair[1])
        against = []
        for label, other in [*(("q-L.p-en", other) for other in others), (ENGLISH, "base")]:
            if not other:  # not run on this data
                against.append("")
                continue
            change, low, high, p = tested[other, label]
            against.append(f"{100 * change:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}; p {p:.3f})")
        gains = {
            direction: found.mean(name, column) / found.mean(f"infonce{length}", column) - 1
            for direction, column in found.crossing.items()
        }
        best = max(gains, key=gains.__getitem__)
        rows.append([data, name, *against, f"{100 * gains[best]:+.1f} % ({best})"])
    return rows


def precision_table() -> str:
    """What bf16 does to the scores after training, against float32."""
    bf16 = "clear + cross"
    rows, seeds = [], 0
    for data in MATRIX["data"]:
        found = found_on(data)
        if {bf16, f"{bf16}, fp32"} <= found.by_name.keys():
            seeds = found.seeds[f"{bf16}, fp32"]
            chosen = {label: found.columns[label] for label in (ENGLISH, "q-L.p-en")}
            tested = compared(found, [(bf16, f"{bf16}, fp32")], chosen, lambda pair: pair[0])
            for label, column in chosen.items():
                change, low, high, p = tested[bf16, label]
                means = [f"{100 * found.mean(name, column):.2f}" for name in (f"{bf16}, fp32", bf16)]
                change = f"{100 * change:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}; p {p:.2f})"
                rows.append([data, label, *means, change])
    if not rows:
        return "Not run yet."
    return (
        f"{Table(['data', 'direction', 'float32', 'bf16', 'difference'], rows, num_names=2).markdown()}\n"
        f"nDCG@10 x 100 of {bf16}, trained and evaluated in either, {seeds} seeds, with 95 % bootstrap intervals and "
        "permutation p-values."
    )


def knee_figure() -> str:
    """English against the mean across languages as each objective is merged with the base, on dev."""
    curves = {}
    for objective in [name for name in _complete() if name in MATRIX["figure"]]:
        points = [(point.weight, point.english, point.cross_lingual) for point in dev_points(objective)]
        curves[objective] = points, chosen_weight(objective)
    return frontiers(curves)


def _points(scores: Mapping[str, float]) -> list[str]:
    return [f"{100 * scores[ENGLISH]:.1f}", f"{100 * crossing(dict(scores)):.1f}"]


def _base(cell: Cell) -> Cell:
    return Cell(cell.stage, cell.data, "base")


def _complete() -> list[str]:
    """The objectives of which all dev cells have been run."""
    cells = [cell for cell in dev_stage() if cell.objective != "base"]
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
        results[direction] = DirectionResult({q: {MAIN_MEASURE: v} for q, v in zip(ids, values, strict=True)}, 0)
    return results


def _difference(test: PairedTest, columns: list[int]) -> tuple[float, float, float, float]:
    """Change of a mean over directions, its interval, and the p-value."""

    def statistic(values: np.ndarray) -> np.ndarray:
        return values[..., columns].mean(axis=-1)

    before, after = test.before, test.after
    change = float(statistic(after.means) - statistic(before.means))
    low, high = interval(statistic(after.bootstrap()) - statistic(before.bootstrap()))
    return change, low, high, test.p_value(statistic)
