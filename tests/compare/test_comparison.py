import numpy as np
import pytest

from clear_ir.compare.comparison import (
    check_comparable,
    compare_models,
    compare_results,
    compare_summaries,
    gap_closed,
    holm,
    summary_intervals,
)
from clear_ir.data.files import InputError
from clear_ir.evaluate.measures import MEASURES
from clear_ir.evaluate.results import DirectionResult, Results


def results(model, scores, data_hash="d"):
    per_query = {f"q{i}": dict.fromkeys(MEASURES, float(score)) for i, score in enumerate(scores)}
    return Results(model, "w", "data", data_hash, "test", {"q-de.p-en": DirectionResult(per_query, 9)})


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


def in_directions(model, scores, questions=None):
    """Results by direction from lists of scores; query x@L asks question x."""
    directions = {
        name: DirectionResult({f"{i}@{name[2:4]}": dict.fromkeys(MEASURES, float(v)) for i, v in enumerate(values)}, 9)
        for name, values in scores.items()
    }
    asked = {query: query.split("@")[0] for result in directions.values() for query in result.per_query}
    return Results(model, "w", "data", "d", "test", directions, questions=asked)


def test_few_questions_are_said_and_translations_counted_once():
    scores = {"q-en.p-en": [0.5] * 99, "q-de.p-en": [0.5] * 99}
    assert in_directions("few", scores).few_questions == [
        "Few questions: 99; only very large differences can show. 100 and more are better."
    ]
    assert in_directions("many", scores | {"q-de.p-en": [0.5] * 100}).few_questions == []


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    names = ("q-en.p-en", "q-de.p-en", "q-en.p-de", "q-de.p-de")
    before = {name: rng.uniform(0.2, 0.5, 60) for name in names}
    before["q-de.p-en"] -= 0.1
    gain = {"q-en.p-en": 0.0, "q-de.p-en": 0.3, "q-en.p-de": 0.1, "q-de.p-de": 0.02}
    after = {name: before[name] + gain[name] + rng.normal(0, 0.01, 60) for name in names}
    return in_directions("base", before), in_directions("new", after)


def test_summaries_by_hand(pair):
    base, new = pair
    found = {d.direction: d for d in compare_summaries(base, [new])}
    assert list(found) == ["mean monolingual", "mean cross-lingual", "worst direction", "English"]
    mean = {name: result.mean("nDCG@10") for name, result in new.directions.items()}
    assert found["mean cross-lingual"].value == pytest.approx((mean["q-de.p-en"] + mean["q-en.p-de"]) / 2)
    assert found["mean monolingual"].value == pytest.approx((mean["q-en.p-en"] + mean["q-de.p-de"]) / 2)
    assert found["worst direction"].base == pytest.approx(base.directions["q-de.p-en"].mean("nDCG@10"))
    assert found["worst direction"].value == pytest.approx(min(mean.values()))
    assert found["English"].value == pytest.approx(mean["q-en.p-en"])
    assert [found[name].significant for name in found] == [True, True, True, False]
    assert found["mean cross-lingual"].change == pytest.approx(0.2, abs=0.01)
    for d in found.values():
        assert d.low < d.change < d.high
        assert d.num_queries == 60


def test_the_interval_of_the_worst_direction_is_its_own(pair):
    base, _ = pair
    found = summary_intervals(base)
    scores = base.directions["q-de.p-en"].values("nDCG@10")
    half = 1.96 * scores.std() / np.sqrt(60)
    assert found["worst direction"] == pytest.approx(
        (scores.mean(), scores.mean() - half, scores.mean() + half), abs=0.005
    )


def test_translations_of_a_question_are_resampled_together():
    # Two directions with equal scores carry no more evidence than one.
    scores = np.random.default_rng(0).uniform(0, 1, 80)
    one = summary_intervals(in_directions("m", {"q-de.p-en": scores}))["mean cross-lingual"]
    two = summary_intervals(in_directions("m", {"q-de.p-en": scores, "q-sw.p-en": scores}))["mean cross-lingual"]
    assert two == pytest.approx(one)


def test_gap_closed(pair):
    base, new = pair
    before, after = (r.directions["q-de.p-en"].mean("nDCG@10") for r in pair)
    ceiling = base.directions["q-en.p-en"].mean("nDCG@10")
    assert gap_closed(base, new, "q-de.p-en") == pytest.approx((after - before) / (ceiling - before))
    assert gap_closed(base, new, "q-en.p-en") is None
    # Only the questions asked count for the ceiling; where one is not translated there is none.
    del base.directions["q-de.p-en"].per_query["0@de"]
    assert gap_closed(base, new, "q-de.p-en") is not None
    del base.directions["q-en.p-en"].per_query["1@en"]
    assert gap_closed(base, new, "q-de.p-en") is None


def test_mixed_pools_are_compared_apart(pair):
    base, new = pair
    assert compare_results(base, [new], mixed=True) == []
    for results, value in ((base, 0.1), (new, 0.4)):
        per_query = {f"{i}@de": dict.fromkeys([*MEASURES, "Complete@10"], value) for i in range(60)}
        results.mixed = {"q-de.p-en+de": DirectionResult(per_query, 18)}
    [d] = compare_results(base, [new], "Complete@10", mixed=True)
    assert (d.direction, d.significant) == ("q-de.p-en+de", True)
    assert d.change == pytest.approx(0.3)
    assert len(compare_results(base, [new])) == 4


def test_the_mixed_table_is_corrected_over_both_of_its_measures(pair):
    base, new = pair
    for results, values in ((base, (0.2, 0.0)), (new, (0.4, 1.0))):
        per_query = {
            f"{i}@de": {"nDCG@10": values[0] + i / 100, "Complete@10": values[1] if i < 9 else 0.0} for i in range(12)
        }
        results.mixed = {"q-de.p-en+de": DirectionResult(per_query, 18)}
    mixed = compare_models(base, [new]).mixed
    assert [d.measure for d in mixed] == ["nDCG@10", "Complete@10"]
    assert [d.p_holm for d in mixed] == pytest.approx(holm([d.p for d in mixed]))
    assert min(d.p_holm for d in mixed) == pytest.approx(2 * min(d.p for d in mixed)), "the table has two rows"


def test_one_folder_twice_and_other_data_are_named_before_equal_names(tmp_path):
    base, other = results("a", [1.0] * 3), results("a", [1.0] * 3, data_hash="e")
    with pytest.raises(InputError, match="other data"):
        check_comparable([base, other])
    with pytest.raises(InputError, match="Two results are named 'a'"):
        check_comparable([base, results("a", [0.5] * 3)])
    base.folder = tmp_path / "a"
    with pytest.raises(InputError, match=r"The results in .*a are given twice"):
        check_comparable([base, base])
