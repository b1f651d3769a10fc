"""Which weights a run of training keeps, by the dev questions: those of a step, of a mixture, or of the base.

The last step is kept unless it is rejected, or another is better by more than chance: of many weights the best on some
hundred questions are mostly the luckiest, and only at the last step has the learning rate fallen to 0. With
`max_english_loss` the mixtures of the last step and the encoder before training are judged, too (see
`clear_ir.encode.mixed_weights`). A mixture gives back most of what was lost in English and within languages and keeps
most of what was gained, so it is often better than an early checkpoint that had not lost so much yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.encode.adapters import has_adapters, saved_adapter, without_effect
from clear_ir.encode.mixed_weights import set_between
from clear_ir.train.arguments import chooses_checkpoint
from clear_ir.train.dev_curve import describe_scores, show_line
from clear_ir.train.verdict import checkpoint_scores, describe_kept, judge_run

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from torch import Tensor

    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator

#: Shares of the last step that are tried first; the rest is the encoder before training.
SHARES = (0.8, 0.6, 0.4, 0.2)
#: How far from the best of them two more are tried.
STEP = 0.1

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class RunWeights:
    """The weights among which a run can choose.

    Args:
        model: The trainer's model, with the weights of the best checkpoint; of the last step where too few dev
            questions choose.
        name: The encoder that training began with.
        load: Loads an encoder with the weights that are trained, by its name or folder.
        last: The checkpoint of the last step; None without checkpoints.
        new_adapter: Whether an adapter is trained that had no effect before training.
    """

    model: SentenceTransformer
    name: str
    load: Callable[[str], SentenceTransformer]
    last: Path | None
    new_adapter: bool

    def set(self, tensors: Tensors) -> None:
        """Give the model these weights; those without a name here stay."""
        self.model.load_state_dict(tensors, strict=False)

    def now(self, names: Tensors) -> dict[str, Tensor]:
        """A copy of the model's weights of these names."""
        tensors = self.model.state_dict()
        return {name: tensors[name].clone() for name in names}

    def of_base(self) -> Tensors:
        """All weights before training."""
        return self.load(self.name).state_dict()

    def of_last_step(self) -> Tensors:
        """The weights after the last step: those of the adapter, where one is trained alone."""
        assert self.last is not None
        return saved_adapter(self.model, self.last) if self._adapts else self.load(str(self.last)).state_dict()

    def before_training(self, last: Tensors) -> Tensors | None:
        """What mixtures are made of with `of_last_step`; None where nothing useful lies between the two.

        Between two adapters lies none whose product lies between theirs, unless one has no effect, as a new one.
        """
        if not self._adapts:
            return self.of_base()
        return without_effect(last) if self.new_adapter else None

    @property
    def _adapts(self) -> bool:
        return has_adapters(self.model)


def keep_best(
    trainer: SentenceTransformerTrainer, weights: RunWeights, evaluator: CrossLingualEvaluator | None
) -> dict[str, Any]:
    """Give a model the weights that the dev questions prefer, and say what they say of it.

    Args:
        trainer: The trainer, at the end.
        weights: The model, and what it may be given.
        evaluator: Has the dev questions; None without any.

    Returns:
        What `clear_ir.train.verdict.judge_run` gives. Where another scored higher than the last step, which was
        preferred, also `higher`: its `kept_step`, its `share` if it is a mixture, and its `mean`. Where mixtures were
        tried, also `mixtures`, each with its `share` of the last step, whether it was `rejected`, and its scores; and
        where one is kept, its `share`. Unless the base is kept, also `intervals`, see
        `CrossLingualEvaluator.intervals`. Empty without dev questions.
    """
    if evaluator is None:
        return {}
    chosen = chooses_checkpoint(evaluator)
    best = trainer.state.best_global_step if chosen else None
    verdict = judge_run(evaluator, trainer.state.log_history, best or trainer.state.global_step, chosen)
    if not verdict:
        return {}
    mixes = evaluator.max_english_loss is not None
    if chosen and weights.last and (mixes or 0 < verdict["kept_step"] < verdict["last_step"]):
        last = weights.of_last_step()
        base = weights.before_training(last) if mixes else None
        if base is not None:
            of_checkpoint = weights.now(last)
            show = show_line if trainer.is_world_process_zero() else lambda line: None
            verdict = _try_mixtures(evaluator, weights.model, base, last, verdict, show)
            if "share" in verdict:
                set_between(weights.model, base, last, verdict["share"])
            else:
                weights.set(of_checkpoint)
        if _could_keep_last(verdict):
            verdict = _prefer_last(evaluator, weights, last, verdict)
    if verdict["kept_step"] == 0:
        weights.set(weights.of_base())
        return verdict
    # As JSON has them.
    verdict["intervals"] = {name: list(ends) for name, ends in evaluator.intervals(weights.model).items()}
    return verdict


def _could_keep_last(verdict: Mapping[str, Any]) -> bool:
    """Whether the last step is an alternative to what is best so far."""
    is_other = 0 < verdict["kept_step"] < verdict["last_step"] or "share" in verdict
    return is_other and not verdict["last_vetoed"] and verdict["last"]["mean"] >= verdict["base"]["mean"]


def _prefer_last(
    evaluator: CrossLingualEvaluator, weights: RunWeights, last: Tensors, verdict: Mapping[str, Any]
) -> dict[str, Any]:
    """The verdict with the last step kept, unless what is best so far, which the model has, is clearly better."""
    best, results = weights.now(last), evaluator.results(weights.model)
    weights.set(last)
    _, high = evaluator.intervals(weights.model, before=results)["mean"]
    if high < 0:
        weights.set(best)
        return dict(verdict)
    kept = {name: verdict[name] for name in ("kept_step", "share") if name in verdict}
    others = {name: value for name, value in verdict.items() if name != "share"}
    higher = {**kept, "mean": verdict["kept"]["mean"]}
    return {**others, "kept_step": verdict["last_step"], "kept": verdict["last"], "higher": higher}


def _try_mixtures(
    evaluator: CrossLingualEvaluator,
    model: SentenceTransformer,
    base: Tensors,
    last: Tensors,
    verdict: Mapping[str, Any],
    show: Callable[[str], None],
) -> dict[str, Any]:
    """The verdict with the mixtures, and with the best of them if it is better than what is kept so far.

    The model is given the weights of each in turn. A new encoder for each would fill the memory: an encoder and its
    model card refer to each other, so Python frees them late.
    """
    tried = {**verdict, "mixtures": []}
    mixtures: list[dict[str, Any]] = tried["mixtures"]
    shares = list(SHARES)
    for share in shares:
        set_between(model, base, last, share)
        metrics = {f"eval_{name}": value for name, value in evaluator(model).items()}
        scores, rejected = checkpoint_scores(metrics), bool(metrics["eval_vetoed"])
        mixtures.append({"share": share, "rejected": rejected, **scores})
        if not rejected and scores["mean"] > tried["kept"]["mean"]:
            tried |= {"kept": scores, "kept_step": verdict["last_step"], "share": share}
        weights = describe_kept({"kept_step": verdict["last_step"], "share": share})
        line = f"{weights}: {describe_scores(scores, evaluator.base_metrics)}"
        show(f"{line}{'; rejected' if rejected else ''}.")
        if len(mixtures) == len(SHARES):  # the list grows while it is gone through
            if "share" in tried:
                shares += [round(tried["share"] + STEP, 1), round(tried["share"] - STEP, 1)]
            elif all(other["rejected"] for other in mixtures):
                shares += [STEP]
    return tried
