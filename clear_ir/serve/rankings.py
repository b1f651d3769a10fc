"""What models find for one question, beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from clear_ir.data.collection import Text
from clear_ir.data.directions import ALL
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.serve.passage_index import Hit, PassageIndex

#: Models that are shown beside each other.
MOST_MODELS = 2


@dataclass(frozen=True)
class Ranking:
    """What one model found for a question.

    Args:
        model: Name of the model.
        hits: The best passages, best first.
        right_ranks: Rank of each right passage of the pool, by id.
        other_ranks: The rank of each hit in the other model's ranking, by id; empty without another model.
    """

    model: str
    hits: list[Hit]
    right_ranks: Mapping[str, int]
    other_ranks: Mapping[str, int]


def index_passages(
    models: Mapping[str, str], passages: Sequence[Text], settings: EncodingSettings, trust_remote_code: bool = False
) -> dict[str, PassageIndex]:
    """Encode passages with each model, or read them from the cache.

    Args:
        models: Model folders or hub names, by the name that is shown.
        passages: At least one passage.
        settings: Batch size, precision and cache.
        trust_remote_code: Run Python code that comes with a model.

    Returns:
        The passages of each model, by the name that is shown.
    """
    # All are loaded before the first one encodes: a wrong name shows at once.
    loaded = {name: load_encoder(model, trust_remote_code) for name, model in models.items()}
    return {name: PassageIndex(TextEncoder.from_settings(of, settings), passages) for name, of in loaded.items()}


def rank_side_by_side(
    indexes: Mapping[str, PassageIndex], question: str, top_k: int, right: AbstractSet[str], pool: str = ALL
) -> list[Ranking]:
    """Rank the passages of a pool for a question with each model.

    Args:
        indexes: The passages, by name of the model; one or two models.
        question: The question.
        top_k: Passages to show for each model.
        right: Ids of the passages that are known to be right.
        pool: The language of the passages to rank, or `all`.

    Returns:
        The ranking of each model. The first one has the ranks of its hits in the second.
    """
    ranked = {name: index.rank(question, pool) for name, index in indexes.items()}
    rankings = [Ranking(name, of.best(top_k), of.ranks(sorted(right)), {}) for name, of in ranked.items()]
    if len(rankings) == 1:
        return rankings
    first, second = rankings
    moved = [*ranked.values()][1].ranks(hit.passage.id for hit in first.hits)
    return [Ranking(first.model, first.hits, first.right_ranks, moved), second]
