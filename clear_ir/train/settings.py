"""What ``clear-ir train`` can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from clear_ir.data.settings import Settings
from clear_ir.loss import Divergence

if TYPE_CHECKING:
    from clear_ir.loss.terms import Weights

#: The weights that a loss by name fixes; None leaves them to the settings.
LOSSES: dict[str, dict[str, float] | None] = {
    "clear": None,
    "infonce": {"gamma": 1.0},
    "infonce-en": {},
    "infonce-both": {"gamma": 0.5},
    "infonce-symmetric": {"alpha": 0.5, "gamma": 0.5},
}
#: Weight of the guard with ``clear``, where none is given.
GUARD_OF_CLEAR = 0.5


class TrainingSettings(Settings):
    """How a model is trained.

    The defaults of the weights and of the divergence are what docs/study.md supports; the recipe ``paper`` has the
    paper's.
    """

    groups: ClassVar = {
        "loss": "Loss",
        "distil_steps": "Distillation before training",
        "batch_size": "Batches and languages",
        "epochs": "Steps and learning rate",
        "cached": "Memory and speed",
        "dev_share": "Choosing a checkpoint",
        "logging_steps": "Log and seed",
    }

    loss: Literal["clear", "infonce", "infonce-en", "infonce-both", "infonce-symmetric"] = "clear"
    """clear, or a baseline. infonce: from the target-language query to the passages, the paper's baseline. infonce-en:
    from the English query instead. infonce-both: from both, half each. infonce-symmetric: from the target-language
    query and back from the passage, half each."""
    alpha: float = 0.3
    """Weight of the reverse term of clear."""
    beta: float = 0.1
    """Weight of the KL term of clear."""
    gamma: float = 0.3
    """Weight of the cross-lingual forward term of clear."""
    guard: float | None = None
    """Weight of the term that keeps English near the frozen base, with any loss. None: 0.5 with clear, 0 with the
    baselines."""
    divergence: Divergence = "kl-detached"
    """The KL term. kl-detached: English is the target and carries no gradient. kl: the paper's, gradients through both
    sides. kl-reversed: KL(forward || reverse). js: Jensen-Shannon."""
    scale: float = Field(20.0, gt=0)
    """1 / temperature."""
    false_negative_margin: float | None = None
    """Mask candidates that score higher than the row's right one by more than this. None masks duplicates only."""
    num_negatives: int | None = Field(None, ge=0)
    """Use only this many of the rows' negatives on each side. None uses all."""

    distil_steps: int = Field(0, ge=0)
    """Steps of distillation before training, on the rows' queries and on translations that are given."""

    batch_size: int = Field(64, ge=2)
    """Rows a step and device."""
    sampling: Literal["proportional", "uniform", "temperature"] = "proportional"
    """Of languages. proportional: each row once an epoch. uniform: as many rows of each language. temperature: in
    proportion to n_l ** temperature."""
    temperature: float = Field(0.5, ge=0, le=1)
    """Exponent of sampling temperature."""
    batch_languages: Literal["mixed", "single"] = "mixed"
    """mixed: a batch holds rows of any languages. single: of one language each."""

    epochs: float = Field(3.0, gt=0)
    """Passes over the rows, where max_steps is none."""
    max_steps: int | None = Field(None, ge=1)
    """Optimizer steps."""
    learning_rate: float = Field(5e-5, gt=0)
    """Highest learning rate."""
    lr_scheduler: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """How the learning rate changes."""
    warmup_ratio: float = Field(0.05, ge=0, le=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW."""

    cached: bool = Field(False, json_schema_extra={"flag": "--cached/--plain"})
    """Use the gradient cache: large batches in bounded memory."""
    mini_batch_num_tokens: int | Literal["auto"] | None = None
    """Of the gradient cache: tokens embedded at once, the knob for memory; auto measures. None: 1,024 on a CPU, 8,192
    elsewhere."""
    mini_batch_size: int | None = Field(None, ge=1)
    """Of the gradient cache: cut by number of texts instead."""
    max_seq_length: int | None = Field(None, ge=8)
    """Tokens of a text; longer texts are cut. None keeps the encoder's."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto takes bf16 or fp16 where the hardware has it."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""

    dev_share: float = Field(0.1, ge=0, lt=1)
    """Share of the passages whose rows choose the checkpoint and are not trained on. 0 keeps the last checkpoint."""
    max_english_loss: float | None = Field(None, ge=0)
    """Never keep a checkpoint that loses more points of nDCG@10 x 100 in English than this, unless all do."""
    eval_steps: int | None = Field(None, ge=1)
    """Steps between looks at the dev questions. None looks ten times."""

    logging_steps: int = Field(1, ge=1)
    """Steps between log entries."""
    seed: int = 0
    """Of batches and dropout."""

    @field_validator("mini_batch_num_tokens", mode="before")
    @classmethod
    def _count_or_auto(cls, value: Any) -> Any:
        if value is None or value == "auto" or (str(value).isdecimal() and int(value) > 0):
            return value if value is None or value == "auto" else int(value)
        raise ValueError("give a count of at least 1, or auto")

    @model_validator(mode="after")
    def _weights_fit(self) -> TrainingSettings:
        _ = self.weights
        if self.max_english_loss is not None and not self.dev_share:
            raise ValueError("max_english_loss judges checkpoints on the dev share; give a dev_share above 0")
        return self

    @property
    def weights(self) -> Weights:
        """The weights of the loss's terms.

        A loss by name fixes the weights that share 1; a weight that comes on top, the guard's, is its own field's.
        """
        from clear_ir.loss.terms import TERMS, Weights  # imports torch

        fixed = LOSSES[self.loss]
        weights = {}
        for term in TERMS.values():
            if term.weight is None:
                continue
            if fixed is not None and term.shares:
                weights[term.weight] = fixed.get(term.weight, 0.0)
            else:
                weights[term.weight] = getattr(self, term.weight, 0.0)  # a term without a field stays off
        if self.guard is None:
            weights["guard"] = GUARD_OF_CLEAR if fixed is None else 0.0
        return Weights(**weights)
