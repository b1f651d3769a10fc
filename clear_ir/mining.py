"""Hard negatives for both sides of a parallel row: passages for its query, queries for its passage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from clear_ir.encoding import encode_texts
from clear_ir.files import InputError
from clear_ir.rows import ParallelRow, training_columns

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class MiningSettings(BaseModel):
    """How hard negatives are chosen.

    Args:
        num_negatives: Negative passages, and as many negative queries, a row.
        range_min: Candidates above this rank are skipped (0 skips none): the likely false negatives.
        range_max: Candidates from this rank on are skipped.
        absolute_margin: A negative scores at least this much lower than the positive.
        relative_margin: A negative scores at most (1 - this) times the positive.
        query_side: Rank candidate queries by their English side, or by the target-language text itself.
        sampling: Draw from the window at random, or take its top.
        seed: Of the random draw.
        batch_size: Texts encoded at once; None chooses by device.
    """

    model_config = ConfigDict(extra="forbid")

    num_negatives: int = Field(5, ge=1)
    range_min: int = Field(30, ge=0)
    range_max: int = Field(100, ge=1)
    absolute_margin: float | None = None
    relative_margin: float | None = Field(None, ge=0, le=1)
    query_side: Literal["english", "target"] = "english"
    sampling: Literal["random", "top"] = "random"
    seed: int = 0
    batch_size: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _window(self) -> MiningSettings:
        if self.range_max - self.range_min < self.num_negatives:
            raise ValueError(
                f"the window from range_min {self.range_min} to range_max {self.range_max} is smaller than "
                f"num_negatives {self.num_negatives}"
            )
        return self


@dataclass(frozen=True)
class Picked:
    """One row's negatives on one side: their columns and scores, best first, and how they were found."""

    columns: list[int]
    scores: list[float]
    positive_score: float
    filtered: int
    widened: bool


@dataclass
class SideStatistics:
    """What mining found on one side.

    Args:
        positive_scores: Score of the right pair, one a row.
        negative_scores: Scores of the chosen negatives.
        filtered: Candidates in the windows that a margin removed.
        widened: Rows whose window was widened.
    """

    positive_scores: list[float] = field(default_factory=list)
    negative_scores: list[float] = field(default_factory=list)
    filtered: int = 0
    widened: int = 0

    def add(self, picked: Picked) -> None:
        """Count one row."""
        self.positive_scores.append(picked.positive_score)
        self.negative_scores.extend(picked.scores)
        self.filtered += picked.filtered
        self.widened += picked.widened

    def summary(self) -> dict[str, float | int]:
        """Means and counts, for people."""
        return {
            "positive score, mean": round(float(np.mean(self.positive_scores)), 3),
            "negative score, mean": round(float(np.mean(self.negative_scores)), 3),
            "negative score, highest": round(float(np.max(self.negative_scores)), 3),
            "filtered by margin": self.filtered,
            "rows with widened window": self.widened,
        }


@dataclass
class Mined:
    """Training rows, statistics of both sides, and ids of the rows without enough candidates."""

    records: list[dict[str, Any]]
    passages: SideStatistics
    queries: SideStatistics
    left_out: list[str]

    def summary(self) -> dict[str, Any]:
        """What a person judges the mining by."""
        return {
            "rows": len(self.records),
            "rows left out": len(self.left_out),
            "negative passages": self.passages.summary(),
            "negative queries": self.queries.summary(),
        }


