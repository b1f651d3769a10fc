"""The passages that are searched for a question, and those that are known to be right."""

from __future__ import annotations

from collections.abc import Sequence

from clear_ir.data.collection import Collection, Text
from clear_ir.data.directions import ALL
from clear_ir.data.files import InputError
from clear_ir.data.languages import language_tag
from clear_ir.data.texts import text_key


def passages_in(collection: Collection, pool: str) -> list[Text]:
    """The passages of a pool.

    Args:
        collection: Has the passages.
        pool: A language, or `all`.

    Returns:
        The passages, in the order of the collection.

    Raises:
        InputError: If the pool names no language, or the collection has no passage in it.
    """
    passages = list(collection.passages.values())
    if pool.strip().lower() == ALL:
        return passages
    lang = language_tag(pool, "The pool", "pool")
    chosen = [passage for passage in passages if passage.lang == lang]
    if not chosen:
        langs = ", ".join(sorted({passage.lang for passage in passages}))
        raise InputError(
            f"The collection {collection.name} has no passages in {lang}, only in {langs}; choose one, or {ALL}.",
            "pool",
        )
    return chosen


def question_key(question: str) -> str:
    """What is equal for questions that differ by case and white space alone."""
    return text_key(question).casefold()


def queries_by_question(collection: Collection) -> dict[str, list[Text]]:
    """The collection's queries by `question_key`; several with one key if languages share a wording."""
    queries: dict[str, list[Text]] = {}
    for query in collection.queries.values():
        queries.setdefault(question_key(query.text), []).append(query)
    return queries


def right_passages(collection: Collection, queries: Sequence[Text]) -> set[str]:
    """The ids of the passages that are judged relevant for any of some queries."""
    return {passage for query in queries for passage, relevance in collection.qrels[query.id].items() if relevance > 0}
