"""Batches for CLEAR: no anchor and no positive twice, languages sampled as asked, no row lost in silence."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler
from transformers import TrainerCallback

#: Columns whose texts shall not meet their like in a batch. Shared negatives are harmless: the loss masks those that
#: are a row's own positive.
APART = ("anchor", "positive")

Sampling = Literal["proportional", "uniform", "temperature"]
BatchLanguages = Literal["mixed", "single"]


def rows_by_lang(langs: Sequence[str], sampling: Sampling, temperature: float) -> dict[str, int]:
    """How many rows of each language an epoch holds; as many in all as there are rows.

    Args:
        langs: Language of each row.
        sampling: ``proportional`` takes each row once; ``uniform`` as many of each language; ``temperature`` in
            proportion to n_l ** temperature (Conneau et al. 2020, arXiv 1911.02116, section 3.1), n_l the language's
            rows.
        temperature: Exponent between 0, uniform, and 1, proportional.

    Returns:
        Rows by language, at least one each.
    """
    counts = Counter(langs)
    exponent = {"proportional": 1.0, "uniform": 0.0, "temperature": temperature}[sampling]
    weights = {lang: count**exponent for lang, count in counts.items()}
    total = sum(weights.values())
    return {lang: max(1, round(len(langs) * weight / total)) for lang, weight in weights.items()}


class LanguageBatchSampler(DefaultBatchSampler):
    """Full batches in which no anchor and no positive stands twice.

    An epoch holds each language's share of rows, see :func:`rows_by_lang`: every row of a language once before any
    twice. What does not fill the last batch is topped up with rows drawn again, so that no row is dropped for its
    place in the order; ``num_left`` counts the rows that met their like in every batch and found none.

    Args:
        dataset: Holds the columns ``anchor`` and ``positive``, or one of them.
        batch_size: Rows a batch.
        drop_last: Not used: batches are full, except where the rows do not make one full batch.
        valid_label_columns: Not used.
        generator: Not used; ``seed`` and epoch decide.
        seed: Of the order.
        langs: Language of each row; None takes all rows for one language.
        sampling: See :func:`rows_by_lang`.
        temperature: See :func:`rows_by_lang`.
        batch_languages: ``mixed`` batches hold any languages, ``single`` ones one each.
    """

    def __init__(  # noqa: PLR0913, the first six are those of DefaultBatchSampler
        self,
        dataset: Dataset,
        batch_size: int,
        drop_last: bool = True,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
        *,
        langs: Sequence[str] | None = None,
        sampling: Sampling = "proportional",
        temperature: float = 0.5,
        batch_languages: BatchLanguages = "mixed",
    ) -> None:
        super().__init__(dataset, batch_size, drop_last, valid_label_columns, generator, seed)
        columns = [dataset[name] for name in APART if name in dataset.column_names]
        # A text is told from its like by its column: an anchor may be some row's positive.
        self._texts = [frozenset(enumerate(texts)) for texts in zip(*columns, strict=True)]
        langs = list(langs) if langs is not None else [""] * len(dataset)
        self.rows_by_lang = rows_by_lang(langs, sampling, temperature)
        self._rows = {lang: np.flatnonzero(np.array(langs) == lang) for lang in self.rows_by_lang}
        self._groups = [[lang] for lang in self._rows] if batch_languages == "single" else [list(self._rows)]
        self.epoch = 0
        #: Rows of the last epoch that no batch could take.
        self.num_left = 0

    def __len__(self) -> int:
        """Batches an epoch, the same in each."""
        return sum(-(-sum(self.rows_by_lang[lang] for lang in group) // self.batch_size) for group in self._groups)

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the epoch that ``set_epoch`` named."""
        rng = np.random.default_rng([self.seed, self.epoch])
        self.num_left = 0
        batches = [batch for group in self._groups for batch in self._batches(group, rng)]
        for i in rng.permutation(len(batches)):
            yield batches[i]

    def _batches(self, group: list[str], rng: np.random.Generator) -> list[list[int]]:
        drawn = np.concatenate([self._drawn(lang, rng) for lang in group])
        waiting = deque(rng.permutation(drawn).tolist())
        batches = []
        for _ in range(-(-len(drawn) // self.batch_size)):
            batch, put_off = self._filled([], waiting)
            waiting.extendleft(reversed(put_off))
            batches.append(batch)
        self.num_left += len(waiting)
        every = np.concatenate([self._rows[lang] for lang in group])
        return [
            self._filled(b, deque(rng.permutation(every).tolist()))[0] if len(b) < self.batch_size else b
            for b in batches
        ]

    def _drawn(self, lang: str, rng: np.random.Generator) -> np.ndarray:
        rows, wanted = self._rows[lang], self.rows_by_lang[lang]
        passes = [rng.permutation(rows) for _ in range(-(-wanted // len(rows)))]
        return np.concatenate(passes)[:wanted]

    def _filled(self, batch: Iterable[int], waiting: deque[int]) -> tuple[list[int], list[int]]:
        """Take rows from the front of ``waiting`` until the batch is full; also those that could not join it."""
        chosen, put_off = list(batch), []
        texts = set().union(*(self._texts[row] for row in chosen))
        while waiting and len(chosen) < self.batch_size:
            row = waiting.popleft()
            if texts.isdisjoint(self._texts[row]):
                texts |= self._texts[row]
                chosen.append(row)
            else:
                put_off.append(row)
        return chosen, put_off


class EpochPlan(TrainerCallback):
    """Begins the training log with what an epoch holds: rows by language, batches, rows left out.

    Args:
        sampler: As the trainer's, of the same seed.
    """

    def __init__(self, sampler: LanguageBatchSampler) -> None:
        batches = sum(1 for _ in sampler)
        self.entry = {
            "step": 0,
            "rows_by_language": sampler.rows_by_lang,
            "batches": batches,
            "rows_left_out": sampler.num_left,
        }

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the entry, unless a resumed run has it already."""
        if not state.log_history:
            state.log_history.append(self.entry)
