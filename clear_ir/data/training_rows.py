"""Training rows: parallel rows with hard negatives, passages and target-language queries. Their columns, read, checked.

The names and the order of the columns are defined here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.collection import Asked, Collection, Text, collect_questions, translated_passage
from clear_ir.data.column_names import no_column
from clear_ir.data.files import InputError
from clear_ir.data.languages import UNKNOWN
from clear_ir.data.nested import passages_of
from clear_ir.data.rows import PARALLEL_NAMES, check_columns, read_lang, records_and_columns
from clear_ir.data.texts import text_of

if TYPE_CHECKING:
    from datasets import Dataset

#: What the numbered columns of negative passages and negative queries begin with.
PREFIXES = ("negative", "neg_query")

#: Our name of each role in `clear_ir.data.column_names.ROLES`, and of what else a row can have.
TRAINING_NAMES = PARALLEL_NAMES | {"query": "anchor", "passage": "positive", "cross_query": "cross_anchor"}

#: Names of negatives: lists of passages, lists of queries, and one passage.
NEGATIVES = {
    **dict.fromkeys(("neg", "negs", "negative", "negatives", "negative_passages", "hard_negatives"), "negatives"),
    **dict.fromkeys(("neg_queries", "negative_queries"), "neg_queries"),
}
_NUMBERED = re.compile(r"(negative|neg_query)_\d+")

#: The CLEAR authors' example file has these names. Ours are those of their README.
AUTHORS_NAMES = {"en_question": "anchor", "paragraphs": "positive", "lang_question": "cross_anchor"}


def training_columns(num_negatives: int, num_neg_queries: int) -> list[str]:
    """The columns that a CLEAR loss reads, in its order.

    Args:
        num_negatives: Negative passages per row.
        num_neg_queries: Negative target-language queries per row.

    Returns:
        `["anchor", "positive", "negative_1", ..., "cross_anchor", "neg_query_1", ...]`.
    """
    negatives = [f"negative_{i}" for i in range(1, num_negatives + 1)]
    queries = [f"neg_query_{i}" for i in range(1, num_neg_queries + 1)]
    return ["anchor", "positive", *negatives, "cross_anchor", *queries]


def columns_of(dataset: Dataset) -> list[str]:
    """The columns of a dataset that a CLEAR loss reads, in its order: `dataset.select_columns(columns_of(dataset))`.

    A loss in a sentence-transformers trainer gets columns without their names and goes by their position. A column
    that is left over, such as an id, would be read as a text.

    Args:
        dataset: Training rows with our names of the columns or the CLEAR authors' names. Other columns are left out.

    Returns:
        The names in the dataset of anchor, positive, negative_1 to n, cross_anchor and neg_query_1 to m.

    Raises:
        InputError: If one of them is missing, or negatives are not numbered from 1 without gaps.
    """
    named = {_our_name(name, AUTHORS_NAMES): name for name in dataset.column_names}
    where = "The dataset"
    wanted = training_columns(*(_count(where, _numbered(tuple(named), prefix), prefix) for prefix in PREFIXES))
    if missing := [name for name in wanted if name not in named]:
        lacks = no_column(where, missing[0], dataset.column_names)
        raise InputError(f"{lacks}; rename the column that holds it.")
    return [named[name] for name in wanted]


def _our_name(name: str, rename: Mapping[str, str]) -> str:
    return rename.get(name) or re.sub(r"^neg_(\d+)$", r"negative_\1", name)


@dataclass(frozen=True)
class TrainingRows:
    """Training rows.

    Args:
        columns: The columns that the loss reads, in its order.
        num_negatives: Negative passages per row.
        num_neg_queries: Negative target-language queries per row.
        records: The rows: the texts of `columns`, and `lang`, `id`, `passage_id`, `cross_passage` and `translated_by`
            where the file has them.
        notes: What was dropped because rows have different numbers of negatives, a sentence each.
    """

    columns: list[str]
    num_negatives: int
    num_neg_queries: int
    records: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)


def holds_passages(column: str) -> bool:
    """Whether a column that the loss reads holds passages; the others hold queries. It may have the authors' name."""
    return _our_name(column, AUTHORS_NAMES).startswith(("positive", "negative"))


