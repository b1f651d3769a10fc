"""Log each term of a CLEAR loss in the training log of any sentence-transformers trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformerTrainer


class HasTerms(Protocol):
    """A loss that gives the means of its terms: a CLEAR loss."""

    def pop_terms(self) -> dict[str, float]:
        """Return the means of the terms since the last call."""


class TermMeans:
    """Means of the terms over the training steps since the last `pop`.

    The values stay on their device until then: reading them in each step would make the CPU wait for a GPU.

    Args:
        weights: Weights of the terms, by the term's name.
        languages: Names of the languages. A row's language is an index into them.
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
        """Add some rows of a training step.

        Args:
            terms: By the term's name, one value per row, shape (chunk,).
            count: Number of rows of the step, over all its chunks.
            langs: Shape (chunk,): each row's language, an index. None: no means by language.
        """
        for name, values in terms.items():
            self._sums[name] = (
                self._sums.get(name, torch.zeros((), device=values.device)) + values.detach().sum() / count
            )
        # A chunk counts as its share of the step.
        self._num_steps += len(next(iter(terms.values()))) / count
        if langs is None:
            return
        rows = torch.stack([self.weights[name] * values.detach() for name, values in terms.items()]).sum(dim=0)
        for number in langs.unique().tolist():
            losses = rows[langs == number]
            total, num_rows = self._by_lang.get(self.languages[number], (torch.zeros_like(losses.sum()), 0))
            self._by_lang[self.languages[number]] = total + losses.sum(), num_rows + len(losses)

    def pop(self) -> dict[str, float]:
        """Return the means and start again from zero; see `clear_ir.CLEARLoss.pop_terms`."""
        means = {name: float(total) / self._num_steps for name, total in self._sums.items()}
        by_lang = {
            f"clear/loss_{lang}": float(total) / num_rows for lang, (total, num_rows) in sorted(self._by_lang.items())
        }
        self._clear()
        named = {f"clear/{name}": mean for name, mean in means.items()}
        return named | {f"clear/{name}_weighted": self.weights[name] * mean for name, mean in means.items()} | by_lang


class TermLog(TrainerCallback):
    """Adds the terms of `losses` to each entry of the training log. `log_terms` installs it."""

    def __init__(self, losses: Sequence[HasTerms]) -> None:
        self.losses = losses

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Add the means since the last entry, both to the logs of other callbacks and to the history."""
        if logs is None or "loss" not in logs:
            return
        for loss in self.losses:
            terms = loss.pop_terms()
            logs.update(terms)
            if state.log_history:
                state.log_history[-1].update(terms)


def log_terms(trainer: SentenceTransformerTrainer) -> None:
    """Make `trainer` log the terms of its CLEAR loss. The loss may be inside another one, such as MatryoshkaLoss.

    Args:
        trainer: A trainer whose `loss` is a CLEAR loss or contains one.

    Raises:
        ValueError: If the trainer has no CLEAR loss.
    """
    roots = trainer.loss.values() if isinstance(trainer.loss, dict) else [trainer.loss]
    modules = (module for root in roots if isinstance(root, nn.Module) for module in root.modules())
    losses: list[Any] = [module for module in modules if hasattr(module, "pop_terms")]
    if not losses:
        raise ValueError(
            "The trainer's loss has no terms to log: there is no CLEARLoss in it; train with CLEARLoss or "
            "CachedCLEARLoss."
        )
    # First in the list, so that later callbacks, such as TensorBoard's, see the terms too.
    trainer.callback_handler.callbacks.insert(0, TermLog(losses))
