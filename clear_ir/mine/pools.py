"""The candidates: all passages that can be negatives, and the target-language queries of each language."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clear_ir.data.collection import Text
from clear_ir.data.languages import is_english
from clear_ir.data.rows import ParallelRow
from clear_ir.data.texts import text_key


@dataclass
class CorpusCounts:
    """What a corpus gave.

    Args:
        passages: Its English passages, each distinct text once.
        known: How many of these are known positives: the rows have them already.
        repeated: Passages left out because an earlier one has the same text.
        empty: Passages left out because they have no text.
        other_langs: Passages left out because they are not in English, by language.
    """

    passages: int
    known: int
    repeated: int
    empty: int
    other_langs: dict[str, int]

    def sentence(self, name: str) -> str:
        """What was taken and what was left out, for people.

        Args:
            name: Of the corpus.
        """
        left_out = {
            "not in English": sum(self.other_langs.values()),
            "with the text of another": self.repeated,
            "empty": self.empty,
        }
        said = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
        taken = f"{self.passages:,} passages from {name}, {self.known:,} of them known positives"
        return f"{taken}. Left out: {said}." if said else f"{taken}."


@dataclass(frozen=True)
class RowKeys:
    """What is equal for the same texts of a row, see `clear_ir.data.texts.text_key`. It is computed once."""

    query: str
    passage: str
    cross_query: str

    @classmethod
    def of(cls, row: ParallelRow) -> RowKeys:
        """The keys of a row."""
        return cls(text_key(row.query), text_key(row.passage), text_key(row.cross_query))


class PassagePool:
    """The distinct passages: first those of the rows, then those of a corpus.

    A passage of the corpus that is a known positive takes no place of its own. The rows have it already, and there it
    is known whose positive it is.

    Args:
        rows: The parallel rows.
        keys: Their keys.
        corpus: More passages. Those that are not in English are left out.

    Attributes:
        texts: The passages.
        positives: The column of each row's passage, shape (num_rows,).
        counts: What the corpus gave.
    """

    def __init__(self, rows: Sequence[ParallelRow], keys: Sequence[RowKeys], corpus: Iterable[Text] = ()) -> None:
        first_text: dict[str, str] = {}
        for row, key in zip(rows, keys, strict=True):
            first_text.setdefault(key.passage, row.passage)
        self.texts = list(first_text.values())
        column_of = {key: column for column, key in enumerate(first_text)}
        self.positives = np.array([column_of[key.passage] for key in keys])
        self.counts = self._add(corpus, column_of, {row.passage_id for row in rows})

    def _add(self, corpus: Iterable[Text], keys: dict[str, int], ids: set[str]) -> CorpusCounts:
        counts: Counter[str] = Counter()
        other_langs: Counter[str] = Counter()
        # Digests and not texts: of a million passages the texts are in memory once.
        place_of: dict[bytes, int] = {}
        added: list[str] = []
        known: set[int] = set()
        for passage in corpus:
            if not passage.full_text:
                counts["empty"] += 1
                continue
            if not is_english(passage.lang):
                other_langs[passage.lang] += 1
                continue
            key = text_key(passage.full_text)
            digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
            counts["repeated"] += digest in place_of
            place = place_of.setdefault(digest, len(place_of))
            # Rows often have a passage without its title.
            if passage.id in ids or key in keys or (passage.title and text_key(passage.text) in keys):
                known.add(place)
            if place == len(added):
                added.append(passage.full_text)
        # A text may turn out to be known at its second place, which has a row's id.
        self.texts += [text for place, text in enumerate(added) if place not in known]
        return CorpusCounts(len(added), len(known), counts["repeated"], counts["empty"], dict(other_langs))


class QueryPool:
    """The distinct target-language queries of one language.

    Args:
        rows: The parallel rows.
        keys: Their keys.
        lang: The language.

    Attributes:
        texts: The queries.
        rows: The first row that has each query, shape (num_queries,).
    """

    def __init__(self, rows: Sequence[ParallelRow], keys: Sequence[RowKeys], lang: str) -> None:
        first = {keys[i].cross_query: i for i, row in reversed(list(enumerate(rows))) if row.lang == lang}
        self.texts = [rows[i].cross_query for i in first.values()]
        self.rows = np.array(list(first.values()))
        self._column_of = {key: column for column, key in enumerate(first)}

    def columns_of(self, keys: set[str]) -> list[int]:
        """The columns of the queries with these keys. Queries that are not in the pool are ignored."""
        return [self._column_of[key] for key in sorted(keys) if key in self._column_of]
