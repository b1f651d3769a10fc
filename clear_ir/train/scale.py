"""The scale of the scores at which the encoder itself says best which passage answers an English question.

A loss with another scale first teaches the encoder how far apart its scores should be, and moves embeddings that were
right. The best one differs between encoders: near 30 for all-MiniLM-L6-v2, above 100 for multilingual-e5-small, whose
cosines lie close together.
"""

from __future__ import annotations

from collections import defaultdict
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
#: Scores in memory. Of more, questions are left out: one number needs few of them.
SCORES_AT_ONCE = 2**24


def fit_scale(
    base: SentenceTransformer,
    data: TrainingData,
    passages: FixedPassages,
    file: Path,
    english: tuple[Tensor, Tensor] | None = None,
) -> float:
    """The scale that fits an encoder, from the training rows' English questions and passages.

    Args:
        base: The encoder before training.
        data: The training data.
        passages: Its passages with their embeddings.
        file: Where the scale is kept, and read from when a run is resumed.
        english: What `clear_ir.train.base_embeddings.embed_english` gives for the queries; None to encode them here.

    Returns:
        The scale, to one decimal.
    """

    def compute() -> None:
        if not file.exists():
            write_json(file, _fit(base, data, passages, english))

    first_does(compute)
    return float(file.read_text(encoding="utf-8"))


def _fit(
    base: SentenceTransformer, data: TrainingData, passages: FixedPassages, english: tuple[Tensor, Tensor] | None
) -> float:
    answers: dict[str, list[int]] = defaultdict(list)
    for question, passage in zip(data.dataset["anchor"], data.dataset["positive"], strict=True):
        answers[question].append(passages.number_of[passage])
    of_rows = [text for column in data.passage_columns for text in data.dataset[column]]
    numbers = list(dict.fromkeys(passages.number_of[text] for text in of_rows))
    place = {number: i for i, number in enumerate(numbers)}
    questions = list(answers)
    step = -(-len(questions) * len(numbers) // SCORES_AT_ONCE)
    questions = questions[::step]
    if english is not None:
        vectors = english[1][::step]  # of the same questions, in the same order
    else:
        with whole_vectors(base):
            vectors = torch.from_numpy(TextEncoder(base, show_progress=False).encode(questions, "query"))
    normalize = torch.nn.functional.normalize
    similarities = normalize(vectors) @ normalize(passages.vectors[numbers]).T
    places = [[place[number] for number in answers[question]] for question in questions]
    left_out = torch.zeros_like(similarities, dtype=torch.bool)
    for row, known in enumerate(places):
        left_out[row, known[1:]] = True
    positives = torch.tensor([known[0] for known in places])
    left_out[torch.arange(len(places)), positives] = False
    return best_scale(similarities, positives, left_out)


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
