"""Encoders to start from: how well each finds passages across languages as it is, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clear_ir.align.alignment import AlignmentTexts, encode_folds
from clear_ir.align.dev_scores import OWN_FIRST
from clear_ir.align.fitting import choose_maps
from clear_ir.align.maps import map_vectors
from clear_ir.align.model_folder import check_alignable
from clear_ir.align.settings import AlignSettings
from clear_ir.data.collection import Collection
from clear_ir.data.directions import ENGLISH_DIRECTION, Direction
from clear_ir.data.files import InputError
from clear_ir.data.training_rows import TrainingRows
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import Embeddings
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.resampling import QuestionScores, interval

#: Passages that are encoded to measure the speed.
TIMED_TEXTS = 64
#: Why no maps were fitted where nobody asked for them.
NO_ROWS = "no rows were given"


@dataclass(frozen=True)
class StartingPoint:
    """An encoder before any training.

    Args:
        model: Its name.
        score: nDCG@10 of the wanted direction, or the mean of several, from 0 to 1.
        low: Lower end of its 95 % bootstrap interval, over questions.
        high: Its upper end.
        english: nDCG@10 of q-en.p-en; None if the collection has no such questions.
        own_first: Share of the queries that find their passage in their own language before its translation; None
            where no pool has both.
        aligned: What `score` becomes by maps in closed form; None if none were fitted.
        alignment: The method of these maps, `base` if none is better; or why none were fitted.
        parameters: Number of weights.
        dimensions: Length of its vectors.
        max_length: Tokens of a text that it reads; None if there is no limit.
        texts_per_second: Passages that it encodes in a second on this machine.
    """

    model: str
    score: float
    low: float
    high: float
    english: float | None
    own_first: float | None
    aligned: float | None
    alignment: str
    parameters: int
    dimensions: int
    max_length: int | None
    texts_per_second: float


def directions_of_pair(collection: Collection, pair: str | None) -> list[Direction]:
    """The directions that encoders are ranked by.

    Args:
        collection: Has the directions.
        pair: Language of the queries and of the passages, such as `de-en`; also written `q-de.p-en`. None: all that
            cross languages.

    Returns:
        At least one direction.

    Raises:
        InputError: If the collection has no such direction.
    """
    if pair is None:
        crossing = [direction for direction in collection.directions if direction.crosses]
        if not crossing:
            raise InputError(
                f"The collection {collection.name} has no direction across languages; give another collection, or the "
                "pair en-en.",
                "pair",
            )
        return crossing
    by_name = {f"{d.query_lang}-{d.passage_lang}": d for d in collection.directions}
    wanted = pair.strip().lower()
    for name, direction in by_name.items():
        if wanted in (name.lower(), str(direction).lower()):
            return [direction]
    raise InputError(
        f"The collection {collection.name} has no pair {pair!r}; choose among {', '.join(by_name)}.", "pair"
    )


def measure_starting_point(
    name: str,
    encoder: TextEncoder,
    collection: Collection,
    wanted: Sequence[Direction],
    rows: TrainingRows | None = None,
) -> StartingPoint:
    """Measure one encoder.

    Args:
        name: The encoder's name in the table.
        encoder: The encoder.
        collection: Queries, passages and judgments.
        wanted: As `directions_of_pair` gives them.
        rows: Rows to fit maps on. A share of them is held out to choose the maps; the collection only measures them.

    Returns:
        All that the table shows.
    """
    english = [direction for direction in collection.directions if str(direction) == ENGLISH_DIRECTION]
    pools = _pools_with_both(collection, wanted)
    embeddings = Embeddings(encoder, collection, [*wanted, *english, *pools])
    results = {str(direction): embeddings.evaluate(direction, only=[MAIN_MEASURE]) for direction in wanted}
    questions = {query.id: query.parallel_id or query.id for query in embeddings.queries}
    scores = QuestionScores(results, questions, MAIN_MEASURE)
    own_first = [embeddings.evaluate(pool, only=[OWN_FIRST]) for pool in pools]
    own_first = [pool for pool in own_first if len(pool.values(OWN_FIRST))]
    aligned, alignment = _aligned_score(encoder, embeddings, wanted, rows)
    low, high = interval(scores.bootstrap().mean(axis=1))
    return StartingPoint(
        name,
        float(scores.means.mean()),
        low,
        high,
        embeddings.evaluate(english[0], only=[MAIN_MEASURE]).mean(MAIN_MEASURE) if english else None,
        float(np.mean([pool.mean(OWN_FIRST) for pool in own_first])) if own_first else None,
        aligned,
        alignment,
        sum(weights.numel() for weights in encoder.model.parameters()),
        embeddings.passage_vectors.shape[1],
        encoder.model.max_seq_length,
        texts_per_second(encoder, [passage.full_text for passage in embeddings.passages]),
    )


def _pools_with_both(collection: Collection, wanted: Sequence[Direction]) -> list[Direction]:
    """For each direction the smallest pool in several languages that has the languages of both sides."""
    pools: dict[Direction, None] = {}
    for direction in wanted:
        sides = {direction.query_lang, direction.passage_lang}
        having = [
            (len(collection.pool_langs(pool)), str(pool), pool)
            for pool in collection.mixed_directions
            if pool.query_lang == direction.query_lang and sides <= collection.pool_langs(pool)
        ]
        if having:
            pools[min(having)[2]] = None
    return list(pools)


def _aligned_score(
    encoder: TextEncoder, embeddings: Embeddings, wanted: Sequence[Direction], rows: TrainingRows | None
) -> tuple[float | None, str]:
    """What the score becomes by maps in closed form, and the method; or None and why there are no maps."""
    if rows is None:
        return None, NO_ROWS
    try:
        check_alignable(encoder.model)
        settings = AlignSettings()
        best = choose_maps(*encode_folds(encoder, AlignmentTexts(rows), settings), settings).best
    except InputError as error:
        return None, str(error)
    moved = embeddings.moved(
        map_vectors(best.maps.query, embeddings.query_vectors),
        map_vectors(best.maps.passage, embeddings.passage_vectors),
    )
    scores = [moved.evaluate(direction, only=[MAIN_MEASURE]).mean(MAIN_MEASURE) for direction in wanted]
    return float(np.mean(scores)), best.method


def texts_per_second(encoder: TextEncoder, texts: Sequence[str]) -> float:
    """The speed of an encoder, without its cache.

    Args:
        encoder: The encoder.
        texts: Passages. Some of them, spread over all, are encoded.

    Returns:
        Passages a second.
    """
    distinct = list(dict.fromkeys(texts))
    some = distinct[:: max(1, len(distinct) // TIMED_TEXTS)][:TIMED_TEXTS]
    uncached = replace(encoder, cache=None).quiet()
    uncached.encode(some[:2], "passage")  # the first call prepares more than later ones
    begin = time.perf_counter()
    uncached.encode(some, "passage")
    return len(some) / (time.perf_counter() - begin)
