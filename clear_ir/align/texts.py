"""The texts that maps are fitted on, and their vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.data.languages import is_english
from clear_ir.data.rows import LabelledText, Translation
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.space import unit

#: A language with fewer texts has no mean that can be trusted.
FEWEST_TEXTS = 20


@dataclass(frozen=True)
class FittingVectors:
    """Vectors of length 1 that maps are fitted on, in float64.

    Args:
        english: Of English texts, one for each pair, shape (num_pairs, dim).
        translations: Of their translations, shape (num_pairs, dim).
        langs: The language of each translation.
        passages: Of English passages, as passages, shape (num_passages, dim); none if only queries are known.
        means: The mean vector of each language that has enough texts, shape (dim,).
        counts: How many distinct texts each language has.
    """

    english: np.ndarray
    translations: np.ndarray
    langs: Sequence[str]
    passages: np.ndarray
    means: Mapping[str, np.ndarray]
    counts: Mapping[str, int]

    @cached_property
    def few(self) -> dict[str, int]:
        """The languages whose texts are too few for a mean, with their number."""
        return {lang: count for lang, count in self.counts.items() if lang not in self.means}


def encode_for_fitting(
    encoder: TextEncoder,
    pairs: Iterable[Translation],
    texts: Iterable[LabelledText] = (),
    passages: Iterable[str] = (),
) -> FittingVectors:
    """Encode the texts that maps are fitted on, as queries but for the passages.

    Args:
        encoder: Encodes them.
        pairs: English texts with their translations. A pair that stands there twice counts once.
        texts: More texts, each with its language, for the means of the languages.
        passages: English passages.

    Returns:
        Their vectors.

    Raises:
        InputError: If there is no language beside English.
    """
    pairs, texts = list(dict.fromkeys(pairs)), list(texts)
    by_lang: dict[str, dict[str, None]] = {}
    for lang, text in (
        *(("en", pair.english) for pair in pairs),
        *((pair.lang, pair.translation) for pair in pairs),
        *(("en" if is_english(text.lang) else text.lang, text.text) for text in texts),
    ):
        by_lang.setdefault(lang, {})[text] = None
    if not by_lang.keys() - {"en"}:
        raise InputError("There is no text in a language other than English to fit a map on; give some.", "rows")
    vectors = {lang: unit(encoder.encode(list(of_lang), "query")) for lang, of_lang in by_lang.items()}
    row_of = {lang: {text: row for row, text in enumerate(of_lang)} for lang, of_lang in by_lang.items()}
    dim = next(iter(vectors.values())).shape[1]
    english = [vectors["en"][row_of["en"][pair.english]] for pair in pairs]
    others = [vectors[pair.lang][row_of[pair.lang][pair.translation]] for pair in pairs]
    return FittingVectors(
        np.array(english).reshape(-1, dim),
        np.array(others).reshape(-1, dim),
        [pair.lang for pair in pairs],
        unit(encoder.encode(list(dict.fromkeys(passages)), "passage")).reshape(-1, dim),
        {lang: of_lang.mean(axis=0) for lang, of_lang in vectors.items() if len(of_lang) >= FEWEST_TEXTS},
        Counter({lang: len(of_lang) for lang, of_lang in by_lang.items()}),
    )
