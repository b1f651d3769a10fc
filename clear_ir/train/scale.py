"""The scale of the scores at which the encoder itself says best which passage answers an English question.

A loss with another scale first teaches the encoder how far apart its scores should be, and moves embeddings that were
right. The best one differs between encoders: near 30 for all-MiniLM-L6-v2, above 100 for multilingual-e5-small, whose
cosines lie close together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clear_ir.data.output_files import write_json
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.train.fixed_passages import whole_vectors
from clear_ir.train.processes import first_does

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_ir.train.fixed_passages import FixedPassages
    from clear_ir.train.trainer import TrainingData

#: The largest scale, as for the learned one of CLIP (Radford et al. 2021, section 2.5): where every question finds its
#: passage, larger is always better.
LARGEST = 100.0
#: Questions that are encoded where passages are trained. With 64 the scale would differ by half between draws.
QUESTIONS = 256
#: Scores in memory. Of more, questions are left out: one number needs few of them.
SCORES_AT_ONCE = 2**24


def fit_scale(
    base: SentenceTransformer,
    data: TrainingData,
    file: Path,
    fixed: FixedPassages | None = None,
    queries: Tensor | None = None,
) -> float:
    """The scale that fits an encoder, from the training rows' English questions and passages.

    Args:
        base: The encoder before training.
        data: The training data.
        file: Where the scale is kept, and read from when a run is resumed.
        fixed: Its passages with their embeddings, all of which are candidates. None where passages are trained: then
            `QUESTIONS` of the questions, and the passages of their rows, are encoded here.
        queries: With fixed passages, the embeddings of the distinct English queries of the rows, in their order; None
            to encode them here.

    Returns:
        The scale, to one decimal.
    """

    def compute() -> None:
        if not file.exists():
            write_json(file, _fit(base, data, fixed, queries))

    first_does(compute)
    return float(file.read_text(encoding="utf-8"))


def _fit(base: SentenceTransformer, data: TrainingData, fixed: FixedPassages | None, queries: Tensor | None) -> float:
    answers: dict[str, list[str]] = defaultdict(list)
    for question, passage in zip(data.dataset["anchor"], data.dataset["positive"], strict=True):
        answers[question].append(passage)
    passages = _passages_of(data, answers)
    num_scores = len(answers) * len(passages)
    step = -(-num_scores // SCORES_AT_ONCE) if fixed is not None else -(-len(answers) // QUESTIONS)
    questions = list(answers)[::step]
    if fixed is None:
        passages = _passages_of(data, questions)
        number_of = {text: number for number, text in enumerate(passages)}
    else:
        number_of = {text: fixed.number_of[text] for text in passages}  # texts with the same tokens have the same
    numbers = list(dict.fromkeys(number_of.values()))
    encoder = TextEncoder(base, show_progress=False)
    with whole_vectors(base):
        if queries is not None and fixed is not None:
            vectors = queries[: len(answers) : step]
        else:
            vectors = torch.from_numpy(encoder.encode(questions, "query"))
        known = fixed.vectors[numbers] if fixed is not None else torch.from_numpy(encoder.encode(passages, "passage"))
    normalize = torch.nn.functional.normalize
    similarities = normalize(vectors) @ normalize(known).T
    place = {number: i for i, number in enumerate(numbers)}
    places = [[place[number_of[text]] for text in answers[question]] for question in questions]
    left_out = torch.zeros_like(similarities, dtype=torch.bool)
    for row, answering in enumerate(places):
        left_out[row, answering[1:]] = True
    positives = torch.tensor([answering[0] for answering in places])
    left_out[torch.arange(len(places)), positives] = False
    return best_scale(similarities, positives, left_out)


def _passages_of(data: TrainingData, questions: Collection[str]) -> list[str]:
    """The distinct passages of the rows of some questions, negatives too."""
    chosen = set(questions)
    rows = [row for row, question in enumerate(data.dataset["anchor"]) if question in chosen]
    columns = [data.dataset[column] for column in data.passage_columns]
    return list(dict.fromkeys(column[row] for column in columns for row in rows))


def best_scale(similarities: Tensor, positives: Tensor, left_out: Tensor) -> float:
    """The scale with the least cross-entropy, between 1 and `LARGEST`.

    The cross-entropy is convex in the scale. Its slope is the mean, over questions, of the similarity that is expected
    under the softmax less that of the positive, so bisection finds where it is 0.

    Args:
        similarities: Of questions with passages, shape (num_questions, num_passages).
        positives: The column of each question's passage, shape (num_questions,).
        left_out: Where a passage is no candidate, shape as `similarities`.

    Returns:
        The scale, to one decimal.
    """
    similarities = similarities.double()
    of_positives = similarities.gather(1, positives[:, None]).squeeze(1)

    def slope(scale: float) -> float:
        shares = (scale * similarities).masked_fill(left_out, -torch.inf).softmax(dim=1)
        return float(((shares * similarities).sum(dim=1) - of_positives).mean())

    low, high = 1.0, LARGEST
    if slope(high) <= 0:
        return high
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return round(low, 1)
