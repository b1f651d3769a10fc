"""One model on one collection: every direction and mixed-language pool, each text encoded once."""

from __future__ import annotations

import copy
import functools
import platform
import time
from collections.abc import Container, Iterable
from datetime import datetime, timezone
from importlib.metadata import version

import numpy as np

from clear_ir.data.collection import Collection, Text
from clear_ir.data.directions import Direction
from clear_ir.encode.model_loading import Side
from clear_ir.encode.search import rank_passages, search_top_k
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.measures import DEPTH, Ranks, score_rankings, score_run
from clear_ir.evaluate.results import DirectionResult, Results
from clear_ir.evaluate.space import describe_space, map_texts, unit


class Embeddings:
    """The texts of some directions with their embeddings.

    Args:
        encoder: Encodes them.
        collection: Queries, passages and judgments.
        directions: The directions to search. Texts in other languages are not encoded.
        passage_vectors: The embeddings of the passages, where they are known: `passage_vectors` of another such object
            with the same collection and directions.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        collection: Collection,
        directions: Iterable[Direction],
        passage_vectors: np.ndarray | None = None,
    ) -> None:
        directions = list(directions)
        query_langs = {direction.query_lang for direction in directions}
        passage_langs = {lang for direction in directions for lang in collection.pool_langs(direction)}
        self.collection = collection
        self.queries = [text for text in collection.queries.values() if text.lang in query_langs]
        self.passages = [text for text in collection.passages.values() if text.lang in passage_langs]

        def encoded(texts: list[Text], side: Side) -> np.ndarray:
            return encoder.encode([text.full_text for text in texts], side)

        self.query_vectors = encoded(self.queries, "query")
        self.passage_vectors = encoded(self.passages, "passage") if passage_vectors is None else passage_vectors
        self._query_row = {text.id: row for row, text in enumerate(self.queries)}

    def moved(self, query_vectors: np.ndarray, passage_vectors: np.ndarray) -> Embeddings:
        """The same texts with other vectors.

        Args:
            query_vectors: Of the queries, in their order, shape (num_queries, dim), float32.
            passage_vectors: Of the passages, in their order, shape (num_passages, dim), float32.
        """
        other = copy.copy(self)
        other.query_vectors, other.passage_vectors = query_vectors, passage_vectors
        return other

    def cut(self, dim: int, cosine: bool) -> Embeddings:
        """The same texts with the first numbers of their vectors alone.

        Args:
            dim: How many numbers.
            cosine: Whether the encoder compares by cosine, so that vectors have length 1.
        """
        sides = [vectors[:, :dim] for vectors in (self.query_vectors, self.passage_vectors)]
        if cosine:
            sides = [unit(vectors).astype(np.float32) for vectors in sides]
        return self.moved(*sides)

    def evaluate(self, direction: Direction, depth: int = DEPTH, only: Container[str] | None = None) -> DirectionResult:
        """Search and score one direction.

        Args:
            direction: One of those given.
            depth: Passages of each query in the run; at least as many as the measures see, see
                `clear_ir.evaluate.measures.DEPTH`.
            only: Names of the measures to compute. None: every one that applies.

        Returns:
            Scores, run and judgments.
        """
        qrels = self.collection.judged_queries(direction)
        langs = self.collection.pool_langs(direction)
        rows = [row for row, text in enumerate(self.passages) if text.lang in langs]
        passages = self.passage_vectors  # no copy of a large corpus in one language
        vectors_and_ids = (
            self.query_vectors[[self._query_row[query] for query in qrels]],
            passages if len(rows) == len(passages) else passages[rows],
            list(qrels),
            [self.passages[row].id for row in rows],
        )
        # A query that is a passage itself would find itself first; one more passage takes its place.
        themselves = {query for query in qrels if self.collection.is_query_itself(query)}
        run = search_top_k(*vectors_and_ids, k=depth + bool(themselves))
        for query, ranked in run.items():
            if query in themselves:
                ranked.pop(query, None)
            run[query] = dict(list(ranked.items())[:depth])

        @functools.cache
        def find_ranks() -> Ranks:
            relevant = {query: [p for p, rel in judged.items() if rel > 0] for query, judged in qrels.items()}
            wanted = {query: [*ids, query] if query in themselves else ids for query, ids in relevant.items()}
            ranks = rank_passages(*vectors_and_ids, wanted)
            for query in themselves:
                before = ranks[query].pop(query)
                ranks[query] = {passage: rank - (rank > before) for passage, rank in ranks[query].items()}
            return ranks

        scores = score_run(run, qrels, direction.mixed, only)
        rankings = score_rankings(run, qrels, find_ranks, self.collection, direction.mixed, only)
        for query, values in rankings.items():
            scores[query] |= values
        return DirectionResult(scores, len(rows), run, qrels)

    def evaluate_all(self) -> dict[str, DirectionResult]:
        """Search and score each direction of the collection with one language a side. They must be among those given.

        Returns:
            Results by direction.
        """
        return {str(direction): self.evaluate(direction) for direction in self.collection.directions}


def evaluate_directions(encoder: TextEncoder, collection: Collection) -> dict[str, DirectionResult]:
    """Search and score every direction with one language a side, encoding each text once.

    Args:
        encoder: What is evaluated.
        collection: Queries, passages and judgments.

    Returns:
        Results by direction.
    """
    return Embeddings(encoder, collection, collection.directions).evaluate_all()


def evaluate_model(encoder: TextEncoder, collection: Collection, name: str) -> Results:
    """Evaluate one model on one collection: every direction, every mixed pool, and the embedding space.

    Args:
        encoder: What is evaluated.
        collection: The collection to evaluate on.
        name: The model's name in results and reports.

    Returns:
        Scores, runs, and the versions and settings that are needed to repeat them.
    """
    from tqdm.auto import tqdm

    start = time.perf_counter()
    model = encoder.model
    directions = [*collection.directions, *collection.mixed_directions]
    embeddings = Embeddings(encoder, collection, directions)
    shown = encoder.show_progress and len(directions) > 10
    bar = tqdm(directions, desc="Searching and scoring", unit=" directions", disable=not shown)
    results = {direction: embeddings.evaluate(direction) for direction in bar}
    libraries = ("clear-ir", "sentence-transformers", "transformers", "torch", "ir_measures")
    return Results(
        model=name,
        weights_hash=encoder.weights_hash,
        data=collection.name,
        data_hash=collection.data_hash,
        split=collection.split,
        directions={str(direction): result for direction, result in results.items() if not direction.mixed},
        mixed={str(direction): result for direction, result in results.items() if direction.mixed},
        questions={text.id: text.parallel_id or text.id for text in embeddings.queries},
        space={
            "queries": describe_space(embeddings.queries, embeddings.query_vectors),
            "passages": describe_space(embeddings.passages, embeddings.passage_vectors),
        },
        map=map_texts(embeddings.queries, embeddings.query_vectors),
        seconds=time.perf_counter() - start,
        details={
            "date": datetime.now(timezone.utc).date().isoformat(),
            "max_seq_length": model.max_seq_length,
            "similarity": str(model.similarity_fn_name),
            "precision": encoder.precision,
            "device": model.device.type,
            "versions": {library: version(library) for library in libraries} | {"python": platform.python_version()},
        },
    )
