"""Whether translations are nearer to their own texts than to others: by an encoder, or after translating them back.

There is no similarity that is right for every encoder and language. So the threshold comes from the translations
themselves: a translation is suspicious if it is no more similar to its text than the translations of other texts are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.encode.text_encoder import TextEncoder

#: A good translation is more similar to its text than this share of translations are to other texts.
MIN_RANK = 0.95
#: Comparisons with other texts from which the threshold is taken, at least, if the texts allow so many.
_MIN_OTHERS = 2000
#: With fewer texts there are too few others to compare with.
MIN_TEXTS = 20
#: If so many translations fail, rather the comparison is to blame.
_MOST_FAILED = 0.5

logger = logging.getLogger(__name__)

#: How similar translations are to texts, from two lists of places: shape (num_pairs,).
Similarity = Callable[[np.ndarray, np.ndarray], np.ndarray]


def places_of_strangers(num_texts: int, similarity: Similarity, min_rank: float = MIN_RANK) -> np.ndarray:
    """The translations that are no more similar to their text than those of other texts.

    Args:
        num_texts: The number of translations.
        similarity: Compares the i-th text with the j-th translation, for arrays of i and j of one shape.
        min_rank: Share of the comparisons with other texts that the own one has to exceed.

    Returns:
        The places of the suspicious ones.
    """
    own = np.arange(num_texts)
    scores = similarity(own, own)
    others = np.concatenate([similarity(own, other) for other in _others(num_texts)])
    return np.flatnonzero(scores <= np.quantile(others, min_rank))


def _others(num_texts: int) -> Iterator[np.ndarray]:
    """For each text the place of another one, several times. Neighbours, which are often alike, are not preferred."""
    order = np.random.default_rng(0).permutation(num_texts)
    for shift in range(1, min(num_texts, 1 + -(-_MIN_OTHERS // num_texts))):
        other = np.empty(num_texts, int)
        other[order] = np.roll(order, shift)
        yield other


def disagreeing(translations: Mapping[str, str], lang: str, encoder: TextEncoder, name: str) -> list[str]:
    """The texts whose translations an encoder does not find similar.

    Args:
        translations: The translations by text.
        lang: Their language.
        encoder: The encoder. It has to know the language.
        name: What to call it.

    Returns:
        The texts.

    Raises:
        InputError: If the encoder does not know the language, or most translations are bad.
    """
    texts = list(translations)
    sources, targets = (encoder.encode(side, "query") for side in (texts, list(translations.values())))

    def cosine(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        norms = np.linalg.norm(sources[i], axis=1) * np.linalg.norm(targets[j], axis=1)
        return np.asarray((sources[i] * targets[j]).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny))

    return _checked(
        texts, cosine, f"The encoder {name} finds {{share:.0%}} of the translations into {lang}", "agreement"
    )


def lost_on_the_way_back(translations: Mapping[str, str], lang: str, back: Sequence[str]) -> list[str]:
    """The texts that translating there and back does not give again, by chrF (Popović 2015).

    Args:
        translations: The translations by text.
        lang: Their language.
        back: The translations of the translations, into the language of the texts.

    Returns:
        The texts.

    Raises:
        InputError: If most are lost: one of the two translations is bad.
    """
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise InputError(
            "sacrebleu, which compares texts that were translated back, is not installed; install the extra check: pip "
            "install 'clear-ir[check]'.",
            "back_translate",
        ) from None
    chrf, texts = CHRF(), list(translations)

    def similarity(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        pairs = zip(i.tolist(), j.tolist(), strict=True)
        return np.array([chrf.sentence_score(back[b], [texts[a]]).score for a, b in pairs])

    return _checked(texts, similarity, f"Translated back from {lang}, {{share:.0%}} of the texts", "back_translate")


def _checked(texts: list[str], similarity: Similarity, beginning: str, setting: str) -> list[str]:
    if len(texts) < MIN_TEXTS:
        logger.warning("%d translations are too few for the check %s; it needs %d.", len(texts), setting, MIN_TEXTS)
        return []
    places = places_of_strangers(len(texts), similarity)
    if len(places) > _MOST_FAILED * len(texts):
        raise InputError(
            f"{beginning.format(share=len(places) / len(texts))} are no more similar to their own text than to others; "
            "look at some of them: if they are good, check them by another model, or not in this way.",
            setting,
        )
    return [texts[place] for place in places]
