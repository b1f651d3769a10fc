"""Judging checkpoints: every direction of a collection as a sentence-transformers evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentence_transformers.base.evaluation import BaseEvaluator

from clear_ir.data.collection import Collection
from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.encode.backends import Backend, InProcess
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import Embeddings
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.resampling import QuestionScores, interval
from clear_ir.evaluate.results import DirectionResult
from clear_ir.evaluate.selection import PRIMARY_METRIC, Score, keeps_english, mean_cross_lingual

if TYPE_CHECKING:
    import numpy as np
    from sentence_transformers import SentenceTransformer


class CrossLingualEvaluator(BaseEvaluator):
    """nDCG@10 of each direction of a collection, each text encoded once a call.

    The primary metric is the mean over the directions whose sides differ in language. If there are none, it is
    the mean over all directions. Usable in any `SentenceTransformerTrainer`.

    Args:
        collection: Queries, passages and judgments.
        backend: Where texts are encoded; in this process by default.
        max_english_loss: Veto each checkpoint that loses more points of nDCG@10 x 100 than this against `base`, on
            q-en.p-en or in the mean over the directions with one language on both sides. A veto takes 1 off the primary
            metric, so that any other checkpoint is better. None vetoes nothing.
        base: The encoder before training. It is evaluated when the evaluator is made; see `base_metrics`.
        fixed_passages: Passages are encoded once, by `base`, whichever encoder is evaluated: for an encoder of queries
            whose passages stay those of the base.
        cache: Folder of embeddings for the texts that `base` encodes, see
            `clear_ir.encode.text_encoder.TextEncoder`; None for none.
        dims: Dimensions to which embeddings may be cut, for `means_by_dim`.

    Raises:
        ValueError: If `max_english_loss` or `fixed_passages` comes without `base`, or the collection has no q-en.p-en.
    """

    primary = PRIMARY_METRIC

    def __init__(
        self,
        collection: Collection,
        backend: Backend | None = None,
        max_english_loss: float | None = None,
        base: SentenceTransformer | None = None,
        fixed_passages: bool = False,
        cache: Path | None = None,
        dims: Sequence[int] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.collection = collection
        self.backend = backend or InProcess()
        self.primary_metric = self.primary
        #: Questions of the collection; translations are one question.
        self.num_questions = len({text.parallel_id or text.id for text in collection.queries.values()})
        if fixed_passages and base is None:
            raise ValueError("fixed_passages needs base, the encoder that encodes them")
        self._fixed_passages = fixed_passages
        self._passage_vectors: np.ndarray | None = None
        self.dims = list(dims)
        embeddings = self._embed(TextEncoder(base, self.backend, cache=cache)) if base is not None else None
        self._base_results = embeddings.evaluate_all() if embeddings else {}
        #: The primary metric of the base by dimension. Empty without base.
        self.base_by_dim = self._by_dim(embeddings, base) if embeddings and base else {}
        self._base_scores = base_scores = _means(self._base_results)
        #: nDCG@10 of the base by direction, and their `mean` as the primary metric takes it. Empty without base.
        self.base_metrics = {"mean": self._mean(base_scores), **base_scores} if base_scores else {}
        self.max_english_loss = max_english_loss
        if max_english_loss is not None:
            if base is None:
                raise ValueError("max_english_loss needs base, the encoder before training")
            if ENGLISH_DIRECTION not in map(str, collection.directions):
                raise ValueError(f"max_english_loss needs a collection with {ENGLISH_DIRECTION}")

    def __call__(  # type: ignore[override]  # all our encoders are SentenceTransformers
        self, model: SentenceTransformer, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Evaluate `model`.

        Args:
            model: The encoder.
            output_path: Not used: the trainer logs the scores.
            epoch: For the model card.
            steps: For the model card.

        Returns:
            `{"q-de.p-en_nDCG@10": ..., "cross_lingual_nDCG@10": ...}`, and `"vetoed"`, 0 or 1, with
            `max_english_loss`.
        """
        scores = self._scores(model)
        metrics = {f"{direction}_{MAIN_MEASURE}": score for direction, score in scores.items()}
        metrics[self.primary] = self._mean(scores)
        if self.max_english_loss is not None:
            metrics["vetoed"] = float(not keeps_english(scores, self._base_scores, self.max_english_loss))
            metrics[self.primary] -= metrics["vetoed"]
        self.store_metrics_in_model_card_data(model, metrics, int(epoch), steps)
        return metrics

    def _mean(self, scores: dict[str, Score]) -> Score:
        crosses = any(direction.crosses for direction in self.collection.directions)
        if crosses:
            return mean_cross_lingual(scores)
        return sum(scores.values()) / len(scores)  # type: ignore[return-value]  # of arrays it is an array

    def intervals(
        self, model: SentenceTransformer, before: Mapping[str, DirectionResult] | None = None
    ) -> dict[str, tuple[float, float]]:
        """How far the change from the base may really be, since it is known from a sample of questions.

        Args:
            model: The encoder.
            before: What `results` gives for another encoder, to compare with that one. None: the base.

        Returns:
            By direction, and for the `mean` that `base_metrics` has, the 95 % interval of nDCG@10 less that of the
            base: a paired bootstrap over questions. Empty without base.
        """
        before = before or self._base_results
        if not before:
            return {}
        questions = {text.id: text.parallel_id for text in self.collection.queries.values() if text.parallel_id}
        drawn, drawn_before = (
            QuestionScores(results, questions, MAIN_MEASURE).bootstrap() for results in (self.results(model), before)
        )
        changes = dict(zip(before, (drawn - drawn_before).T, strict=True))
        ends = {name: interval(change) for name, change in {"mean": self._mean(changes), **changes}.items()}
        return {name: (round(low, 4), round(high, 4)) for name, (low, high) in ends.items()}

    def _scores(self, model: SentenceTransformer) -> dict[str, float]:
        return _means(self.results(model))

    def means_by_dim(self, model: SentenceTransformer) -> dict[int, float]:
        """The primary metric of an encoder with its embeddings cut to each of `dims`; no veto counts.

        Args:
            model: The encoder.
        """
        return self._by_dim(self._embed(self._quiet(model)), model)

    def _by_dim(self, embeddings: Embeddings, model: SentenceTransformer) -> dict[int, float]:
        cosine = model.similarity_fn_name == "cosine"
        return {dim: self._mean(_means(embeddings.cut(dim, cosine).evaluate_all())) for dim in self.dims}

    def _quiet(self, model: SentenceTransformer) -> TextEncoder:
        return TextEncoder(model, self.backend, show_progress=False)

    def results(self, model: SentenceTransformer) -> dict[str, DirectionResult]:
        """The scores of an encoder, question by question.

        Args:
            model: The encoder.

        Returns:
            By direction.
        """
        return self._embed(self._quiet(model)).evaluate_all()

    def _embed(self, encoder: TextEncoder) -> Embeddings:
        embeddings = Embeddings(encoder, self.collection, self.collection.directions, self._passage_vectors)
        if self._fixed_passages:
            self._passage_vectors = embeddings.passage_vectors
        return embeddings


def _means(results: Mapping[str, DirectionResult]) -> dict[str, float]:
    return {direction: result.mean(MAIN_MEASURE) for direction, result in results.items()}
