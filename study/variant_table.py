"""What variants of a method give on dev, over several seeds: a choice between them before any is run on test."""

from __future__ import annotations

from collections import Counter, defaultdict

from clear_ir.report.tables import Table
from study.dev_tables import NOT_RUN
from study.directions import FROM_ENGLISH, WITHIN_LANGUAGE, direction_groups
from study.experiment import Experiment


def variant_table(experiment: Experiment) -> str:
    """The means of every objective on each data set's dev questions.

    Args:
        experiment: Plan and results.

    Returns:
        Markdown.
    """
    results = experiment.results
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    runs: Counter[tuple[str, str]] = Counter()
    headings: list[str] = []
    for cell in experiment.stage_cells("dev"):
        if not results.has(cell):
            continue
        entry = results.read(cell)
        (weight,) = entry["scores"]
        means = results.means(cell, weight)
        groups = direction_groups(list(means), ())
        scores = {name: sum(map(means.__getitem__, group)) / len(group) for name, group in groups.items()}
        if "pools" in entry:
            scores["Complete@10"] = entry["pools"][weight]["complete"]
        sums[cell.data, cell.objective].update(scores)
        runs[cell.data, cell.objective] += 1
        headings += [name for name in scores if name not in headings]
    if not runs:
        return NOT_RUN
    rows = [
        [*key, str(runs[key]), *(f"{100 * of[name] / runs[key]:.1f}" if name in of else "" for name in headings)]
        for key, of in sums.items()
    ]
    head = ["data", "objective", "seeds", *headings]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        f"nDCG@10 x 100 on dev questions; {FROM_ENGLISH}, {WITHIN_LANGUAGE} and the mixed pool where passages are in "
        "several languages. Each model is the one that its own held-out questions keep."
    )
