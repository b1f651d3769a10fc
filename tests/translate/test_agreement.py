"""Translations that are no nearer to their own texts than to others are found, without a fixed threshold."""

import sys

import numpy as np
import pytest

from clear_ir.data.files import InputError
from clear_ir.prepare.atlas import load_atlas
from clear_ir.translate.agreement import disagreeing, lost_on_the_way_back, places_of_strangers

QUESTIONS = list(dict.fromkeys(row.query for row in load_atlas(["es"]).rows))[:120]


class Vectors:
    """Stands for an encoder: each text has its vector."""

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts, side):
        assert side == "query"
        return np.array([self.vectors[text] for text in texts], np.float32)


def encoded(num_texts, noise, seed=0):
    """Texts, their translations, and vectors: those of a translation are those of the text with noise."""
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(num_texts, 16))
    targets = 3 * (sources + noise * rng.normal(size=sources.shape))  # of another length, which must not count
    texts = [f"text {i}" for i in range(num_texts)]
    translations = {text: f"translation {i}" for i, text in enumerate(texts)}
    vectors = dict(zip(texts, sources, strict=True)) | dict(zip(translations.values(), targets, strict=True))
    return translations, vectors


def test_wrong_translations_are_found_and_no_others():
    translations, vectors = encoded(200, 0.3)
    assert disagreeing(translations, "de", Vectors(vectors), "m") == []
    wrong = {"text 3": translations["text 90"], "text 150": translations["text 4"]}
    assert disagreeing(translations | wrong, "de", Vectors(vectors), "m") == list(wrong)


def test_the_threshold_is_a_quantile_of_the_others():
    """Against a plain float64 computation over all pairs of different texts."""
    translations, vectors = encoded(60, 1.2)
    texts = list(translations)
    sources, targets = (np.array([vectors[text] for text in side]) for side in (texts, translations.values()))
    cosines = (sources / np.linalg.norm(sources, axis=1)[:, None]) @ (
        targets / np.linalg.norm(targets, axis=1)[:, None]
    ).T
    threshold = np.quantile(cosines[~np.eye(60, dtype=bool)], 0.95)
    expected = [text for text, cosine in zip(texts, np.diag(cosines), strict=True) if cosine <= threshold]
    assert 2 < len(expected) < 30
    # 34 of the 59 others are compared, so that the threshold may be a little different.
    found = disagreeing(translations, "de", Vectors(vectors), "m")
    assert len(set(found) ^ set(expected)) <= 2


@pytest.mark.parametrize("num_texts", [20, 21, 500, 3000])
def test_each_text_is_compared_with_others_only(num_texts):
    seen = []

    def similarity(i, j):
        seen.append((i, j))
        return np.zeros(len(i))

    places_of_strangers(num_texts, similarity)
    (own, same), *others = seen
    assert (own == same).all()
    assert others
    pairs = {(i, j) for places, strangers in others for i, j in zip(places.tolist(), strangers.tolist(), strict=True)}
    assert all(i != j for i, j in pairs)
    assert len(pairs) == len(others) * num_texts, "no pair is compared twice"
    assert len(pairs) >= min(2000, num_texts * (num_texts - 1))
    if num_texts > 100:
        neighbours = sum(abs(i - j) == 1 for i, j in pairs)
        assert neighbours < 0.05 * len(pairs)


def test_an_encoder_that_does_not_know_the_language_is_an_error():
    translations, vectors = encoded(100, 1000.0)
    with pytest.raises(
        InputError, match=r"The encoder m finds 9\d% of the translations into de are no more similar"
    ) as error:
        disagreeing(translations, "de", Vectors(vectors), "m")
    assert error.value.settings == ("agreement",)


def test_few_translations_are_not_judged_and_that_is_said(caplog):
    translations, vectors = encoded(19, 1000.0)
    assert disagreeing(translations, "de", Vectors(vectors), "m") == []
    assert "19 translations are too few for the check agreement" in caplog.text


def test_the_way_back():
    pytest.importorskip("sacrebleu")
    translations = {question: f"de {i}" for i, question in enumerate(QUESTIONS)}
    # Other words for the same, as a translator gives them.
    back = [question.replace("What", "Which thing").replace("the ", "a ") for question in QUESTIONS]
    assert lost_on_the_way_back(translations, "de", back) == []
    back[7], back[50], back[90] = "I do not know.", "", back[3]
    assert lost_on_the_way_back(translations, "de", back) == [QUESTIONS[7], QUESTIONS[50], QUESTIONS[90]]


def test_a_way_back_that_loses_everything_is_an_error():
    pytest.importorskip("sacrebleu")
    translations = {question: f"de {i}" for i, question in enumerate(QUESTIONS)}
    with pytest.raises(InputError, match="Translated back from de"):
        lost_on_the_way_back(translations, "de", [*QUESTIONS[1:], QUESTIONS[0]])


def test_without_sacrebleu_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.chrf", None)
    with pytest.raises(InputError, match=r"clear-ir\[check\]"):
        lost_on_the_way_back({"a": "b"}, "de", ["a"])
