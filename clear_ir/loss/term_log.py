"""The single terms of a CLEAR loss in the training log of any sentence-transformers trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformerTrainer


class LogsTerms(Protocol):
    """A loss whose terms can be taken: a CLEAR loss."""

    def pop_terms(self) -> dict[str, float]:
        """Take the means of the terms since the last call."""


class TermMeans:
    """What the terms came to since they were last taken; values stay on their device until then.

    Args:
        weights: Of the terms, by name.
        languages: Names that the rows' language numbers count through.
    """

    def __init__(self, weights: Mapping[str, float], languages: Sequence[str]) -> None:
        self.weights = weights
        self.languages = languages
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._num_steps = 0.0
        self._by_lang: dict[str, tuple[Tensor, int]] = {}

    def add(self, terms: Mapping[str, Tensor], count: int, langs: Tensor | None = None) -> None:
        """Add some rows of a step.

        Args:
            terms: The value of each row, by term.
            count: Rows of the whole step.
            langs: Each row's language, a number; None counts none.
        """
        for name, values in terms.items():
            self._sums[name] = (
                self._sums.get(name, torch.zeros((), device=values.device)) + values.detach().sum() / count
            )
        self._num_steps += len(next(iter(terms.values()))) / count
        if langs is None:
            return
        rows = torch.stack([self.weights[name] * values.detach() for name, values in terms.items()]).sum(dim=0)
        for number in langs.unique().tolist():
            losses = rows[langs == number]
            total, seen = self._by_lang.get(self.languages[number], (torch.zeros_like(losses.sum()), 0))
            self._by_lang[self.languages[number]] = total + losses.sum(), seen + len(losses)

    def pop(self) -> dict[str, float]:
        """Take the means and begin anew; see :meth:`clear_ir.CLEARLoss.pop_terms`."""
        means = {name: float(total) / self._num_steps for name, total in self._sums.items()}
        by_lang = {f"clear/loss_{lang}": float(total) / seen for lang, (total, seen) in sorted(self._by_lang.items())}
        self._clear()
        named = {f"clear/{name}": mean for name, mean in means.items()}
        return named | {f"clear/{name}_weighted": self.weights[name] * mean for name, mean in means.items()} | by_lang


class TermLog(TrainerCallback):
    """Adds the terms of ``losses`` to each training log entry. Use :func:`log_terms` to install it."""

    def __init__(self, losses: Sequence[LogsTerms]) -> None:
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
    losses: list[Any] = [module for module in modules if hasattr(module, "pop_terms")]
    if not losses:
        raise ValueError("The trainer's loss is no CLEARLoss and holds none; there are no terms to log.")
    # First, so that the callbacks that write to TensorBoard and the like see the terms too.
    trainer.callback_handler.callbacks.insert(0, TermLog(losses))
