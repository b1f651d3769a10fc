import itertools

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test

from clear_ir.evaluate.resampling import PairedTest, QuestionScores, interval
from clear_ir.evaluate.results import DirectionResult


def scores_of(*columns, questions=None):
    directions = {
        f"d{i}": DirectionResult({f"{i}-{j}": {"m": float(v)} for j, v in enumerate(values)}, 9)
        for i, values in enumerate(columns)
    }
    asked = {query: query.split("-")[1] for result in directions.values() for query in result.per_query}
    return QuestionScores(directions, asked if questions is None else questions, "m")


def first(means):
    return means[..., 0]


def test_few_questions_all_permutations():
    differences = np.array([0.3, 0.1, 0.4, -0.05, 0.2, 0.25])
    test = PairedTest(scores_of(np.zeros(6)), scores_of(differences))
    assert test.exact
    means = [np.mean(differences * flips) for flips in itertools.product([1, -1], repeat=6)]
    assert test.p_value(first) == pytest.approx(np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12))


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.06, 0.2])
def test_property_p_values_are_those_of_scipy(shift):
    rng = np.random.default_rng(int(100 * shift))
    before, after = rng.uniform(0, 1, (2, 150))
    after += shift
    ours = PairedTest(scores_of(before), scores_of(after)).p_value(first)
    theirs = permutation_test(
        (after - before,),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9_999,
        rng=np.random.default_rng(1),
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.02)


def test_intervals_are_those_of_scipy():
    values = np.random.default_rng(2).beta(0.5, 0.5, 200)
    theirs = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(3)).confidence_interval
    assert interval(first(scores_of(values).bootstrap())) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_nothing_differs():
    same = scores_of(np.linspace(0, 1, 40))
    assert PairedTest(same, same).p_value(first) == 1.0


def test_a_statistic_of_several_directions():
    rng = np.random.default_rng(4)
    before, after = rng.uniform(0, 1, (2, 2, 8))
    test = PairedTest(scores_of(*before), scores_of(*after))

    def worst(means):
        return means.min(axis=-1)

    observed = worst(after.mean(axis=1)) - worst(before.mean(axis=1))
    swapped = []
    for flips in itertools.product([False, True], repeat=8):
        old, new = np.where(flips, after, before), np.where(flips, before, after)
        swapped.append(worst(new.mean(axis=1)) - worst(old.mean(axis=1)))
    assert test.p_value(worst) == pytest.approx(np.mean(np.abs(swapped) >= abs(observed) - 1e-12))


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(5)
    drawn = [rng.uniform(0, 1, (2, 60)) for _ in range(200)]
    alarms = sum(PairedTest(scores_of(a), scores_of(b)).p_value(first) < 0.05 for a, b in drawn[:40])
    assert alarms <= 6


def test_directions_with_their_own_questions():
    # Unequal numbers of queries: the means are by direction, whatever the others have.
    scores = scores_of([0.0, 1.0], [0.5, 0.5, 0.8])
    assert scores.means == pytest.approx([0.5, 0.6])
    drawn = scores.bootstrap()
    assert drawn.shape == (9_999, 2)
    assert np.isfinite(drawn).all()
    apart = scores_of([0.0, 1.0], [0.5, 0.5, 0.8], questions={})
    assert len(apart.sums) == 5
    assert apart.means == pytest.approx([0.5, 0.6])
