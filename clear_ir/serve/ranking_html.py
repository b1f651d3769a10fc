"""Rankings as HTML: models side by side, the right passages and the moves marked. Every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from clear_ir.data.collection import Text
from clear_ir.data.languages import english_name
from clear_ir.serve.passage_index import Hit
from clear_ir.serve.rankings import Ranking

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).resolve().parent / "templates"
#: Letters of a passage that are shown at once, at most; the rest, up to `MOST_LETTERS`, unfolds.
FIRST_LETTERS = 200
MOST_LETTERS = 2000
MOST_TITLE_LETTERS = 100


def render_html(
    rankings: Sequence[Ranking], passages: Mapping[str, Text], right: AbstractSet[str], with_scores: bool
) -> str:
    """Rankings beside each other, in columns. On a narrow screen they are one below the other.

    Args:
        rankings: One or two, in the order in which they are shown. Those with `other_ranks` show moves.
        passages: The passages of the collection, by id.
        right: Ids of the passages that are known to be right.
        with_scores: Show the scores.

    Returns:
        HTML without scripts and without addresses.
    """
    columns = [(ranking, _beyond(ranking, passages)) for ranking in rankings]
    return _template().render(
        columns=columns,
        right=right,
        with_scores=with_scores,
        language_name=english_name,
        beginning=_beginning,
        most_letters=MOST_LETTERS,
        most_title_letters=MOST_TITLE_LETTERS,
    )


def _beginning(text: str) -> str:
    """What is shown of a long text, up to a space if there is one; empty if the text is short enough."""
    if len(text) <= FIRST_LETTERS:
        return ""
    space = text.rfind(" ", FIRST_LETTERS // 2, FIRST_LETTERS)
    return text[: FIRST_LETTERS if space < 0 else space]


def _beyond(ranking: Ranking, passages: Mapping[str, Text]) -> Hit | None:
    """The first right passage, if it is not among the hits. It has no score."""
    if not ranking.right_ranks:
        return None
    name, rank = min(ranking.right_ranks.items(), key=lambda item: item[1])
    return Hit(rank, passages[name], float("nan")) if rank > len(ranking.hits) else None


@cache
def _template() -> Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("rankings.html")
