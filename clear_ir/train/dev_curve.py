"""The dev scores in the terminal while an encoder is trained: a line an evaluation, by language."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from transformers import TrainerCallback

from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction
from clear_ir.data.languages import english_name
from clear_ir.train.verdict import checkpoint_scores

if TYPE_CHECKING:
    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator


class DevCurve(TrainerCallback):
    """Prints a line at each evaluation: the step, English, each other language, and whether it is the best so far.

    Args:
        evaluator: The trainer's evaluator, with the scores of the encoder before training.
    """

    def __init__(self, evaluator: CrossLingualEvaluator) -> None:
        self.evaluator = evaluator

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say what the lines show."""
        if state.is_world_process_zero:
            base = describe_scores(self.evaluator.base_metrics, {})
            show_line(f"nDCG@10 x 100 on {self.evaluator.num_questions} dev questions. Before training: {base}.")

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Print the line of a checkpoint."""
        primary = f"eval_{self.evaluator.primary}"
        if not state.is_world_process_zero or not metrics or primary not in metrics:
            return
        scores = checkpoint_scores(metrics)
        line = f"Step {state.global_step}/{state.max_steps}: {describe_scores(scores, self.evaluator.base_metrics)}"
        if args.load_best_model_at_end:  # else too few questions choose, and none is rejected either
            line += self._fate(state, metrics, scores["mean"])
        show_line(f"{line}.")

    def _fate(self, state: Any, metrics: Mapping[str, float], mean: float) -> str:
        if metrics.get("eval_vetoed"):
            return "; rejected: it loses too much in English or within languages"
        # The trainer compares right after this call, and by the same rule.
        best = state.best_metric if state.best_metric is not None else float("-inf")
        if metrics[f"eval_{self.evaluator.primary}"] <= best:
            return ""
        return "; best so far" if mean >= self.evaluator.base_metrics["mean"] else "; not as good as before training"


def describe_scores(scores: Mapping[str, float], base: Mapping[str, float]) -> str:
    """Scores by language: `English 81.9 (-0.1), Hausa 58.4 (+7.6)`.

    Args:
        scores: nDCG@10 by direction, from 0 to 1, and as `mean`.
        base: The same before training, for the changes; may be empty.

    Returns:
        English within itself, and for each other language the mean of its questions' directions across languages; in
        their absence, that of its directions within itself.
    """
    after, before = _by_language(scores), _by_language(base)
    parts = []
    for name, score in after.items():
        change = f" ({100 * (score - before[name]):+.1f})" if name in before else ""
        parts.append(f"{name} {100 * score:.1f}{change}")
    return ", ".join(parts)


def _by_language(scores: Mapping[str, float]) -> dict[str, float]:
    directions = {name: parse_direction(name) for name in scores if name != "mean"}
    shown = {}
    if ENGLISH_DIRECTION in scores:
        shown["English"] = scores[ENGLISH_DIRECTION]
    for lang in sorted({direction.query_lang for direction in directions.values()} - {"en"}):
        asked = [name for name, direction in directions.items() if direction.query_lang == lang]
        across = [name for name in asked if directions[name].crosses] or asked
        shown[english_name(lang)] = sum(scores[name] for name in across) / len(across)
    return shown


def show_line(line: str) -> None:
    """Write a line to the terminal, above a bar if there is one."""
    tqdm.write(line, file=sys.stderr)
