"""The queries that gained and lost most, with the first passages of both models for them."""

from __future__ import annotations

from dataclasses import dataclass

from clear_ir.data.collection import Collection, Text
from clear_ir.data.files import InputError, hash_of
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.results import Results, read_run

#: Passages shown of each run.
MOST_PASSAGES = 3
#: Characters shown of each passage.
MOST_CHARACTERS = 220


@dataclass(frozen=True)
class RankedPassage:
    """One passage in a ranking.

    Args:
        title: Its title; may be empty.
        text: Its beginning.
        lang: Its language.
        relevant: Whether it answers the query.
    """

    title: str
    text: str
    lang: str
    relevant: bool


@dataclass(frozen=True)
class QueryChange:
    """One query before and after.

    Args:
        direction: Such as `q-de.p-en`.
        query: Its text.
        lang: Its language.
        english: The same question in English; empty if there is none, or the query is in English.
        before: nDCG@10 of the base.
        after: nDCG@10 of the model.
        passages_before: The base's first passages.
        passages_after: The model's first passages.
    """

    direction: str
    query: str
    lang: str
    english: str
    before: float
    after: float
    passages_before: list[RankedPassage]
    passages_after: list[RankedPassage]


def largest_changes(
    base: Results, other: Results, collection: Collection, number: int = 20
) -> tuple[list[QueryChange], list[QueryChange]]:
    """The queries that gained most and those that lost most, each question once.

    Args:
        base: Results of the reference, with runs, or read from a folder that has them.
        other: Results of the model, likewise.
        collection: What both were evaluated on.
        number: How many queries that gained, and how many that lost, at most.

    Returns:
        Those that gained, largest gain first, and those that lost, largest loss first. Equal changes stand in an
        arbitrary order, the same every time.

    Raises:
        InputError: If the collection is not the one evaluated, or a run file is missing.
    """
    if collection.data_hash != base.data_hash:
        raise InputError(
            f"The collection {collection.name} is not the one that {base.model} was evaluated on; give that collection."
        )
    changes = [
        (
            other.directions[direction].per_query[query][MAIN_MEASURE] - values[MAIN_MEASURE],
            hash_of(direction, query),
            direction,
            query,
        )
        for direction, result in base.directions.items()
        for query, values in result.per_query.items()
    ]

    def largest(sign: int) -> list[tuple[str, str]]:
        """Direction and query of the largest gains (sign 1) or losses (-1), the largest of each question."""
        by_question: dict[str, tuple[str, str]] = {}
        for change, _, direction, query in sorted(changes, key=lambda item: (-sign * item[0], item[1])):
            if sign * change <= 0 or len(by_question) == number:
                break
            by_question.setdefault(base.questions.get(query, query), (direction, query))
        return list(by_question.values())

    gained, lost = largest(1), largest(-1)
    runs = [_first_passages(results, gained + lost) for results in (base, other)]
    english = {text.parallel_id: text.text for text in collection.queries.values() if text.lang == "en"}

    def described(direction: str, query: str) -> QueryChange:
        text, judged = collection.queries[query], collection.qrels[query]
        before, after = (results.directions[direction].per_query[query][MAIN_MEASURE] for results in (base, other))
        passages_before, passages_after = (
            [
                _ranked(passage, judged.get(passage.id, 0) > 0)
                for passage in map(collection.passages.__getitem__, run[direction, query])
            ]
            for run in runs
        )
        translation = "" if text.lang == "en" or not text.parallel_id else english.get(text.parallel_id, "")
        return QueryChange(direction, text.text, text.lang, translation, before, after, passages_before, passages_after)

    return [described(*change) for change in gained], [described(*change) for change in lost]


def _first_passages(results: Results, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The first passages of each pair of direction and query; each run file is read once."""
    queries_of: dict[str, list[str]] = {}
    for direction, query in pairs:
        queries_of.setdefault(direction, []).append(query)
    passages = {}
    for direction, queries in queries_of.items():
        run = results.directions[direction].run
        if not run and results.folder:
            run = read_run(results.folder, direction, MOST_PASSAGES, queries)
        for query in queries:
            passages[direction, query] = list(run.get(query, {}))[:MOST_PASSAGES]
    return passages


def _ranked(passage: Text, relevant: bool) -> RankedPassage:
    return RankedPassage(passage.title, _shortened(passage.text), passage.lang, relevant)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1].rstrip() + "…"
