"""Rewrite the study's tables and its figure in README and docs from the committed results.

python -m study.tables
python -m study.tables --check
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from benchmarks import generated
from study.alone_table import alone_table
from study.cost_tables import cost_figure, cost_table, headline_table
from study.default_tables import default_table, summary_table
from study.dev_tables import dev_table, merging_figure, progress_table
from study.experiment import Experiment
from study.gain_table import default_gains_table, gain_table
from study.matrix import PLANS
from study.objective_tables import language_table, objective_table, precision_table
from study.pair_table import pair_table
from study.pool_table import pool_table
from study.setting_tables import data_table, objective_settings_table, setting_table
from study.variant_table import variant_table

#: What the names of the study's tables begin with.
PREFIX = "study-"


def study_tables(plan: str, experiment: Experiment) -> dict[str, Callable[[], str]]:
    """The tables of one plan.

    Args:
        plan: Its name, a part of the tables' names.
        experiment: Plan and results.

    Returns:
        By the name that stands in the documents, a function that renders the table.
    """
    tables = {
        "summary": partial(summary_table, experiment),
        "setting": partial(setting_table, experiment),
        "data": partial(data_table, experiment),
        "objectives": partial(objective_settings_table, experiment),
        "progress": partial(progress_table, experiment),
        "dev": partial(dev_table, experiment),
        "default": partial(default_table, experiment),
        "pairs": partial(pair_table, experiment),
        "gains": partial(gain_table, experiment),
        "precision": partial(precision_table, experiment),
        "variants": partial(variant_table, experiment),
    }
    for data in experiment.matrix.data:
        tables[data] = partial(objective_table, experiment, data)
        tables[f"{data}-cost"] = partial(cost_table, experiment, data)
        tables[f"{data}-headline"] = partial(headline_table, experiment, data)
        tables[f"{data}-pools"] = partial(pool_table, experiment, data)
        tables[f"{data}-gains"] = partial(default_gains_table, experiment, data)
        tables[f"{data}-alone"] = partial(alone_table, experiment, data)
        tables[f"{data}-by-language"] = partial(language_table, experiment, data)
    return {f"{PREFIX}{plan}-{name}": render for name, render in tables.items()}


def main() -> int:
    """The command."""
    experiments = {plan: Experiment.of_plan(plan) for plan in PLANS}
    tables: dict[str, Callable[[], str]] = {}
    for plan, experiment in experiments.items():
        tables |= study_tables(plan, experiment)
    figures = {"docs/study-merging.svg": partial(merging_figure, experiments["minilm"])}
    if experiments["e5-small"].has_test("afriqa"):
        figures["docs/study-cost.svg"] = partial(cost_figure, experiments["e5-small"], "afriqa")
    return generated.main(__doc__ or "", tables, figures, lambda name: name.startswith(PREFIX))


if __name__ == "__main__":
    sys.exit(main())
