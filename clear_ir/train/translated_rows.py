"""What the model card says of training queries that a translator made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from clear_ir.data.training_rows import language_of


def translated_by(records: Sequence[Mapping[str, str]]) -> list[str]:
    """How many rows of each language have a query that a translator made, and which.

    Args:
        records: Training rows. Those with `translated_by` count.

    Returns:
        A line for each language and translator; none if people asked all queries, or that is not known.
    """
    totals = Counter(language_of(record) for record in records)
    made = Counter((language_of(record), record["translated_by"]) for record in records if record.get("translated_by"))
    return [
        f"{lang}: {count} of {totals[lang]} training rows, by {translator}"
        for (lang, translator), count in sorted(made.items())
    ]
