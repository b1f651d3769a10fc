"""Training rows as what a trainer takes: a data set for the loss, and a collection that judges checkpoints."""

from __future__ import annotations

from typing import Any

from datasets import Dataset

from clear_ir.data.collection import Collection, Text, make_collection
from clear_ir.data.files import InputError
from clear_ir.data.rows import TrainingRows, training_columns
from clear_ir.train.settings import TrainingSettings


def make_dataset(
    train: list[dict[str, str]], rows: TrainingRows, settings: TrainingSettings
) -> tuple[Dataset, int, list[str]]:
    """The rows as a data set whose columns the loss reads.

    Args:
        train: The records to train on.
        rows: All rows, which know the numbers of negatives.
        settings: ``num_negatives``, and the weights that need negatives in pairs.

    Returns:
        The data set; its number of negative passages; and the languages, if several: a column ``label`` then counts
        through them.

    Raises:
        InputError: If the rows have too few negatives, or not as many on both sides where KL needs it.
    """
    negatives, queries = rows.num_negatives, rows.num_neg_queries
    if settings.num_negatives is not None:
        if settings.num_negatives > negatives:
            raise InputError(f"num_negatives is {settings.num_negatives}, but the rows have {negatives}; mine more.")
        negatives, queries = settings.num_negatives, min(queries, settings.num_negatives)
    if settings.weights.beta > 0 and negatives != queries:
        raise InputError(
            f"The KL term needs as many negative queries as negative passages; the rows have {queries} and "
            f"{negatives}. Mine both, or set beta to 0."
        )
    columns = training_columns(negatives, queries)
    table: dict[str, list[Any]] = {column: [record[column] for record in train] for column in columns}
    langs = sorted({lang_of(record) for record in train})
    if len(langs) > 1:
        table["label"] = [langs.index(lang_of(record)) for record in train]
    return Dataset.from_dict(table), negatives, langs if len(langs) > 1 else []


def lang_of(record: dict[str, str]) -> str:
    """The language of a training row, ``xx`` where it is not said."""
    return record.get("lang") or "xx"


def make_dev_collection(records: list[dict[str, str]], dev: list[dict[str, str]]) -> Collection:
    """Dev queries against every passage that the rows name, negatives included.

    Args:
        records: All rows.
        dev: Those held out.

    Returns:
        A collection with directions q-en.p-en and q-L.p-en.
    """
    names = [name for name in records[0] if name == "positive" or name.startswith("negative_")]
    texts = dict.fromkeys(record[name] for record in records for name in names)
    passages = {text: Text(f"p{i}", text, "en") for i, text in enumerate(texts)}
    questions = (
        (
            f"q{i}",
            passages[record["positive"]].id,
            {"en": record["anchor"], lang_of(record): record["cross_anchor"]},
        )
        for i, record in enumerate(dev)
    )
    return make_collection("dev", passages.values(), questions, "dev")
