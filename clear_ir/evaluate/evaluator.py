"""Judging checkpoints: every direction of a collection as a sentence-transformers evaluator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentence_transformers.base.evaluation import BaseEvaluator

from clear_ir.data.collection import Collection
from clear_ir.evaluate.evaluation import evaluate_directions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ENGLISH = "q-en.p-en"


class CrossLingualEvaluator(BaseEvaluator):
    """nDCG@10 of each direction of a collection, each text encoded once a call.

    The primary metric is the mean over the directions whose sides differ in language, or over all where
    there is none such. Usable in any ``SentenceTransformerTrainer``.

    Args:
        collection: Queries, passages and judgments.
        batch_size: Texts encoded at once; None chooses by device.
        max_english_loss: Veto checkpoints that lose more than so many points of nDCG@10 x 100 on q-en.p-en
            against ``base``: 1 is taken off their primary metric, so that any other checkpoint is better. None
            vetoes nothing.
        base: The encoder before training, evaluated here and now; only with ``max_english_loss``.

    Raises:
        ValueError: If ``max_english_loss`` comes without ``base``, or the collection has no q-en.p-en.
    """

    primary = "cross_lingual_nDCG@10"

    def __init__(
        self,
        collection: Collection,
        batch_size: int | None = None,
        max_english_loss: float | None = None,
        base: SentenceTransformer | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collection = collection
        self.batch_size = batch_size
        self.primary_metric = self.primary
        #: nDCG@10 on q-en.p-en below which a checkpoint is vetoed.
        self.english_floor: float | None = None
        if max_english_loss is not None:
            if base is None:
                raise ValueError("max_english_loss needs base, the encoder before training")
            if ENGLISH not in map(str, collection.directions):
                raise ValueError(f"max_english_loss needs a collection with {ENGLISH}")
            self.english_floor = self._scores(base)[ENGLISH] - max_english_loss / 100

    def __call__(  # type: ignore[override]  # our encoders are SentenceTransformers
        self, model: SentenceTransformer, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Evaluate ``model``.

        Args:
            model: The encoder.
            output_path: Not used; the trainer logs the scores.
            epoch: For the model card.
            steps: For the model card.

        Returns:
            ``{"q-de.p-en_nDCG@10": ..., "cross_lingual_nDCG@10": ...}``, and ``"vetoed"``, 0 or 1, with
            ``max_english_loss``.
        """
        scores = self._scores(model)
        crossing = [scores[str(d)] for d in self.collection.directions if d.crosses]
        chosen = crossing or list(scores.values())
        metrics = {f"{direction}_nDCG@10": score for direction, score in scores.items()}
        metrics[self.primary] = sum(chosen) / len(chosen)
        if self.english_floor is not None:
            # Scores of a base evaluated twice may differ in the last digit.
            metrics["vetoed"] = float(scores[ENGLISH] < self.english_floor - 1e-9)
            metrics[self.primary] -= metrics["vetoed"]
        self.store_metrics_in_model_card_data(model, metrics, int(epoch), steps)
        return metrics

    def _scores(self, model: SentenceTransformer) -> dict[str, float]:
        found = evaluate_directions(model, self.collection, self.batch_size, show_progress=False)
        return {direction: result.mean("nDCG@10") for direction, result in found.items()}
