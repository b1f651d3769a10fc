"""Which weights a run of training keeps, by the dev questions: those of a checkpoint, of a mixture, or of the base.

With `max_english_loss` the mixtures of the last step and the encoder before training are judged, too (see
`clear_ir.encode.mixed_weights`). A mixture gives back most of what was lost in English and within languages and keeps
most of what was gained, so it is often better than an early checkpoint that had not lost so much yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

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


class Ends(NamedTuple):
    """The tensors between which mixtures lie, by name: before training, and after the last step."""

    base: Mapping[str, Tensor]
    last: Mapping[str, Tensor]


def keep_best(
    trainer: SentenceTransformerTrainer,
    model: SentenceTransformer,
    evaluator: CrossLingualEvaluator | None,
    load_untrained: Callable[[], SentenceTransformer],
    read_ends: Callable[[], Ends] | None,
) -> dict[str, Any]:
    """Give a model the weights that the dev questions prefer, and say what they say of it.

    Args:
        trainer: The trainer, at the end.
        model: Its model, with the weights of the best checkpoint; of the last one where too few dev questions choose.
        evaluator: Has the dev questions; None without any.
        load_untrained: Loads the model as it was before training.
        read_ends: Gives the weights between which mixtures lie; None where there are no mixtures.

    Returns:
        What `clear_ir.train.verdict.judge_run` gives. Where mixtures were tried, also `mixtures`, each with its `share`
        of the last step, whether it was `rejected`, and its scores; and where one is kept, its `share`. Unless the base
        is kept, also `intervals`, see `CrossLingualEvaluator.intervals`. Empty without dev questions.
    """
    if evaluator is None:
        return {}
    chosen = chooses_checkpoint(evaluator)
    best = trainer.state.best_global_step if chosen else None
    verdict = judge_run(evaluator, trainer.state.log_history, best or trainer.state.global_step, chosen)
    if not verdict:
        return {}
    if chosen and evaluator.max_english_loss is not None and read_ends:
        show = show_line if trainer.is_world_process_zero() else lambda line: None
        ends = read_ends()
        kept = {name: model.state_dict()[name].clone() for name in ends.last}
        verdict = _try_mixtures(evaluator, model, ends, verdict, show)
        if "share" in verdict:
            set_between(model, *ends, verdict["share"])
        else:
            set_between(model, kept, kept, 1.0)
    if verdict["kept_step"] == 0:
        model.load_state_dict(load_untrained().state_dict())
        return verdict
    # As JSON has them.
    verdict["intervals"] = {name: list(ends) for name, ends in evaluator.intervals(model).items()}
    return verdict


def _try_mixtures(
    evaluator: CrossLingualEvaluator,
    model: SentenceTransformer,
    ends: Ends,
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
        set_between(model, *ends, share)
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
