"""The queries that gained and lost most, with the passages found for them before and after."""

from __future__ import annotations

from dataclasses import dataclass

from clear_ir.collection import Collection
from clear_ir.files import InputError, hash_of
from clear_ir.results import Results, read_run
from clear_ir.search import Run

MEASURE = "nDCG@10"
#: Passages shown of each run, and characters of each passage.
SHOWN, LENGTH = 3, 220


@dataclass(frozen=True)
class Found:
    """One passage in a ranking.

    Args:
        text: Its beginning.
        lang: Its language.
        relevant: Whether it answers the query.
    """

    text: str
    lang: str
    relevant: bool


@dataclass(frozen=True)
class QueryChange:
    """One query before and after.

    Args:
        direction: Such as ``q-de.p-en``.
        query: Its text.
        lang: Its language.
        english: The same question in English, where there is one.
        before: nDCG@10 of the base.
        after: nDCG@10 of the model.
        found_before: The base's first passages.
        found_after: The model's first passages.
    """

    direction: str
    query: str
    lang: str
    english: str
    before: float
    after: float
    found_before: list[Found]
    found_after: list[Found]


def largest_changes(
    base: Results, other: Results, collection: Collection, number: int = 20
) -> tuple[list[QueryChange], list[QueryChange]]:
    """The queries that gained most and those that lost most, each question once.

    Args:
        base: Results of the reference, with runs, or read from a folder.
        other: Results of the model, likewise.
        collection: What both were evaluated on.
        number: Of queries on each side.

    Returns:
        Gained, largest gain first, and lost, largest loss first; among equal changes an arbitrary but fixed choice.

    Raises:
        InputError: If the collection is not the one evaluated, or a run file is missing.
    """
    if collection.data_hash != base.data_hash:
        raise InputError(
            f"The collection {collection.name} is not the one that {base.model} was evaluated on; give that as --data."
        )
    changes = [
        (
            other.directions[direction].per_query[query][MEASURE] - values[MEASURE],
            hash_of(direction, query),
            direction,
            query,
        )
        for direction, result in base.directions.items()
        for query, values in result.per_query.items()
    ]
    runs = _Runs()

    def chosen(sign: int) -> list[QueryChange]:
        kept: list[QueryChange] = []
        seen: set[str] = set()
        for change, _, direction, query in sorted(changes, key=lambda item: (-sign * item[0], item[1])):
            question = base.questions.get(query, query)
            if sign * change <= 0 or len(kept) == number:
                break
            if question not in seen:
                seen.add(question)
                kept.append(_describe(direction, query, base, other, collection, runs))
        return kept

    return chosen(1), chosen(-1)


class _Runs:
    """The first passages of each run, read once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], Run] = {}

    def first(self, results: Results, direction: str, query: str) -> list[str]:
        run = results.directions[direction].run
        if not run and results.folder:
            key = (results.model, direction)
            if key not in self._read:
                self._read[key] = read_run(results.folder, direction, SHOWN)
            run = self._read[key]
        return list(run.get(query, {}))[:SHOWN]


def _describe(
    direction: str, query: str, base: Results, other: Results, collection: Collection, runs: _Runs
) -> QueryChange:
    asked = collection.queries[query]
    translations = (text for text in collection.queries.values() if text.lang == "en" and asked.lang != "en")
    english = next((t.text for t in translations if t.parallel_id and t.parallel_id == asked.parallel_id), "")

    def found(results: Results) -> list[Found]:
        passages = [collection.passages[passage] for passage in runs.first(results, direction, query)]
        judged = collection.qrels[query]
        return [Found(_shortened(p.full_text), p.lang, judged.get(p.id, 0) > 0) for p in passages]

    before, after = (results.directions[direction].per_query[query][MEASURE] for results in (base, other))
    return QueryChange(direction, asked.text, asked.lang, english, before, after, found(base), found(other))


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LENGTH else text[: LENGTH - 1].rstrip() + "…"
