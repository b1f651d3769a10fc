"""Cross-encoders: models that read a query and a passage together and give one score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.encode.backends import Precision, autocast
from clear_ir.encode.model_loading import naming_failures_to_load

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

#: Architectures that score pairs of texts. Others get random weights for their last layer when they are loaded as such.
_SCORING = ("ForSequenceClassification", "ForCausalLM")


def load_cross_encoder(name: str, trust_remote_code: bool = False) -> CrossEncoder:
    """Load a cross-encoder from a folder or from the hub.

    Args:
        name: A model folder, or a hub name such as `BAAI/bge-reranker-v2-m3`.
        trust_remote_code: Run Python code that comes with the model.

    Returns:
        The cross-encoder. Its weights are read from safetensors only.

    Raises:
        InputError: If there is no such model, or it is no cross-encoder with one score a pair.
    """
    with naming_failures_to_load(name) as path:
        from sentence_transformers import CrossEncoder
        from sentence_transformers.base.modules import Transformer

        model: CrossEncoder = CrossEncoder(
            str(path) if path.is_dir() else name,
            trust_remote_code=trust_remote_code,
            model_kwargs={"use_safetensors": True},
            local_files_only=path.is_dir(),
        )
    [*_, last] = model.children()
    architectures: Any = getattr(model.config, "architectures", None) or [""]
    if isinstance(last, Transformer) and not architectures[0].endswith(_SCORING):
        raise InputError(
            f"{name} is no cross-encoder (its architecture is {architectures[0] or 'not said'}); give a model that "
            "scores pairs of a query and a passage, such as BAAI/bge-reranker-v2-m3.",
            "rescore",
        )
    if model.num_labels != 1:
        raise InputError(
            f"{name} gives {model.num_labels} scores for a pair; give a cross-encoder with one, such as "
            "BAAI/bge-reranker-v2-m3.",
            "rescore",
        )
    return model


@dataclass(frozen=True)
class PairScorer:
    """A cross-encoder with all that its scores depend on.

    Args:
        model: The cross-encoder.
        batch_size: Pairs per batch.
        precision: Precision of the model while it scores.
    """

    model: CrossEncoder
    batch_size: int = 32
    precision: Precision = "fp32"

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Score pairs of a query and a passage.

        Args:
            pairs: The pairs; each is scored, also if it repeats.

        Returns:
            Logits, whatever activation the model has of its own: their sigmoid is the probability that the passage
            answers the query. Shape (num_pairs,), float32.
        """
        import torch

        if not pairs:
            return np.empty(0, np.float32)
        with autocast(self.model, self.precision):
            scores = self.model.predict(
                list(pairs),
                batch_size=self.batch_size,
                show_progress_bar=False,
                activation_fn=torch.nn.Identity(),
                convert_to_tensor=True,
            )
        logits: np.ndarray = scores.float().cpu().numpy().reshape(len(pairs))
        return logits
