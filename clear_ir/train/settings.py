"""The settings of `clear-ir train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from clear_ir.data.settings import Settings
from clear_ir.loss import Divergence

if TYPE_CHECKING:
    from clear_ir.loss.terms import Weights

#: Scale of the scores by the encoder's similarity. A dot product has no bounds: the encoder was trained to its scale.
SCALES = {"cosine": 20.0, "dot": 1.0}
#: Epochs where both sides are trained.
EPOCHS = 5.0
#: Where queries are trained alone: the number of steps, and the fewest and the most epochs to make them.
STEPS_OF_QUERIES, EPOCHS_OF_QUERIES = 128, (1.0, 20.0)
#: The weights that each `loss` fixes. None: the settings of the weights count.
LOSSES: dict[str, dict[str, float] | None] = {
    "clear": None,
    "infonce": {"gamma": 1.0},
    "infonce-en": {},
    "infonce-both": {"gamma": 0.5},
    "infonce-symmetric": {"alpha": 0.5, "gamma": 0.5},
}
#: The learning rate of all weights, and that of a LoRA adapter.
LEARNING_RATE, LEARNING_RATE_OF_LORA = 5e-5, 5e-4
#: The default weight of the guard term with the loss `clear`.
GUARD_OF_CLEAR = 0.5
#: What is trained where neither a loss nor a setting of clear is given (docs/study.md): queries alone.
DEFAULT_METHOD: dict[str, Any] = {
    "side": "queries",
    "loss": "infonce-both",
    "distil": 5.0,
    "guard": 5.0,
    "embedding_rate": 20.0,
    "max_english_loss": 0.5,
}
#: Settings that count with the loss `clear` alone. Who gives one of them means that loss.
OF_CLEAR = ("alpha", "beta", "gamma", "divergence")
#: Settings that say how a LoRA adapter is made, which `lora_r` asks for.
OF_LORA = ("lora_alpha", "lora_dropout", "lora_target_modules")


class TrainingSettings(Settings):
    """How a model is trained.

    The defaults come from docs/study.md, those of the loss clear from docs/study-minilm.md. The recipe `paper` has
    the paper's. `side`, `loss`, `distil` and `guard` that are left out have their values as soon as the settings are
    made.
    """

    groups: ClassVar[dict[str, str]] = {
        "side": "What is trained",
        "loss": "Loss",
        "distil_steps": "Distillation before training",
        "batch_size": "Batches and languages",
        "epochs": "Steps and learning rate",
        "lora_r": "Training an adapter (LoRA)",
        "cached": "Memory and speed",
        "dev_share": "Choosing a checkpoint",
        "logging_steps": "Log and seed",
    }

    side: Literal["both", "queries"] = None  # type: ignore[assignment]
    """The texts whose embeddings are trained. both: those of queries and passages. queries: passages are encoded once,
    by the encoder before training, and stay as they are, so an index of them stays valid. The model then holds two
    encoders. All passages of the rows, and those of a corpus, are candidates of the forward and the cross term. None:
    queries, but both if a loss is named."""
    loss: Literal["clear", "infonce", "infonce-en", "infonce-both", "infonce-symmetric"] = None  # type: ignore[assignment]
    """The loss: clear, or a baseline. infonce: InfoNCE from the target-language query to the passages, the paper's
    baseline. infonce-en: from the English query to the passages. infonce-both: the mean of infonce and infonce-en.
    infonce-symmetric: the mean of infonce and InfoNCE from the passage to the target-language queries. None: with side
    queries infonce-both, with distil and guard; with side both, or where a setting of clear is given, clear."""
    alpha: float = 0.3
    """Weight of the reverse term, with the loss clear: InfoNCE from the English passage to the target-language
    queries."""
    beta: float = 0.1
    """Weight of the KL term, with the loss clear."""
    gamma: float = 0.3
    """Weight of the cross term, with the loss clear: InfoNCE from the target-language query to the English passages.
    The forward term, from the English query, gets 1 - alpha - beta - gamma."""
    guard: float = None  # type: ignore[assignment]
    """Weight of the guard term, with any loss. It keeps the embeddings of English texts near those before training, and
    draws a translated passage to that of its English original. None: 5 with side queries if no loss is named; else 0.5
    with the loss clear, 0 with the baselines."""
    distil: float = None  # type: ignore[assignment]
    """Weight of the distil term, with any loss. It draws the target-language query to where the encoder before training
    has a query, see distil_to. None: 5 with side queries if no loss is named, else 0."""
    distil_to: Literal["english", "own"] | None = None
    """Where distil draws the target-language query. english: to where the encoder before training has the English
    query. own: to where it has the query itself, which keeps search within a language as it was. None: own where
    queries are trained alone and passages are in both languages, else english."""
    soft_labels: float = Field(0.0, ge=0, le=1)
    """With side queries, the share of the forward and the cross term that is to find all passages as the encoder before
    training ranks them for the English query. The rest is to find the passage of the row."""
    divergence: Divergence = "kl-detached"
    """Form of the KL term. kl: KL(reverse || forward), as in the paper. kl-detached: the same, but without a gradient
    through the English side. kl-reversed: KL(forward || reverse). js: Jensen-Shannon divergence."""
    scale: float | None = Field(None, gt=0)
    """Factor on similarities in the loss: 1 / temperature. None: if the encoder compares by dot product, 1; if by
    cosine, the scale at which it tells the rows' English passages apart best before training, which is at most 100."""
    false_negative_margin: float | None = None
    """Ignore negatives that score higher than the row's positive by more than this: likely false negatives. Soft
    labels ignore none. None: ignore only known positives of the row."""
    candidates: int | None = Field(None, ge=1)
    """With side queries, how many passages are drawn as candidates of each batch, beside its own. None: all are
    candidates."""
    num_negatives: int | None = Field(None, ge=0)
    """Use only the first of the rows' negatives: this many passages and this many queries. None: use all. It is
    lowered, with a notice, if the rows have fewer."""

    matryoshka_dims: list[int] | None = None
    """Dimensions to which embeddings may be cut, such as 384, 128, 64. The loss is the sum over them and the encoder's
    own, and at the end the dev questions judge each. None: embeddings are trained whole."""

    distil_steps: int = Field(0, ge=0)
    """Optimizer steps of distillation before training. It draws target-language texts to their English originals: the
    rows' queries, and more translations if they are given. 0: no distillation."""

    batch_size: int = Field(64, ge=2)
    """Rows per optimizer step, on each device. It is lowered, with a notice, if the rows do not fill one batch."""
    sampling: Literal["proportional", "uniform", "temperature"] = "proportional"
    """How many rows of each language an epoch has. proportional: each row once. uniform: the same number for each
    language. temperature: in proportion to n ** temperature, where n is the number of the language's rows."""
    temperature: float = Field(0.5, ge=0, le=1)
    """Exponent for the sampling named temperature. 0 is uniform, 1 is proportional."""
    batch_languages: Literal["mixed", "single"] = "mixed"
    """Languages in a batch. mixed: rows of any languages. single: rows of one language."""
    passage_languages: Literal["english", "both"] | None = None
    """Language of the passages of a row, its positive and its negatives. english: English. both, with side both:
    English in one epoch and the target language in the next, or the other way round, as the seed draws for each row;
    with side queries: each query is to find its passage in every language that the rows have it in. A passage without a
    cross_passage stays in English. A translation of a row's positive is never its negative. None: both with side
    queries if any row has a cross_passage, else english."""

    epochs: float | None = Field(None, gt=0)
    """Passes over the rows. Ignored if max_steps is set. None: 5; with side queries as many as make 128 steps, but 1 at
    least and 20 at most."""
    max_steps: int | None = Field(None, ge=1)
    """Number of optimizer steps. None: epochs decides."""
    learning_rate: float = Field(None, gt=0)  # type: ignore[assignment]
    """Learning rate at the end of the warm-up, its highest value. None: 5e-5, and with lora_r 5e-4."""
    embedding_rate: float = Field(None, gt=0)  # type: ignore[assignment]
    """Learning rate of the embedding table, in multiples of learning_rate. A text uses few rows of the table, so each
    row takes few steps; a higher rate lets the encoder learn words that it hardly knows. None: 20 with side queries if
    no loss is named, else 1. With lora_r the table is not trained."""
    lr_scheduler: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """How the learning rate changes after the warm-up."""
    warmup_ratio: float = Field(0.05, ge=0, le=1)
    """Share of the steps in which the learning rate rises from 0."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of the optimizer, AdamW."""

    lora_r: int | None = Field(None, ge=1)
    """Rank of a LoRA adapter. It is trained alone, all weights of the encoder stay. None: the encoder's weights are
    trained; of a model folder with an adapter, that adapter."""
    lora_alpha: float | None = Field(None, gt=0)
    """What the adapter adds is multiplied by lora_alpha / lora_r. None: 2 lora_r."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the adapter's inputs that are set to 0 in each training step."""
    lora_target_modules: list[str] | None = None
    """Linear layers that get an adapter, by the last part of their names, such as query, value. None: all linear layers
    of the transformer, whatever its architecture."""
    merge_lora: bool = Field(False, json_schema_extra={"flag": "--merge-lora"})
    """Add the adapter to the weights when training ends. The model folder then is complete in itself. Otherwise it
    holds the adapter and names the encoder that it belongs to. With side queries it is always merged:
    sentence-transformers cannot load an adapter behind a route."""

    cached: bool = Field(False, json_schema_extra={"flag": "--cached/--plain"})
    """Use the gradient cache: large batches fit into memory, at the cost of a second forward pass."""
    mini_batch_num_tokens: int | Literal["auto"] | None = None
    """Tokens embedded at once with the gradient cache; fewer need less memory. auto: measured on the first batch. None:
    1,024 on a CPU, 8,192 on other devices."""
    mini_batch_size: int | None = Field(None, ge=1)
    """Texts embedded at once with the gradient cache. None: mini_batch_num_tokens decides."""
    max_seq_length: int | None = Field(None, ge=8)
    """Tokens per text; longer texts are cut. With side queries it counts for queries alone. None: the encoder's
    maximum."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of training. auto: bf16 or fp16 if the hardware is fast in it, else fp32."""
    vocabulary: Literal["used", "full"] = "used"
    """Rows of the embedding table to train. used: those that the texts use; the same training with less memory and
    time. full: all. With weight decay and tied weights it is always full."""
    gradient_checkpointing: bool = Field(False, json_schema_extra={"flag": "--gradient-checkpointing"})
    """Compute activations again in the backward pass: less memory, more time."""

    dev_share: float = Field(0.1, ge=0, lt=1)
    """Share of the passages that are held out, with their questions, to judge checkpoints. With 50 questions or more
    another than the last is kept if it is better by more than chance, or the encoder as it was if none is as good;
    otherwise the last. 0: train on all rows and keep the last."""
    max_english_loss: float | None = Field(None, ge=0)
    """Reject checkpoints that lose more than this in English, or in the mean of the directions within one language, in
    points of nDCG@10 x 100. At the end, weights between the last step and the encoder before training are judged, too,
    since they lose less. If all are rejected, the encoder stays as it was. None: 0.5 with side queries if no loss is
    named; else nothing is rejected, and no weights in between are tried."""
    eval_steps: int | None = Field(None, ge=2)
    """Steps between evaluations on the held-out rows. None: ten evaluations in all."""

    logging_steps: int = Field(1, ge=1)
    """Steps between entries of the training log."""
    report_to: Literal["tensorboard", "wandb"] | None = None
    """Where else the log goes while training runs. tensorboard: to the folder tensorboard of the model, and until it is
    complete to OUT.partial/checkpoints/runs. wandb: to Weights & Biases, by your login. None: nowhere."""
    seed: int = 0
    """Seed of held-out rows, batches and dropout."""

    @model_validator(mode="before")
    @classmethod
    def _method(cls, given: Any) -> Any:
        """Fill in what is trained where the user leaves it open."""
        if not isinstance(given, dict):
            return given
        filled = {"learning_rate", *DEFAULT_METHOD}
        given = {name: value for name, value in given.items() if value is not None or name not in filled}
        if "loss" not in given and any(name in given for name in OF_CLEAR):
            given["loss"] = "clear"
        if "loss" in given:
            method = {"side": "both", "guard": GUARD_OF_CLEAR if given["loss"] == "clear" else 0.0}
        elif given.get("side", "queries") == "queries":
            method = DEFAULT_METHOD if given.get("dev_share", 1) else DEFAULT_METHOD | {"max_english_loss": None}
        else:
            method = {"loss": "clear", "guard": GUARD_OF_CLEAR}
        rates = {"learning_rate": LEARNING_RATE, "embedding_rate": 1.0}
        if given.get("lora_r"):
            method = method | {"embedding_rate": 1.0}
            rates["learning_rate"] = LEARNING_RATE_OF_LORA
        return {"distil": 0.0} | rates | method | given

    @field_validator("mini_batch_num_tokens", mode="before")
    @classmethod
    def _count_or_auto(cls, value: Any) -> Any:
        if value is None or value == "auto" or (str(value).isdecimal() and int(value) > 0):
            return value if value is None or value == "auto" else int(value)
        raise ValueError("give a count of at least 1, or auto")

    @field_validator("matryoshka_dims")
    @classmethod
    def _positive(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and (not value or min(value) < 1):
            raise ValueError("give dimensions of at least 1")
        return value

    @model_validator(mode="after")
    def _fits_lora(self) -> TrainingSettings:
        if self.lora_r and self.embedding_rate != 1:
            raise ValueError("embedding_rate is that of the embedding table, which lora_r does not train; leave it out")
        given = [name for name in OF_LORA if getattr(self, name) != type(self).model_fields[name].default]
        if given and not self.lora_r:
            raise ValueError(f"{given[0]} is of a LoRA adapter; give its rank, such as lora_r 16, too")
        return self

    @model_validator(mode="after")
    def _weights_fit(self) -> TrainingSettings:
        _ = self.weights
        if self.max_english_loss is not None and not self.dev_share:
            raise ValueError("max_english_loss judges checkpoints on the dev share; give a dev_share above 0")
        if self.candidates is not None and self.side == "both":
            raise ValueError("candidates are drawn from fixed passages; set side to queries, or leave candidates out")
        if self.soft_labels and self.side == "both":
            raise ValueError("soft_labels rank fixed passages; set side to queries, or leave soft_labels out")
        return self

    def scale_for(self, similarity: str) -> float:
        """The scale of the scores: as it is set, else what fits the encoder's similarity, `cosine` or `dot`."""
        return self.scale if self.scale is not None else SCALES[similarity]

    def with_distil_to(self, passages_in_both: bool) -> TrainingSettings:
        """The settings with `distil_to`, if it was left open and counts.

        Args:
            passages_in_both: Whether passages are trained on in both languages.
        """
        if self.distil_to is None and self.distil and passages_in_both and self.side == "queries":
            return self.model_copy(update={"distil_to": "own"})
        return self  # left open, it is English

    def steps_for(self, steps_per_epoch: float) -> int:
        """The number of optimizer steps.

        Args:
            steps_per_epoch: Training rows / rows of a step.
        """
        if self.max_steps:
            return self.max_steps
        fewest, most = EPOCHS_OF_QUERIES
        usual = min(max(STEPS_OF_QUERIES / steps_per_epoch, fewest), most) if self.side == "queries" else EPOCHS
        return max(1, round((self.epochs or usual) * steps_per_epoch))

    @property
    def weights(self) -> Weights:
        """The weights of the loss's terms.

        A baseline fixes the weights that share 1. A weight that comes on top of them, such as the guard's, is always
        that of its field.
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
        if self.distil_to == "own":
            weights |= {"cross_guard": self.distil, "distil": 0.0}
        return Weights(**weights)
