"""Judging checkpoints: every direction of a collection as a sentence-transformers evaluator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentence_transformers.base.evaluation import BaseEvaluator

from clear_ir.collection import Collection
from clear_ir.evaluation import evaluate_directions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class CrossLingualEvaluator(BaseEvaluator):
    """nDCG@10 of each direction of a collection, each text encoded once a call.

    The primary metric is the mean over the directions whose sides differ in language, or over all where
    there is none such. Usable in any ``SentenceTransformerTrainer``.

    Args:
        collection: Queries, passages and judgments.
        batch_size: Texts encoded at once; None chooses by device.
    """

    primary = "cross_lingual_nDCG@10"

    def __init__(self, collection: Collection, batch_size: int | None = None) -> None:
        super().__init__()
        self.collection = collection
        self.batch_size = batch_size
        self.primary_metric = self.primary

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
            ``{"q-de.p-en_nDCG@10": ..., "cross_lingual_nDCG@10": ...}``.
        """
        found = evaluate_directions(model, self.collection, self.batch_size, show_progress=False)
        scores = {str(direction): found[str(direction)].mean("nDCG@10") for direction in self.collection.directions}
        crossing = [scores[str(d)] for d in self.collection.directions if d.query_lang != d.passage_lang]
        chosen = crossing or list(scores.values())
        metrics = {f"{direction}_nDCG@10": score for direction, score in scores.items()}
        metrics[self.primary] = sum(chosen) / len(chosen)
        self.store_metrics_in_model_card_data(model, metrics, int(epoch), steps)
        return metrics
