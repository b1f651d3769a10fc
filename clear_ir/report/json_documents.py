"""Results as JSON for other programs: what the tables of `evaluate` and `compare` show, unrounded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from clear_ir.compare.comparison import WORST, Comparison, Difference, gap_closed, summary_intervals
from clear_ir.evaluate.results import DirectionResult, Results
from clear_ir.report.tables import worst_direction


def evaluation_document(results: Results) -> dict[str, Any]:
    """What was measured of one model.

    Args:
        results: Of the model.

    Returns:
        `model`, `data` and `split`; `directions` and `mixed`, by direction the numbers of queries and
        passages and the mean of each measure; `summaries`, by name `value`, `low` and `high` of nDCG@10, and
        which `direction` is the worst. Shares lie between 0 and 1.
    """
    summaries: dict[str, dict[str, Any]] = {
        name: {"value": value, "low": low, "high": high}
        for name, (value, low, high) in summary_intervals(results).items()
    }
    if WORST in summaries:
        summaries[WORST]["direction"] = worst_direction(results)
    return {
        "model": results.model,
        "data": results.data,
        "split": results.split,
        "directions": {name: _means(result) for name, result in results.directions.items()},
        "mixed": {name: _means(result) for name, result in results.mixed.items()},
        "summaries": summaries,
    }


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """How models differ from a base.

    Args:
        comparison: The models and their differences.

    Returns:
        `directions`, `summaries` and `mixed`, lists of differences with the fields of
        `clear_ir.compare.comparison.Difference`; those of directions also have `gap_closed`, a share or
        null. Scores lie between 0 and 1.
    """
    by_name = {other.model: other for other in comparison.others}

    def with_gap(difference: Difference) -> dict[str, Any]:
        gap = gap_closed(comparison.base, by_name[difference.model], difference.direction)
        return asdict(difference) | {"gap_closed": gap}

    return {
        "directions": [with_gap(difference) for difference in comparison.directions],
        "summaries": [asdict(difference) for difference in comparison.summaries],
        "mixed": [asdict(difference) for difference in comparison.mixed],
    }


def _means(result: DirectionResult) -> dict[str, Any]:
    return {"num_queries": len(result.per_query), "num_passages": result.num_passages, **result.means}
