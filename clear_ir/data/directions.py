"""Directions: the language of the queries and the language of the passages, written `q-de.p-en`."""

from __future__ import annotations

from dataclasses import dataclass

#: The passage side of a direction whose pool holds every language.
ALL = "all"
#: The name of the direction with English on both sides.
ENGLISH_DIRECTION = "q-en.p-en"


@dataclass(frozen=True)
class Direction:
    """Queries in one language; passages in one language, or a pool of several.

    Args:
        query_lang: Language of the queries.
        passage_lang: Language of the pool. Several languages are joined by `+`, as in `en+de`; or `all`.
    """

    query_lang: str
    passage_lang: str

    def __str__(self) -> str:
        return f"q-{self.query_lang}.p-{self.passage_lang}"

    @property
    def mixed(self) -> bool:
        """Whether the pool holds several languages."""
        return self.passage_lang == ALL or "+" in self.passage_lang

    @property
    def crosses(self) -> bool:
        """Whether queries and passages differ in language; False for mixed pools."""
        return not self.mixed and self.query_lang != self.passage_lang


def parse_direction(name: str) -> Direction:
    """The direction of a name such as `q-de.p-en`.

    Args:
        name: As `str(direction)` gives it.

    Returns:
        The direction.

    Raises:
        ValueError: If the name has another form.
    """
    query, dot, passage = name.partition(".p-")
    if not (dot and query.startswith("q-")):
        raise ValueError(f"{name!r} is not a direction; write for example q-de.p-en")
    return Direction(query[2:], passage)
