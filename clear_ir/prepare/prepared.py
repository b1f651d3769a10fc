"""What every loader returns: rows to train on and a collection to test on."""

from __future__ import annotations

from dataclasses import dataclass, field

from clear_ir.data.collection import Collection
from clear_ir.data.rows import ParallelRow, RejectedRecords, Translation


@dataclass
class Prepared:
    """A data set, ready for mining and evaluation.

    Args:
        rows: Parallel rows to train on; empty if the data set is only for testing.
        collection: What to test on; None if nothing was held out.
        rejected: Records left out because a field is null or empty.
        notes: What else was left out or is worth knowing, one sentence each.
        translations: Texts in English and in another language, for distillation.
    """

    rows: list[ParallelRow] = field(default_factory=list)
    collection: Collection | None = None
    rejected: RejectedRecords = field(default_factory=RejectedRecords)
    notes: list[str] = field(default_factory=list)
    translations: list[Translation] = field(default_factory=list)
