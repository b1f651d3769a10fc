"""What each objective gives where passages are in several languages: all pairs of languages, and one pool of them."""

from __future__ import annotations

from statistics import mean

from clear_ir.report.tables import Table
from study.dev_tables import NOT_RUN
from study.experiment import Experiment

#: By the name in the results, the heading of the column.
COLUMNS = {
    "english": "English",
    "monolingual": "within languages",
    "cross_lingual": "across languages",
    "worst": "worst pair",
    "complete": "Complete@10",
    "own_first": "own language first",
}


def pool_table(experiment: Experiment, data: str) -> str:
    """The means over all pairs of languages, and the measures of the mixed pool.

    Args:
        experiment: Plan and results.
        data: Name of the data set.

    Returns:
        Markdown.
    """
    runs: dict[str, list[dict[str, float]]] = {}
    for cell in experiment.stage_cells("test"):
        if cell.data == data and experiment.results.has(cell):
            for scores in experiment.results.read(cell).get("pools", {}).values():
                runs.setdefault(cell.objective, []).append(scores)
    if not runs:
        return NOT_RUN
    rows = [
        [name, str(len(found)), *(f"{100 * mean(scores[key] for scores in found):.1f}" for key in COLUMNS)]
        for name, found in runs.items()
    ]
    return (
        f"{Table(['method', 'seeds', *COLUMNS.values()], rows).markdown()}\n"
        "nDCG@10 x 100; within languages with English. The last two are of one pool with the passages of all "
        "languages: the share of questions that find all versions of their passage among the first ten, and of those "
        "for which the version in their own language comes first, in per cent."
    )