def language_of(record: Mapping[str, str]) -> str:
    """The language of a training row, which it may not say."""
    return record.get("lang") or UNKNOWN


def collect_held_out(records: Sequence[Mapping[str, str]], held_out: Iterable[Mapping[str, str]]) -> Collection:
    """Build a collection of the questions of held-out training rows, in English and in the row's language.

    Args:
        records: All training rows. The positives and negatives of all of them are the pool, and the translations of
            positives, so that every direction is tested.
        held_out: Those whose questions are asked.

    Returns:
        The collection, with the split `dev`.
    """
    names = [name for name in records[0] if holds_passages(name)]
    texts = dict.fromkeys(record[name] for record in records for name in names)
    passages = {text: Text(f"p{i}", text, "en") for i, text in enumerate(texts)}
    pool = {passage.id: passage for passage in passages.values()}
    for row in records:
        if row.get("cross_passage"):
            version = translated_passage(passages[row["positive"]].id, language_of(row), row["cross_passage"])
            pool.setdefault(version.id, version)
    asked = (
        Asked(f"q{i}", row["anchor"], passages[row["positive"]].id, row["cross_anchor"], language_of(row))
        for i, row in enumerate(held_out)
    )
    return collect_questions("dev", pool.values(), asked, "dev")


def read_training_rows(path: Path, mapping: Mapping[str, str] | None = None) -> TrainingRows:
    """Read training rows whose columns have our names, the CLEAR authors' names, or names that the user maps.

    FlagEmbedding's lists `pos` and `neg`, Tevatron's lists of passages, and the triplets of sentence-transformers are
    understood where a column has the query in the target language. Each positive becomes a row.

    Args:
        path: Any file that `clear_ir.data.records.read_records` reads.
        mapping: Our name of a column to the file's, where they differ: `{"anchor": "question"}`.

    Returns:
        The rows, with `lang`, `id`, `passage_id`, `cross_passage` and `translated_by` where the file has them. All have
        as many negatives as most rows of the file: rows with fewer are left out, and what others have beyond that is
        dropped. The notes count both.

    Raises:
        InputError: If a column is missing, a field is null or empty, a language is no code, a row's negatives are not
            numbered from 1 without gaps, or it has not as many translated passages as passages.
    """
    notes: list[str] = []
    rows, columns = records_and_columns(path, mapping or {}, TRAINING_NAMES, notes)
    records: list[dict[str, str]] = []
    sizes: list[tuple[int, int]] = []
    needed = training_columns(0, 0)
    ours_of: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for where, raw in rows:
        names = tuple(raw)
        if names not in ours_of:
            ours_of[names] = _training_names(names, columns.names)
            check_columns(where, raw, dict(ours_of[names]), needed)
        for record, size in _training_records(where, raw, ours_of[names]):
            records.append(record)
            sizes.append(size)
    return _of_one_size(records, sizes, notes)


def _training_names(names: Sequence[str], found: Mapping[str, str]) -> list[tuple[str, str]]:
    """Our name and the file's of each column that is read. `negatives` and `neg_queries` are lists."""
    ours_to_theirs = {ours: theirs for ours, theirs in found.items() if theirs in names}
    for name in names:
        ours = _our_name(name, NEGATIVES)
        if name not in found.values() and (ours in NEGATIVES.values() or _NUMBERED.fullmatch(ours)):
            ours_to_theirs.setdefault(ours, name)
    return list(ours_to_theirs.items())


