"""Passages in both languages: the rows with their passages in the target language, and when each version is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clear_ir.data.files import InputError
from clear_ir.data.splits import connected_groups
from clear_ir.data.training_rows import holds_passages, language_of
from clear_ir.encode.model_loading import prompt_of
from clear_ir.train.base_embeddings import keys_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class TranslatedRows:
    """Rows with their passages in the target language: the positive, and those negatives whose translation is known.

    Args:
        records: The rows.
        versions: For each training row, the number of its translated version in `records`; None if it has none.
        english_of: By text of a translated positive, its English text.
        pairs: The distinct pairs of an English passage and its translation.
        num_negatives: Negatives of the translated rows.
        num_english: How many of these stay in English, because no row has their translation.
    """

    records: list[dict[str, str]]
    versions: list[int | None]
    english_of: dict[str, str]
    pairs: list[tuple[str, str]]
    num_negatives: int
    num_english: int

    def shared_keys(self, model: SentenceTransformer) -> tuple[Tensor, Tensor]:
        """Keys of passages and the keys that they share with their translations, as `clear_ir.CLEARLoss` takes them.

        Args:
            model: The encoder of passages.
        """
        texts = list(dict.fromkeys(text for pair in self.pairs for text in pair))
        keys = keys_of(model, texts, prompt_of(model, "passage")).tolist()
        shared = self.shared_numbers(dict(zip(texts, keys, strict=True)))
        return torch.tensor(list(shared)), torch.tensor(list(shared.values()))

    def shared_numbers(self, number_of: Mapping[str, int]) -> dict[int, int]:
        """For the number of each passage that has translations, and of these, one number that all of them share.

        English passages with one translation share it too: each would be a wrong negative of the other's question.

        Args:
            number_of: Numbers by text, such as keys of tokens. Pairs without both numbers are left out.
        """
        pairs = [(number_of[a], number_of[b]) for a, b in self.pairs if a in number_of and b in number_of]
        shared: dict[int, int] = {}
        first: dict[int, int] = {}
        for pair, group in zip(pairs, connected_groups(pairs), strict=True):
            for number in pair:
                shared.setdefault(number, first.setdefault(group, pair[0]))
        return shared

    def sentence(self) -> str:
        """What there is, for people."""
        rows = f"Passages in both languages: {len(self.records)} of {len(self.versions)} rows have a cross_passage."
        stay = f" {self.num_english} of their {self.num_negatives} negatives have no translation and stay in English."
        return rows + (stay if self.num_english else "")


def translate_rows(
    rows: Sequence[Mapping[str, str]], known: Sequence[Mapping[str, str]], columns: Sequence[str]
) -> TranslatedRows:
    """Make the version of each training row that has its passages in the target language.

    Args:
        rows: The rows to train on.
        known: All rows: what they say of a passage in a language is its translation wherever it occurs.
        columns: The columns that are trained.

    Returns:
        The rows that have a `cross_passage`.

    Raises:
        InputError: If none has.
    """
    translations: dict[tuple[str, str], str] = {}
    for row in known:
        if row.get("cross_passage"):
            translations.setdefault((language_of(row), row["positive"]), row["cross_passage"])
    negatives = [column for column in columns if holds_passages(column) and column != "positive"]
    records: list[dict[str, str]] = []
    versions: list[int | None] = []
    english_of: dict[str, str] = {}
    num_english = 0
    for row in rows:
        if not row.get("cross_passage"):
            versions.append(None)
            continue
        lang = language_of(row)
        translated = {column: translations.get((lang, row[column])) for column in negatives}
        num_english += sum(text is None for text in translated.values())
        texts = {column: text for column, text in translated.items() if text is not None}
        versions.append(len(records))
        records.append({**row, **texts, "positive": row["cross_passage"]})
        english_of.setdefault(row["cross_passage"], row["positive"])
    if not records:
        raise InputError(
            "No row has a cross_passage, the passage in the target language; translate the passages with clear-ir "
            "translate, or train on English ones alone.",
            "passage_languages",
        )
    pairs = {(row["positive"], row["cross_passage"]): None for row in known if row.get("cross_passage")}
    return TranslatedRows(records, versions, english_of, list(pairs), len(records) * len(negatives), num_english)


def are_translated(count: int, seed: int, epoch: int) -> np.ndarray:
    """Whether each row has its passages in the target language in an epoch.

    Of two epochs, which begin with an even one, it has them in one; the seed decides in which.

    Args:
        count: Number of rows.
        seed: Seed of the training.
        epoch: Number of the epoch, from 0.

    Returns:
        Shape (count,).
    """
    in_first = np.random.default_rng([seed, epoch // 2, 1]).random(count) < 0.5
    return in_first ^ bool(epoch % 2)
