"""How a model is trained: the settings of ``clear-ir train``, validated."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from clear_ir.loss.terms import Divergence, Weights

#: Weights (alpha, beta, gamma) by loss name; None leaves them to the settings.
LOSSES: dict[str, tuple[float, float, float] | None] = {
    "clear": None,
    "infonce": (0.0, 0.0, 1.0),
    "infonce-en": (0.0, 0.0, 0.0),
    "infonce-symmetric": (0.5, 0.0, 0.5),
    "infonce-both": (0.0, 0.0, 0.5),
}


class TrainingSettings(BaseModel):
    """How a model is trained.

    Attributes:
        loss: ``clear``; ``infonce``, InfoNCE from the target-language query to the passages, the paper's
            baseline; ``infonce-en``, from the English query instead; ``infonce-both``, from both, half each; or
            ``infonce-symmetric``, from the target-language query and back from the passage, half each.
        cached: Use the gradient cache: large batches in bounded memory.
        alpha: Weight of the reverse term of ``clear``. The defaults of the four weights and of the divergence are what
            docs/study.md supports; the recipe ``paper`` has the paper's.
        beta: Weight of its KL term.
        gamma: Weight of its cross-lingual forward term.
        guard: Weight of the term that keeps English near the frozen base, with any loss; see
            :class:`clear_ir.loss.clear_loss.CLEARLoss`. None takes 0.5 with ``clear`` and 0 with the baselines.
        divergence: The KL term: ``kl-detached``, in which English is the target and carries no gradient; ``kl``, the
            paper's, gradients through both sides; ``kl-reversed``; or ``js``, Jensen-Shannon.
        distil_steps: Steps of distillation before training, on the rows' queries and other translations that are given;
            see :mod:`clear_ir.train.distillation`.
        scale: 1 / temperature.
        false_negative_margin: See :class:`clear_ir.loss.clear_loss.CLEARLoss`.
        num_negatives: Use only this many of the rows' negatives on each side; None uses all.
        mini_batch_num_tokens: Of the gradient cache: tokens embedded at once, ``auto`` to measure; see
            :class:`clear_ir.loss.cached_clear_loss.CachedCLEARLoss`.
        mini_batch_size: Of the gradient cache: cut by number of texts instead.
        batch_size: Rows a step and device.
        sampling: Of languages, where the rows have several: ``proportional`` takes each row once an epoch;
            ``uniform`` as many of each language; ``temperature`` in proportion to n_l ** temperature.
        temperature: Exponent of ``sampling: temperature``.
        batch_languages: ``mixed`` batches hold rows of any languages, ``single`` ones of one each.
        epochs: Passes over the rows, if ``max_steps`` is None.
        max_steps: Optimizer steps.
        learning_rate: Highest learning rate.
        lr_scheduler: Name of the schedule.
        warmup_ratio: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW.
        max_seq_length: Tokens a text; None keeps the encoder's.
        precision: ``auto`` takes bf16 or fp16 where the hardware has it.
        gradient_checkpointing: Trade time for memory.
        dev_share: Share of the passages whose rows judge checkpoints and are not trained on. 0 keeps the
            last checkpoint.
        max_english_loss: Never keep a checkpoint that loses more than so many points of nDCG@10 x 100 in English
            on the dev share, unless all do; None lets English go.
        eval_steps: Steps between looks at the dev share; None looks ten times.
        logging_steps: Steps between log entries.
        seed: Of batches and dropout.
    """

    model_config = ConfigDict(extra="forbid")

    loss: Literal["clear", "infonce", "infonce-en", "infonce-both", "infonce-symmetric"] = "clear"
    cached: bool = False
    alpha: float = 0.3
    beta: float = 0.1
    gamma: float = 0.3
    guard: float | None = None
    divergence: Divergence = "kl-detached"
    distil_steps: int = Field(0, ge=0)
    scale: float = Field(20.0, gt=0)
    false_negative_margin: float | None = None
    num_negatives: int | None = Field(None, ge=0)
    mini_batch_num_tokens: int | Literal["auto"] | None = None
    mini_batch_size: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=2)
    sampling: Literal["proportional", "uniform", "temperature"] = "proportional"
    temperature: float = Field(0.5, ge=0, le=1)
    batch_languages: Literal["mixed", "single"] = "mixed"
    epochs: float = Field(3.0, gt=0)
    max_steps: int | None = Field(None, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    lr_scheduler: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup_ratio: float = Field(0.05, ge=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    max_seq_length: int | None = Field(None, ge=8)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    gradient_checkpointing: bool = False
    dev_share: float = Field(0.1, ge=0, lt=1)
    max_english_loss: float | None = Field(None, ge=0)
    eval_steps: int | None = Field(None, ge=1)
    logging_steps: int = Field(1, ge=1)
    seed: int = 0

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
        """The weights of the loss's terms."""
        fixed = LOSSES[self.loss]
        guard = self.guard if self.guard is not None else (0.0 if fixed else 0.5)
        return Weights(*(fixed or (self.alpha, self.beta, self.gamma)), guard=guard)
