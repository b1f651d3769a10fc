"""The single terms of a CLEAR loss in the training log of any sentence-transformers trainer."""

from __future__ import annotations

from typing import Any

from sentence_transformers import SentenceTransformerTrainer
from torch import nn
from transformers import TrainerCallback

from clear_ir.loss.clear_loss import CLEARLoss


class TermLog(TrainerCallback):
    """Adds the terms of ``losses`` to each training log entry. Use :func:`log_terms` to install it."""

    def __init__(self, losses: list[CLEARLoss]) -> None:
        self.losses = losses

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Add the means since the last entry, both to what other callbacks see and to the history."""
        if logs is None or "loss" not in logs:
            return
        for loss in self.losses:
            terms = loss.pop_terms()
            logs.update(terms)
            if state.log_history:
                state.log_history[-1].update(terms)


def log_terms(trainer: SentenceTransformerTrainer) -> None:
    """Make ``trainer`` log the terms of its CLEAR loss, step by step, also one inside ``MatryoshkaLoss``.

    Args:
        trainer: A trainer whose ``loss`` is a CLEAR loss or holds one.

    Raises:
        ValueError: If there is no CLEAR loss in the trainer.
    """
    roots = trainer.loss.values() if isinstance(trainer.loss, dict) else [trainer.loss]
    modules = (module for root in roots if isinstance(root, nn.Module) for module in root.modules())
    losses = [module for module in modules if isinstance(module, CLEARLoss)]
    if not losses:
        raise ValueError("The trainer's loss is no CLEARLoss and holds none; there are no terms to log.")
    # First, so that the callbacks that write to TensorBoard and the like see the terms too.
    trainer.callback_handler.callbacks.insert(0, TermLog(losses))