def mine_hard_negatives(
    model: SentenceTransformer, rows: list[ParallelRow], settings: MiningSettings, show_progress: bool = True
) -> Mined:
    """Find n negative passages for each English query and n negative target-language queries for each passage.

    Candidates are ranked by the encoder's score: passages for the English query, queries of the row's
    language for the English passage. Never chosen: the row's own passage or another with its text, a passage
    that another row gives as the answer to the same query, a query that belongs to the same passage, a query
    with the same text. Where window and margins leave fewer than n, the window widens to all ranks; margins
    are never given up, so a row may still be left out.

    Args:
        model: The encoder that ranks.
        rows: Parallel rows, one language or several.
        settings: Window, margins and number.
        show_progress: Show progress bars.

    Returns:
        The training rows with ``lang``, ``id`` and ``passage_id``, and statistics.

    Raises:
        InputError: If no row has enough candidates.
    """
    from tqdm import tqdm

    passages = list(dict.fromkeys(row.passage for row in rows))
    column_of = {text: column for column, text in enumerate(passages)}
    answers = defaultdict(set)  # English query -> columns of its passages
    asked = defaultdict(set)  # passage, by text and by id -> target-language queries on it
    for row in rows:
        answers[row.query].add(column_of[row.passage])
        asked["text", row.passage].add(row.cross_query)
        asked["id", row.passage_id].add(row.cross_query)

    size, bars = settings.batch_size, show_progress
    query_vectors = encode_texts(model, [row.query for row in rows], "query", size, bars)
    passage_vectors = encode_texts(model, passages, "passage", size, bars)
    cross_vectors = query_vectors
    if settings.query_side == "target":
        cross_vectors = encode_texts(model, [row.cross_query for row in rows], "query", size, bars)
    pools = {lang: _QueryPool(rows, lang, cross_vectors) for lang in {row.lang for row in rows}}

    mined = Mined([], SideStatistics(), SideStatistics(), [])
    for i, row in enumerate(tqdm(rows, desc="Mining", disable=not show_progress)):
        own = column_of[row.passage]
        scores = passage_vectors @ query_vectors[i]
        allowed = np.ones(len(passages), dtype=bool)
        allowed[list(answers[row.query])] = False
        negatives = _pick(scores, allowed, float(scores[own]), i, settings)

        pool = pools[row.lang]
        allowed = np.ones(len(pool.texts), dtype=bool)
        for text in asked["text", row.passage] | asked["id", row.passage_id]:
            if text in pool.column_of:
                allowed[pool.column_of[text]] = False
        scores = pool.vectors @ passage_vectors[own]
        positive = float(cross_vectors[i] @ passage_vectors[own])
        queries = _pick(scores, allowed, positive, i + len(rows), settings)

        if negatives is None or queries is None:
            mined.left_out.append(row.id)
            continue
        mined.passages.add(negatives)
        mined.queries.add(queries)
        n = settings.num_negatives
        values = [row.query, row.passage, *(passages[j] for j in negatives.columns), row.cross_query]
        values += [pool.texts[j] for j in queries.columns]
        ids = {"lang": row.lang, "id": row.id, "passage_id": row.passage_id}
        mined.records.append(dict(zip(training_columns(n, n), values, strict=True)) | ids)
    if not mined.records:
        raise InputError(
            f"None of the {len(rows)} rows has {settings.num_negatives} candidates on both sides; give more rows, "
            "a lower --num-negatives, or smaller margins."
        )
    return mined


class _QueryPool:
    """The distinct target-language queries of one language, with the vectors that rank them."""

    def __init__(self, rows: list[ParallelRow], lang: str, vectors: np.ndarray) -> None:
        first = {row.cross_query: i for i, row in reversed(list(enumerate(rows))) if row.lang == lang}
        self.texts = list(first)
        self.vectors = vectors[list(first.values())]
        self.column_of = {text: column for column, text in enumerate(self.texts)}


def _pick(
    scores: np.ndarray,
    allowed: np.ndarray,
    positive: float,
    number: int,
    settings: MiningSettings,
) -> Picked | None:
    """Choose one row's negatives on one side; None if even the widest window holds too few.

    Args:
        scores: Shape (num_candidates,).
        allowed: Boolean, same shape: candidates that may be negatives at all.
        positive: Score of the right pair.
        number: Tells the row and side apart, for the random draw.
        settings: Window, margins and number.

    Returns:
        What was found.
    """
    candidates = np.flatnonzero(allowed)
    ranked = candidates[np.argsort(-scores[candidates], kind="stable")]
    limit = np.inf
    if settings.absolute_margin is not None:
        limit = positive - settings.absolute_margin
    if settings.relative_margin is not None:
        # A share of the absolute value, so that a negative positive score does not turn the margin round.
        limit = min(limit, positive - abs(positive) * settings.relative_margin)
    low_enough = scores[ranked] <= limit
    ranks = np.arange(len(ranked))
    in_window = (settings.range_min <= ranks) & (ranks < settings.range_max)
    window = ranked[in_window & low_enough]
    wanted = settings.num_negatives
    widened = len(window) < wanted
    if widened:
        # The ranks next to the window come first, on a tie the harder.
        distance = np.maximum(settings.range_min - ranks, ranks - settings.range_max + 1)
        nearest = np.argsort(np.maximum(distance, 0), kind="stable")
        window = ranked[np.sort(nearest[low_enough[nearest]][:wanted])]
        if len(window) < wanted:
            return None
    elif settings.sampling == "random":
        generator = np.random.default_rng([settings.seed, number])
        window = window[np.sort(generator.choice(len(window), size=wanted, replace=False))]
    chosen = window[:wanted]
    return Picked(
        [int(column) for column in chosen],
        [float(score) for score in scores[chosen]],
        positive,
        int((in_window & ~low_enough).sum()),
        widened,
    )
