"""The queries that gained and lost most, with the passages found for them before and after."""

from __future__ import annotations

from dataclasses import dataclass

from clear_ir.data.collection import Collection
from clear_ir.data.files import InputError, hash_of
from clear_ir.evaluate.results import Results, read_run

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

    def chosen(sign: int) -> list[tuple[str, str]]:
        kept: dict[str, tuple[str, str]] = {}
        for change, _, direction, query in sorted(changes, key=lambda item: (-sign * item[0], item[1])):
            if sign * change <= 0 or len(kept) == number:
                break
            kept.setdefault(base.questions.get(query, query), (direction, query))
        return list(kept.values())

    gained, lost = chosen(1), chosen(-1)
    runs = [_first_passages(results, gained + lost) for results in (base, other)]
    english = {text.parallel_id: text.text for text in collection.queries.values() if text.lang == "en"}

    def described(direction: str, query: str) -> QueryChange:
        asked, judged = collection.queries[query], collection.qrels[query]
        before, after = (results.directions[direction].per_query[query][MEASURE] for results in (base, other))
        found = [
            [
                Found(_shortened(passage.full_text), passage.lang, judged.get(passage.id, 0) > 0)
                for passage in map(collection.passages.__getitem__, run[direction, query])
            ]
            for run in runs
        ]
        translation = "" if asked.lang == "en" or not asked.parallel_id else english.get(asked.parallel_id, "")
        return QueryChange(direction, asked.text, asked.lang, translation, before, after, *found)

    return [described(*place) for place in gained], [described(*place) for place in lost]


def _first_passages(results: Results, places: list[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The first passages found for each direction and query; each run file is read once."""
    found = {}
    for direction in dict.fromkeys(direction for direction, _ in places):
        queries = [query for of, query in places if of == direction]
        run = results.directions[direction].run
        if not run and results.folder:
            run = read_run(results.folder, direction, SHOWN, queries)
        for query in queries:
            found[direction, query] = list(run.get(query, {}))[:SHOWN]
    return found


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LENGTH else text[: LENGTH - 1].rstrip() + "…"