def _training_records(
    where: str, raw: Mapping[str, Any], names: Sequence[tuple[str, str]]
) -> Iterator[tuple[dict[str, str], tuple[int, int]]]:
    """The rows of a record, one for each positive, with their numbers of negative passages and of negative queries."""
    texts: dict[str, str | None] = {}
    positives: list[str | None] = []
    translated: list[str | None] = []
    for ours, theirs in names:
        value, place = raw[theirs], f"{where}: {theirs!r}"
        if ours == "positive":
            positives = [_whole_text(passage, place) for passage in passages_of(value, place)]
        elif ours == "cross_passage":
            translated = [_whole_text(passage, place) for passage in passages_of(value, place)]
        elif ours in NEGATIVES.values():
            prefix = "negative" if ours == "negatives" else "neg_query"
            for number, text in enumerate(passages_of([] if value is None else value, place), start=1):
                texts[f"{prefix}_{number}"] = _whole_text(text, place)
        else:
            texts[ours] = read_lang(value, place) if ours == "lang" else _whole_text(value, place)
    negatives, queries = (_count_texts(where, texts, prefix) for prefix in PREFIXES)
    columns = training_columns(negatives, queries)
    positives = positives or [None]
    translated = translated if any(translated) else [None] * len(positives)
    if len(translated) != len(positives):
        raise InputError(
            f"{where}: {dict(names)['cross_passage']!r} has {len(translated)} passages, but the row has "
            f"{len(positives)}; give one for each."
        )
    extra = [name for name in ("lang", "id", "passage_id", "translated_by") if texts.get(name) is not None]
    for positive, translation in zip(positives, translated, strict=True):
        texts["positive"] = positive
        record = {name: text for name in (*columns, *extra) if (text := texts[name]) is not None}
        if len(record) < len(columns) + len(extra):
            lacking = next(name for name in columns if texts[name] is None)
            raise InputError(f"{where}: {dict(names).get(lacking, lacking)!r} is null or empty; fix or remove the row.")
        yield record | ({"cross_passage": translation} if translation else {}), (negatives, queries)


def _whole_text(value: Any, where: str) -> str | None:
    """A field as text with the white space around it; None for null and for an empty text."""
    text = text_of(value, where)
    return value if text is not None and isinstance(value, str) else text


def _of_one_size(records: list[dict[str, str]], sizes: list[tuple[int, int]], notes: list[str]) -> TrainingRows:
    """The rows with as many negatives as most of them have, and notes on what that drops.

    Args:
        records: The rows.
        sizes: How many negative passages and negative queries each has.
        notes: What is known about the rows already.
    """
    size = max(Counter(sizes).items(), key=lambda item: (item[1], item[0]))[0]
    columns = training_columns(*size)
    dropped = set(training_columns(*map(max, zip(*sizes, strict=True)))) - set(columns)
    kept = [record for record in records if all(column in record for column in columns)]
    longer = sum(not dropped.isdisjoint(record) for record in kept)
    most = f"Most rows have {size[0]} negative passages and {size[1]} negative queries."
    if left_out := len(records) - len(kept):
        notes.append(f"{most} Rows with fewer are left out: {left_out} of {len(records)}.")
    if longer:
        notes.append(f"{most} Rows with more lose what is beyond: {longer} of {len(kept)}.")
    kept = [{name: text for name, text in record.items() if name not in dropped} for record in kept]
    return TrainingRows(columns, *size, kept, notes)


def _count_texts(where: str, texts: Mapping[str, str | None], prefix: str) -> int:
    """How many columns `prefix_1`, `prefix_2`, ... there are, up to the last that is not null."""
    numbered = _numbered(tuple(texts), prefix)
    last = max((number for number, name in numbered if texts[name] is not None), default=0)
    return _count(where, [pair for pair in numbered if pair[0] <= last], prefix)


@lru_cache(maxsize=64)  # most rows of a file have the same names
def _numbered(names: tuple[str, ...], prefix: str) -> list[tuple[int, str]]:
    """The names that are `prefix_1`, `prefix_2`, ..., in the order of their numbers, which come first."""
    return sorted((int(match[1]), name) for name in names if (match := re.fullmatch(rf"{prefix}_(\d+)", str(name))))


def _count(where: str, numbered: list[tuple[int, str]], prefix: str) -> int:
    """How many there are, after a check that none is lacking between them."""
    numbers = [number for number, _ in numbered]
    if numbers != list(range(1, len(numbers) + 1)):
        columns = ", ".join(f"{prefix}_{number}" for number in numbers)
        raise InputError(f"{where}: the columns {columns} are not numbered 1, 2, ... without gaps; rename them.")
    return len(numbers)
