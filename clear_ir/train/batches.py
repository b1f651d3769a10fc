"""Batches for CLEAR: no anchor and no positive twice in a batch, languages in chosen shares, left-out rows counted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler
from transformers import TrainerCallback

from clear_ir.train import processes
from clear_ir.train.passage_languages import are_translated

#: Columns in which no text may be twice in a batch. Negatives may: the loss masks a negative that is the positive of
#: the row.
DISTINCT_COLUMNS = ("anchor", "positive")

Sampling = Literal["proportional", "uniform", "temperature"]
BatchLanguages = Literal["mixed", "single"]


def rows_by_lang(langs: Sequence[str], sampling: Sampling, temperature: float) -> dict[str, int]:
    """How many rows of each language an epoch has. The sum is the number of rows, up to rounding.

    Args:
        langs: Language of each row.
        sampling: `proportional`: each row once. `uniform`: the same number of rows of each language.
            `temperature`: in proportion to n_l ** temperature, where n_l is the number of rows of the language
            (Conneau et al. 2020, arXiv 1911.02116, section 3.1).
        temperature: Exponent from 0, which is uniform, to 1, which is proportional.

    Returns:
        Number of rows by language, at least one each.
    """
    counts = Counter(langs)
    exponent = {"proportional": 1.0, "uniform": 0.0, "temperature": temperature}[sampling]
    weights = {lang: count**exponent for lang, count in counts.items()}
    total = sum(weights.values())
    return {lang: max(1, round(len(langs) * weight / total)) for lang, weight in weights.items()}


class LanguageBatchSampler(DefaultBatchSampler):
    """Full batches in which no anchor and no positive is twice.

    If several processes train together, a batch has `batch_size` rows for each of them, and no text is twice in all of
    it. It comes as one part for each process, in their order, as accelerate deals batches out. One process with
    `batch_size` times as large has the same batches.

    An epoch has each language's share of rows, see `rows_by_lang`. No row comes a second time before every row of
    its language came once. A batch that is not full is filled up with random rows, so that no row is dropped because it
    comes last. A row is left out of the epoch if every batch already has a row with its anchor or positive;
    `num_left_out` counts these rows.

    Args:
        dataset: Rows with the columns `anchor` and `positive`, or one of them.
        batch_size: Rows per batch, of each process.
        drop_last: Not used: all batches are full, unless the rows are too few for one full batch.
        valid_label_columns: Not used.
        generator: Not used: the order depends on `seed` and the epoch.
        seed: Seed of the order.
        langs: Language of each row. None: all rows have the same language.
        sampling: See `rows_by_lang`.
        temperature: See `rows_by_lang`.
        batch_languages: `mixed`: a batch has rows of any languages. `single`: each batch has one language.
        num_processes: How many processes train together. None: as many as have joined.
        versions: For each row, the number of the row in `dataset` that has its passages in the target language; None if
            there is none. These stand behind the rows, which are as many as `langs`. In every other epoch such a row
            comes in the place of its English one, see `clear_ir.train.passage_languages.are_translated`. None: all rows
            are English.
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
        num_processes: int | None = None,
        versions: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(dataset, batch_size, drop_last, valid_label_columns, generator, seed)
        self.num_processes = num_processes or processes.num_processes()
        self._rows_per_batch = batch_size * self.num_processes
        if self.num_processes > 1:
            self.batch_size = None  # type: ignore[assignment]  # accelerate drops batches of another size than this
        langs = list(langs) if langs is not None else [""] * len(dataset)
        self._versions = versions
        columns = [dataset[name][: len(langs)] for name in DISTINCT_COLUMNS if name in dataset.column_names]
        # Each text with the number of its column: an anchor may well be equal to a positive.
        self._texts = [frozenset(enumerate(texts)) for texts in zip(*columns, strict=True)]
        self.rows_by_lang = rows_by_lang(langs, sampling, temperature)
        self._rows = {lang: np.flatnonzero(np.array(langs) == lang) for lang in self.rows_by_lang}
        self._groups = [[lang] for lang in self._rows] if batch_languages == "single" else [list(self._rows)]
        self.epoch = 0
        #: Number of rows that were left out of the last epoch.
        self.num_left_out = 0
        #: Whether the training has made all its steps, so that there are no more batches.
        self.is_over = False

    def __len__(self) -> int:
        """Number of batches per epoch, times the number of processes; the same in every epoch."""
        return self.steps_per_epoch * self.num_processes

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches per epoch, which is the number of optimizer steps."""
        return sum(-(-sum(self.rows_by_lang[lang] for lang in group) // self._rows_per_batch) for group in self._groups)

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the epoch that `set_epoch` has set; of each, one part for every process."""
        if self.is_over:
            return
        rng = np.random.default_rng([self.seed, self.epoch])
        self.num_left_out = 0
        batches = [batch for group in self._groups for batch in self._batches(group, rng)]
        for i in rng.permutation(len(batches)):
            batch = self._in_drawn_language(batches[i])
            # Parts of one size: the losses of the processes exchange their embeddings.
            size, too_many = divmod(len(batch), self.num_processes)
            self.num_left_out += too_many
            yield from (batch[part * size : (part + 1) * size] for part in range(self.num_processes))

    def _in_drawn_language(self, batch: list[int]) -> list[int]:
        """The rows of a batch, each with its passages in the language that it has in this epoch."""
        if self._versions is None:
            return batch
        translated = are_translated(len(self._versions), self.seed, self.epoch)
        versions = [(row, self._versions[row]) for row in batch]
        return [row if version is None or not translated[row] else version for row, version in versions]

    def _batches(self, group: list[str], rng: np.random.Generator) -> list[list[int]]:
        """The batches of some languages."""
        drawn = np.concatenate([self._draw_rows(lang, rng) for lang in group])
        # One queue for all batches. A row that cannot join a batch goes back to the front, so it is the first that the
        # next batch tries. Rows that share a text so spread over the batches, one in each. Rows that are in the queue
        # at the end could join no batch.
        waiting = deque(rng.permutation(drawn).tolist())
        batches = []
        for _ in range(-(-len(drawn) // self._rows_per_batch)):
            batch, put_off = self._fill([], waiting)
            waiting.extendleft(reversed(put_off))
            batches.append(batch)
        self.num_left_out += len(waiting)
        all_rows = np.concatenate([self._rows[lang] for lang in group])
        return [
            self._fill(batch, deque(rng.permutation(all_rows).tolist()))[0]
            if len(batch) < self._rows_per_batch
            else batch
            for batch in batches
        ]

    def _draw_rows(self, lang: str, rng: np.random.Generator) -> np.ndarray:
        """A language's rows for one epoch: as many random orders of all its rows as needed, the last one cut."""
        rows, count = self._rows[lang], self.rows_by_lang[lang]
        orders = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
        return np.concatenate(orders)[:count]

    def _fill(self, batch: Iterable[int], waiting: deque[int]) -> tuple[list[int], list[int]]:
        """Move rows from the front of `waiting` to the batch until it is full.

        Returns:
            The batch, and the rows that were tried but have a text that the batch already has.
        """
        chosen, put_off = list(batch), []
        texts = set().union(*(self._texts[row] for row in chosen))
        while waiting and len(chosen) < self._rows_per_batch:
            row = waiting.popleft()
            if texts.isdisjoint(self._texts[row]):
                texts |= self._texts[row]
                chosen.append(row)
            else:
                put_off.append(row)
        return chosen, put_off


class EpochPlan(TrainerCallback):
    """Keeps the sampler at the epoch of the step, and makes the first entry of the training log.

    The entry has an epoch's rows by language, its batches, and the rows left out.

    Args:
        sampler: A sampler with the same data, settings and seed as the trainer's.
    """

    def __init__(self, sampler: LanguageBatchSampler) -> None:
        self.steps_per_epoch = sampler.steps_per_epoch
        parts = sum(1 for _ in sampler)
        self.entry = {
            "step": 0,
            "rows_by_language": sampler.rows_by_lang,
            "batches": parts // sampler.num_processes,
            "rows_left_out": sampler.num_left_out,
        }

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the entry, unless a resumed run has it already."""
        if not state.log_history:
            state.log_history.append(self.entry)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any) -> None:
        """Set the sampler's epoch. With several processes, or after a resume, nobody else reaches it."""
        sampler = train_dataloader.batch_sampler
        while not isinstance(sampler, LanguageBatchSampler):  # accelerate wraps it to deal out and to skip batches
            sampler = sampler.batch_sampler
        sampler.set_epoch(state.global_step // self.steps_per_epoch)
        # The trainer would make one step too many if it resumes after the last one.
        sampler.is_over = state.global_step >= state.max_steps
