import numpy as np
import pytest

from clear_ir.data.collection import Text
from clear_ir.evaluate.space import alignment, describe_space, map_texts, uniformity


def test_alignment_and_uniformity_by_hand():
    x, y = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert alignment(np.stack([x, x]), np.stack([3 * x, y])) == pytest.approx((0 + 2) / 2)
    assert uniformity(np.stack([x, y, -x])) == pytest.approx(np.log((2 * np.exp(-4) + np.exp(-8)) / 3))
    assert uniformity(np.stack([x, x, x])) == pytest.approx(0)


def parallel(langs, number):
    return [Text(f"{i}@{lang}", "x", lang, parallel_id=str(i)) for lang in langs for i in range(number)]


def test_languages_are_paired_by_parallel_id():
    texts = parallel(("en", "sw"), 5)
    vectors = np.random.default_rng(0).normal(size=(10, 4))
    # Swahili in another order, and one text without a translation.
    order = [0, 1, 2, 3, 4, 7, 5, 9, 6, 8]
    found = describe_space([texts[i] for i in order] + [Text("z@sw", "x", "sw", parallel_id="z")],
                           np.concatenate([vectors[order], np.ones((1, 4))]))  # fmt: skip
    assert list(found) == ["en", "sw"]
    assert found["sw"]["pairs"] == 5
    assert found["sw"]["alignment"] == pytest.approx(alignment(vectors[:5], vectors[5:]))
    assert "alignment" not in found["en"]
    assert found["en"]["uniformity"] == pytest.approx(uniformity(vectors[:5]))


def test_the_map_is_the_plane_of_largest_variance():
    rng = np.random.default_rng(0)
    texts = parallel(("en", "sw"), 40)
    vectors = np.concatenate([rng.normal(0, 0.01, (80, 2)), rng.normal(0, [3, 1], (80, 2))], axis=1)
    plane = map_texts(texts, vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(np.cov(unit.T))
    assert plane["explained"] == pytest.approx(values[::-1][:2] / values.sum(), abs=1e-3)
    assert len(plane["points"]) == 80
    xs = np.array([point["x"] for point in plane["points"]])
    assert xs.var() == pytest.approx(values[-1] * 79 / 80, rel=1e-3)


def test_the_map_holds_the_same_texts_in_every_language():
    texts = [*parallel(("en", "sw", "de"), 200), Text("x@fr", "x", "fr", parallel_id="elsewhere")]
    plane = map_texts(texts, np.random.default_rng(1).normal(size=(601, 6)))
    by_lang = {}
    for point in plane["points"]:
        by_lang.setdefault(point["lang"], []).append(point["text"])
    assert set(by_lang) == {"en", "sw", "de"}
    assert len(by_lang["en"]) == 60
    assert by_lang["en"] == by_lang["sw"] == by_lang["de"]
    assert map_texts(parallel(("en",), 5), np.ones((5, 3))) == {}
