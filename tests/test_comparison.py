import itertools

import numpy as np
import pytest

from clear_ir.comparison import bootstrap_interval, compare_results, holm, paired_p_value
from clear_ir.files import InputError
from clear_ir.measures import MEASURES
from clear_ir.results import DirectionResult, Results


def results(model, scores, data_hash="d"):
    per_query = {f"q{i}": dict.fromkeys(MEASURES, float(score)) for i, score in enumerate(scores)}
    return Results(model, "w", "data", data_hash, "test", {"q-de.p-en": DirectionResult(per_query, 9)})


def test_p_value_equals_all_sign_flips():
    differences = np.array([0.3, 0.1, 0.4, -0.05, 0.2, 0.25])
    means = [np.mean(differences * flips) for flips in itertools.product([1, -1], repeat=6)]
    expected = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert paired_p_value(differences) == pytest.approx(expected)


def test_p_values_tell_a_difference_from_noise():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3, 300)
    assert paired_p_value(noise - noise.mean()) > 0.9
    assert paired_p_value(noise + 0.1) < 0.001
    assert paired_p_value(np.zeros(5)) == 1.0


def test_interval_is_near_the_normal_one():
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.004)
    assert bootstrap_interval([0.2, 0.2]) == (0.2, 0.2)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_compare_pairs_by_query_and_corrects_over_all():
    base = results("base", [0.1] * 30)
    better = results("better", [0.3] * 15 + [0.2] * 15)
    same = results("same", [0.1] * 30)
    first, second = compare_results(base, [better, same])
    assert (first.base, first.value, first.change) == pytest.approx((0.1, 0.25, 0.15))
    assert first.low < 0.15 < first.high
    assert first.significant
    assert first.p_holm == pytest.approx(2 * first.p)
    assert (second.p, second.p_holm, second.significant) == (1.0, 1.0, False)


def test_other_data_is_refused():
    with pytest.raises(InputError, match="other data"):
        compare_results(results("a", [1, 0]), [results("b", [1, 0], data_hash="e")])
    with pytest.raises(InputError, match="other queries"):
        compare_results(results("a", [1, 0]), [results("b", [1, 0, 0])])
