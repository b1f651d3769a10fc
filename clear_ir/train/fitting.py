"""Fit settings to the rows: a batch size or a number of negatives that is more than they have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from clear_ir.data.files import InputError
from clear_ir.train.batches import DISTINCT_COLUMNS
from clear_ir.train.processes import num_processes
from clear_ir.train.settings import TrainingSettings

#: A row alone in its batch has no other row to be told from.
SMALLEST_BATCH = 2

#: The columns in which a batch has no text twice, for people.
_TEXTS = {"anchor": "English queries", "positive": "passages"}


def fit_settings(
    settings: TrainingSettings, rows: Sequence[Mapping[str, str]], langs: Sequence[str], num_negatives: int
) -> tuple[TrainingSettings, list[str]]:
    """Lower the settings that ask for more than the rows have.

    Args:
        settings: The settings that the user gave.
        rows: The rows to train on, without the dev share.
        langs: The language of each row.
        num_negatives: Negative passages per row.

    Returns:
        The settings, with another `batch_size` or `num_negatives` where these did not fit, and a sentence on each
        change.

    Raises:
        InputError: If a batch could not hold two rows.
    """
    changes: dict[str, int] = {}
    sentences = []
    largest, reason = _largest_batch(rows, langs, settings.batch_languages == "single")
    if (processes := num_processes()) > 1:  # together they have one batch without a text twice
        largest, reason = largest // processes, f"{reason}, by {processes} processes"
    if largest < SMALLEST_BATCH:
        # Rows that share a question or a passage are held out together, and that may be all of them.
        advice = "hold out fewer" if rows else "hold out none, since rows that share a text are held out together"
        raise InputError(
            f"{reason}, too few for a batch of {SMALLEST_BATCH}; give more rows, or {advice}.",
            "rows",
            "dev_share",
            *(["batch_languages"] if settings.batch_languages == "single" else []),
        )
    if settings.batch_size > largest:
        changes["batch_size"] = largest
        sentences.append(f"{reason}: batch_size {settings.batch_size} -> {largest}.")
    if settings.num_negatives is not None and settings.num_negatives > num_negatives:
        changes["num_negatives"] = num_negatives
        sentences.append(f"The rows have no more: num_negatives {settings.num_negatives} -> {num_negatives}.")
    return settings.model_copy(update=changes), sentences


def _largest_batch(rows: Sequence[Mapping[str, str]], langs: Sequence[str], single: bool) -> tuple[int, str]:
    """The largest batch that the rows can fill, and the reason as the beginning of a sentence.

    Args:
        rows: The rows.
        langs: The language of each row.
        single: Whether a batch has one language. Then the language with the fewest rows decides.
    """
    groups: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row, lang in zip(rows, langs, strict=True):
        groups[f" in {lang}, and each batch has one language" if single else ""].append(row)
    largest, reason = len(rows), _left(len(rows), "")
    for where, group in groups.items():
        # No batch has one text twice in these columns.
        distinct = {column: len({row[column] for row in group}) for column in DISTINCT_COLUMNS}
        column, count = min(distinct.items(), key=lambda item: item[1])
        if count < largest:
            largest = count
            texts = "" if count == len(group) else f" (distinct {_TEXTS[column]}: {count})"
            reason = _left(len(group), texts) + where
    return largest, reason


def _left(count: int, texts: str) -> str:
    return f"{count} {'row' if count == 1 else 'rows'}{texts} {'is' if count == 1 else 'are'} left for training"
