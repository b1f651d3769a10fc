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
        dev: What to choose settings by; None if only the collection was held out.
        source_rows: For files of the user: all their rows, before anything was held out.
        places: By id of a row of the user, its place in the file.
    """

    rows: list[ParallelRow] = field(default_factory=list)
    collection: Collection | None = None
    rejected: RejectedRecords = field(default_factory=RejectedRecords)
    notes: list[str] = field(default_factory=list)
    translations: list[Translation] = field(default_factory=list)
    dev: Collection | None = None
    source_rows: list[ParallelRow] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)

    @property
    def collections(self) -> dict[str, Collection]:
        """The collections by the folder that each is written to, below that of the data set."""
        places = {"collection": self.collection, "dev/collection": self.dev}
        return {place: collection for place, collection in places.items() if collection}
