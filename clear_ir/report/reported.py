"""What a report is about: the models, how they differ, and what else is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from clear_ir.compare.comparison import CROSS_LINGUAL, Comparison, Difference, Interval, score_intervals
from clear_ir.data.collection import Collection
from clear_ir.data.directions import parse_direction
from clear_ir.data.rows import ParallelRow
from clear_ir.evaluate.results import Results
from clear_ir.report.query_changes import QueryChange, largest_changes

#: Up to this number, bars are readable side by side; with more directions the summaries and q-L.p-en are drawn.
MOST_BARS = 9

TrainLog = list[dict[str, Any]]


@dataclass(frozen=True)
class Reported:
    """What a report is about.

    Args:
        comparison: The models, and how they differ from the base.
        train_logs: Training logs by model.
        collection: What was evaluated; None leaves the texts of queries out.
        translations: Rows whose queries were translated, to show some of them.
    """

    comparison: Comparison
    train_logs: Mapping[str, TrainLog] = field(default_factory=dict)
    collection: Collection | None = None
    translations: Sequence[ParallelRow] = ()

    @property
    def base(self) -> Results:
        """The reference."""
        return self.comparison.base

    @property
    def models(self) -> list[Results]:
        """The base, then the models compared with it."""
        return self.comparison.models

    @property
    def best(self) -> Results:
        """The model that did best across languages, not counting the base; the base if it is alone."""
        summaries = {d.model: d.value for d in self.comparison.summaries if d.direction == CROSS_LINGUAL}
        return max(self.comparison.others, key=lambda other: summaries.get(other.model, 0.0), default=self.base)

    @property
    def many_directions(self) -> bool:
        """Whether there are more directions than a reader takes in at once."""
        return len(self.base.directions) > MOST_BARS

    @property
    def crossing(self) -> list[str]:
        """The directions whose sides differ in language."""
        return [name for name in self.base.directions if parse_direction(name).crosses]

    @cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """By model and direction: nDCG@10 with its 95 % bootstrap interval."""
        return {results.model: score_intervals(results.directions, results.questions) for results in self.models}

    @cached_property
    def changed_queries(self) -> dict[str, tuple[list[QueryChange], list[QueryChange]]]:
        """By model the queries that gained most and those that lost most; empty without the collection."""
        if self.collection is None:
            return {}
        return {other.model: largest_changes(self.base, other, self.collection) for other in self.comparison.others}

    def differences_of(self, model: str) -> dict[str, Difference]:
        """The differences of a model from the base, by summary and by direction."""
        return {d.direction: d for d in (*self.comparison.summaries, *self.comparison.directions) if d.model == model}
