"""What every loader gives: rows to train on and a collection to test on."""

from __future__ import annotations

from dataclasses import dataclass, field

from clear_ir.data.collection import Collection
from clear_ir.data.rows import ParallelRow, Rejected, Translation


@dataclass
class Prepared:
    """A data set, ready for mining and evaluation.

    Args:
        rows: Parallel rows to train on.
        collection: What to test on; None where nothing was held out.
        rejected: Records left out because a field is null or empty.
        notes: What else was left out or is worth knowing, a sentence each.
        translations: Texts in English and in another language, for distillation.
    """

    rows: list[ParallelRow]
    collection: Collection | None
    rejected: Rejected = field(default_factory=Rejected)
    notes: list[str] = field(default_factory=list)
    translations: list[Translation] = field(default_factory=list)
