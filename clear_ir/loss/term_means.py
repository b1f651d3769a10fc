"""Means of a loss's terms over training steps, and of the loss in each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


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
            found = rows[langs == number]
            total, seen = self._by_lang.get(self.languages[number], (torch.zeros_like(found.sum()), 0))
            self._by_lang[self.languages[number]] = total + found.sum(), seen + len(found)

    def pop(self) -> dict[str, float]:
        """Take the means and begin anew; see :meth:`clear_ir.loss.clear_loss.CLEARLoss.pop_terms`."""
        means = {name: float(total) / self._num_steps for name, total in self._sums.items()}
        by_lang = {f"clear/loss_{lang}": float(total) / seen for lang, (total, seen) in sorted(self._by_lang.items())}
        self._clear()
        named = {f"clear/{name}": mean for name, mean in means.items()}
        return named | {f"clear/{name}_weighted": self.weights[name] * mean for name, mean in means.items()} | by_lang
