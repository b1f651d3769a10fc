"""What a run of training should say of itself: which texts are cut, and whether the encoder became better or worse."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.encode.model_loading import count_tokens
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.selection import PRIMARY_METRIC

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator
    from clear_ir.train.trainer import TrainingData

#: With fewer dev questions the best of ten checkpoints is the luckiest, so none is chosen: the last is kept.
MIN_DEV_QUESTIONS = 50
WAYS_OUT = "Ways out: fewer steps, a lower learning rate, a guard, queries alone, or merging with the base."
#: A direction that loses more points of nDCG@10 x 100 than this is reported.
WORTH_A_WARNING = 1.0
#: A larger share of cut passages is reported before training.
MANY_CUT = 0.05
#: Of more passages a sample is counted: it gives the share to a few points, and takes seconds however many there are.
CUT_SAMPLE = 2_000


def measure_cut(model: SentenceTransformer, data: TrainingData) -> dict[str, float]:
    """How much of the passages the encoder does not see.

    Args:
        model: The encoder of passages, with its maximum length.
        data: The training data.

    Returns:
        `max_seq_length`; `passages_cut`, the share of the distinct passages that are longer; `tokens_unseen`, the
        share of their tokens that is cut off; and `sample_of`, the number of distinct passages, if a sample of them
        was counted. Empty if the encoder has no limit.
    """
    limit = model.max_seq_length
    if not limit or math.isinf(limit):  # static embeddings read texts of any length
        return {}
    passages = data.passages
    sample_of = {"sample_of": len(passages)} if len(passages) > CUT_SAMPLE else {}
    if sample_of:
        passages = random.Random(0).sample(passages, CUT_SAMPLE)
    lengths = count_tokens(model, passages)
    unseen = sum(max(0, length - limit) for length in lengths)
    return {
        "max_seq_length": limit,
        "passages_cut": sum(length > limit for length in lengths) / len(lengths),
        "tokens_unseen": unseen / max(1, sum(lengths)),
        **sample_of,
    }


def judge_run(
    evaluator: CrossLingualEvaluator, log: Sequence[dict[str, Any]], kept_step: int, chosen: bool
) -> dict[str, Any]:
    """Hold the model that is kept against the base, on the dev questions.

    Args:
        evaluator: It has the base's scores.
        log: The training log, with the scores of the checkpoints.
        kept_step: Step of the checkpoint that is kept.
        chosen: Whether it is the best checkpoint, or just the last.

    Returns:
        `questions`, `chosen`, `kept_step`, `last_step`; and nDCG@10 by direction and as the primary mean, of
        the `base`, the `kept` model and the `last` one. Empty if no checkpoint was evaluated. If even the best
        checkpoint is worse than the base in the mean, or all are vetoed, the base is to be kept: `kept_step` is 0.
        `all_vetoed` says which, and `last_vetoed` whether the last step is.
    """
    scores_at = {entry["step"]: scores for entry in log if (scores := checkpoint_scores(entry))}
    if not scores_at:
        return {}
    last_step = max(scores_at)
    kept_step = kept_step if kept_step in scores_at else last_step
    scores_at[0] = evaluator.base_metrics
    vetoes = [entry["eval_vetoed"] for entry in log if "eval_vetoed" in entry]
    all_vetoed = bool(vetoes) and all(vetoes)
    if chosen and (all_vetoed or scores_at[kept_step]["mean"] < evaluator.base_metrics["mean"]):
        kept_step = 0
    return {
        "questions": evaluator.num_questions,
        "chosen": chosen,
        "kept_step": kept_step,
        "last_step": last_step,
        "all_vetoed": all_vetoed,
        "last_vetoed": bool(vetoes) and bool(vetoes[-1]),
        "base": evaluator.base_metrics,
        "kept": scores_at[kept_step],
        "last": scores_at[last_step],
    }


def checkpoint_scores(entry: Mapping[str, Any]) -> dict[str, float]:
    """The scores of a checkpoint on the dev questions.

    Args:
        entry: Its entry in the training log.

    Returns:
        nDCG@10 by direction, and the `mean` that chooses, from which a veto takes nothing. Empty if the entry is of
        something else.
    """
    names = {name.removeprefix("eval_"): value for name, value in entry.items() if name.endswith(MAIN_MEASURE)}
    if PRIMARY_METRIC not in names:
        return {}
    mean = names.pop(PRIMARY_METRIC) + entry.get("eval_vetoed", 0.0)
    return {"mean": mean, **{name.removesuffix(f"_{MAIN_MEASURE}"): value for name, value in names.items()}}


def describe_cut(cut: dict[str, float]) -> str:
    """One sentence on the passages that are cut; empty if they are few.

    Args:
        cut: What `measure_cut` gives.
    """
    if not cut or cut["passages_cut"] <= MANY_CUT:
        return ""
    sample = f" (a sample of {CUT_SAMPLE:,} of {cut['sample_of']:,} was counted)" if "sample_of" in cut else ""
    return (
        f"max_seq_length {cut['max_seq_length']:.0f} cuts {cut['passages_cut']:.0%} of the passages{sample}: "
        f"{cut['tokens_unseen']:.0%} of their tokens are never seen. A question teaches nothing if its answer "
        "is cut off."
    )


def describe_verdict(verdict: dict[str, Any], loss: str, max_english_loss: float | None = None) -> list[str]:
    """What the dev questions say, in sentences: one on the scores, and a warning if the encoder became worse.

    Args:
        verdict: What `judge_run` gives.
        loss: Name of the loss, for the warning.
        max_english_loss: What a checkpoint might lose.

    Returns:
        The sentences; none without dev questions.
    """
    if not verdict:
        return []
    base, kept, last = (verdict[name] for name in ("base", "kept", "last"))
    kept_scores = f"kept {describe_kept(verdict)} {100 * kept['mean']:.1f}, "
    questions = verdict["questions"]
    untrained = verdict["kept_step"] == 0
    scores = (
        f"Dev questions: {questions}; mean nDCG@10 x 100: base {100 * base['mean']:.1f}, "
        f"{'' if untrained else kept_scores}last step {verdict['last_step']} {100 * last['mean']:.1f}."
    )
    sentences = [scores]
    if higher := verdict.get("higher"):
        sentences.append(
            f"The last step was preferred to {describe_kept(higher)}, {100 * higher['mean']:.1f}, which is higher by "
            "no more than chance."
        )
    if not verdict["chosen"]:
        sentences.append(
            f"No checkpoint was chosen by them, the last was kept: fewer than {MIN_DEV_QUESTIONS} questions choose by "
            "luck."
        )
    directions = sorted((name for name in base if name != "mean"), key=lambda name: name != ENGLISH_DIRECTION)
    judged = last if untrained else kept
    worse = [name for name in directions if 100 * (base[name] - judged[name]) > WORTH_A_WARNING]
    losses = ", ".join(f"{name} {100 * base[name]:.1f} -> {100 * judged[name]:.1f}" for name in worse)
    if untrained:
        why = why_base_is_kept(verdict, max_english_loss)
        sentences.append(
            f"Warning: {why}, so the encoder was kept as it was before training. "
            f"{f'The last step made it worse: {losses}. ' if worse else ''}{WAYS_OUT}"
        )
    elif worse:
        noise = "" if questions >= MIN_DEV_QUESTIONS else " With so few questions this may be chance."
        sentences.append(f"Warning: training with the loss {loss} made the encoder worse: {losses}.{noise} {WAYS_OUT}")
    return sentences


def describe_kept(verdict: Mapping[str, Any], of: int | None = None) -> str:
    """Which weights are kept, if they are not the base's: `step 64`, or `60 % of step 128 and 40 % of the base`.

    Args:
        verdict: What `judge_run` or `clear_ir.train.keeping.keep_best` gives.
        of: The number of steps, to be named, too, where a step is kept as it is.
    """
    step = f"step {verdict['kept_step']}"
    share = verdict.get("share", 1)
    if share == 1:
        return f"{step} of {of}" if of else step
    return f"{100 * share:.0f} % of {step} and {100 * (1 - share):.0f} % of the base"


def why_base_is_kept(verdict: dict[str, Any], max_english_loss: float | None) -> str:
    """Why no checkpoint is kept, as the beginning of a sentence.

    Args:
        verdict: What `judge_run` gives, with `kept_step` 0.
        max_english_loss: What a checkpoint might lose.
    """
    if verdict["all_vetoed"]:
        mixtures = ", and every mixture with the base that is better across languages," if "mixtures" in verdict else ""
        return f"every checkpoint{mixtures} lost more than {max_english_loss:g} points in English or within languages"
    return "no checkpoint is as good as the base across languages"
