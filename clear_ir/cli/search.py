"""`clear-ir search`: type a question, see what a model finds, beside another model."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clear_ir.cli.output import counted, print_json
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import AsJson, Recipe, Remote, Split, column_names, default_split
from clear_ir.data.files import InputError
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from clear_ir.data.collection import Collection, Text
    from clear_ir.serve.rankings import Ranking


@takes(encode=EncodingSettings)
def search(
    question: Annotated[str, typer.Argument(help="The question, in any language.")],
    model: Annotated[
        list[str],
        typer.Option(
            help="Model folder, hub name, or 'minilm'. Give a second one, such as the base, to see both side by side; "
            "the first one's moves against it are marked."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Collection folder, with corpus.jsonl, queries.jsonl and qrels/.")],
    flags: Flags,
    pool: Annotated[str, typer.Option(help="Search the passages in this language, such as en; or all.")] = "all",
    top_k: Annotated[int, typer.Option(min=1, help="Passages to show.")] = 10,
    split: Split = None,
    recipe: Recipe = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
) -> None:
    """Search a collection for a question, with one model or with two side by side."""
    from clear_ir.data.collection_files import read_collection
    from clear_ir.data.texts import text_of
    from clear_ir.recipes.recipe import load_recipe
    from clear_ir.serve.rankings import MOST_MODELS, index_passages, rank_side_by_side
    from clear_ir.serve.search_pool import passages_in, queries_by_question, question_key, right_passages
    from clear_ir.serve.terminal import render_rankings

    asked = text_of(question, "The question")
    if asked is None:
        raise InputError('The question is empty; type one between quotation marks: "How do I cancel?"')
    names = column_names(model, MOST_MODELS)
    encoding = load_recipe(recipe, flags).encode
    collection = read_collection(data, split or default_split(data))
    passages = passages_in(collection, pool)
    queries = queries_by_question(collection).get(question_key(asked), [])
    right = right_passages(collection, queries)
    indexes = index_passages(dict(zip(names, model, strict=True)), passages, encoding, trust_remote_code)
    rankings = rank_side_by_side(indexes, asked, top_k, right)
    if as_json:
        print_json(_document(rankings, asked, queries, right, pool, len(passages)))
        return
    typer.echo(f"{counted(len(passages), 'passage')} searched (pool {pool}).")
    typer.echo(render_rankings(rankings, right))
    if len(rankings) > 1:
        typer.echo(f"+3: {names[0]} has the passage 3 ranks higher than {names[1]}. =: on the same rank.")
    _print_right(collection, rankings, queries, right)


def _print_right(
    collection: Collection, rankings: Sequence[Ranking], queries: Sequence[Text], right: AbstractSet[str]
) -> None:
    """Say where the right passages are, or why none is marked."""
    if not queries:
        typer.echo(f"The collection {collection.name} does not have this question, so no passage is marked as right.")
        return
    langs = ", ".join(sorted({query.lang for query in queries}))
    typer.echo(f"The question is one of the collection's ({langs}).")
    if not rankings[0].right_ranks:
        typer.echo(f"None of its {counted(len(right), 'right passage')} is in this pool.")
        return
    for ranking in rankings:
        ranks = sorted(ranking.right_ranks.values())
        shown = ", ".join(map(str, ranks[:5])) + (f" and {len(ranks) - 5} more" if len(ranks) > 5 else "")
        typer.echo(f"{ranking.model}: right {'passage' if len(ranks) == 1 else 'passages'} at rank {shown}.")


def _document(
    rankings: Sequence[Ranking],
    question: str,
    queries: Sequence[Text],
    right: AbstractSet[str],
    pool: str,
    num_passages: int,
) -> dict[str, Any]:
    """The rankings for other programs."""
    return {
        "question": question,
        "pool": pool,
        "passages": num_passages,
        "queries": [query.id for query in queries],
        "models": [
            {
                "model": ranking.model,
                "right_ranks": dict(ranking.right_ranks),
                "hits": [
                    {
                        "rank": hit.rank,
                        "id": hit.passage.id,
                        "lang": hit.passage.lang,
                        "score": hit.score,
                        "right": hit.passage.id in right,
                        "other_rank": ranking.other_ranks.get(hit.passage.id),
                        "title": hit.passage.title,
                        "text": hit.passage.text,
                    }
                    for hit in ranking.hits
                ],
            }
            for ranking in rankings
        ],
    }
