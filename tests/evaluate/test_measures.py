import math

import numpy as np
import pytest
import pytrec_eval

from clear_ir.data.collection import Collection, Text
from clear_ir.encode.search import rank_passages, search_top_k
from clear_ir.evaluate.measures import MEASURES, ONE_TARGET_AP, find_measure, score_rankings, score_run
from clear_ir.evaluate.selection import EnglishFloor, mean_cross_lingual

ONE_LANGUAGE = [measure.name for measure in MEASURES.values() if measure.applies(mixed=False)]


def test_hand_worked_measures():
    run = {"q": {f"d{i:02}": float(20 - i) for i in range(12)}}
    scores = score_run(run, {"q": {"d01": 1, "d03": 1, "d11": 1}, "empty": {"d01": 1}})
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert scores["q"]["nDCG@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert scores["q"]["RR@10"] == pytest.approx(1 / 2)
    assert scores["q"]["R@10"] == pytest.approx(2 / 3)
    assert (scores["q"]["R@1"], scores["q"]["R@100"]) == (0.0, 1.0)
    assert scores["q"]["AP@100"] == pytest.approx((1 / 2 + 2 / 4 + 3 / 12) / 3)
    assert scores["empty"] == dict.fromkeys(ONE_LANGUAGE, 0.0)
    late = score_run(run, {"q": {"d10": 1}})["q"]
    assert (late["RR@10"], late["nDCG@10"]) == (0.0, 0.0)


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_property_equal_to_pytrec_eval_with_ties_and_graded_relevance(levels):
    rng = np.random.default_rng(levels)
    ids = [f"d{i}" for i in range(60)]
    run = {f"q{q}": dict(zip(ids, (rng.integers(0, levels, 60) / levels).tolist(), strict=True)) for q in range(20)}
    qrels = {f"q{q}": {str(d): int(r) for d, r in zip(rng.choice(ids, 8, False), rng.integers(0, 4, 8), strict=True)}
             for q in range(20)}  # fmt: skip
    theirs = pytrec_eval.RelevanceEvaluator(
        qrels, {"ndcg_cut.10", "recall.1,10,100", "recip_rank", "map_cut.100"}
    ).evaluate(run)
    ours = score_run(run, qrels)
    for query, values in theirs.items():
        assert ours[query]["nDCG@10"] == values["ndcg_cut_10"]
        assert ours[query]["AP@100"] == values["map_cut_100"]
        for k in (1, 10, 100):
            assert ours[query][f"R@{k}"] == values[f"recall_{k}"]
        assert ours[query]["RR@10"] == (values["recip_rank"] if values["recip_rank"] >= 0.1 else 0.0)


def in_two_languages(number):
    passages = {f"{i:02}@{lang}": Text(f"{i:02}@{lang}", "x", lang) for i in range(number) for lang in ("en", "sw")}
    queries = {"q": Text("q", "x", "sw")}
    return Collection("c", passages, queries, {})


def test_hand_worked_mixed_measures():
    collection = in_two_languages(8)
    ranking = ["05@en", "01@en", "07@en", "01@sw", "06@sw", *(f"{i:02}@sw" for i in (0, 2, 3, 4, 5)), "02@en"]
    run = {"q": {passage: 100.0 - i for i, passage in enumerate(ranking)}}
    qrels = {"q": {"01@en": 1, "01@sw": 2, "07@sw": 0, "02@en": 1}}
    ranks = {"q": {passage: ranking.index(passage) + 1 for passage in ("01@en", "01@sw", "02@en")}}
    [values] = score_rankings(run, qrels, lambda: ranks, collection).values()
    assert values == {
        "Complete@10": 0.0,
        "last_rank": 11.0,
        "own_language_first": 0.0,
        "english_irrelevant@10": pytest.approx(2 / 8),
        # Without 01@sw the English ones stand at 2 and 10; without those, 01@sw at 3.
        ONE_TARGET_AP.name_for("en"): pytest.approx((1 / 2 + 2 / 10) / 2),
        ONE_TARGET_AP.name_for("sw"): pytest.approx(1 / 3),
    }
    ranks = {"q": {"05@en": 1, "01@sw": 4}}
    [values] = score_rankings(run, {"q": {"05@en": 1, "01@sw": 1}}, lambda: ranks, collection).values()
    assert (values["Complete@10"], values["last_rank"], values["own_language_first"]) == (1.0, 4.0, 0.0)


@pytest.mark.parametrize("levels", [1, 2, 1000])
def test_property_mixed_measures_agree_with_pytrec_eval_under_ties(levels):
    rng = np.random.default_rng(levels)
    langs = ("en", "sw", "de")
    passages = {f"{i}@{lang}": Text(f"{i}@{lang}", "x", lang) for i in range(15) for lang in langs}
    queries = {f"q{i}": Text(f"q{i}", "x", langs[i % 3]) for i in range(30)}
    ids = list(passages)
    qrels = {}
    for query in queries:
        chosen = rng.choice(ids, 6, replace=False)
        qrels[query] = {str(p): int(r) for p, r in zip(chosen, [1, 2, 1, *rng.integers(0, 3, 3)], strict=True)}
    collection = Collection("c", passages, queries, qrels)
    vectors = [rng.integers(0, levels, (n, 1)).astype(np.float32) for n in (len(queries), len(ids))]
    full = search_top_k(*vectors, list(queries), ids, k=len(ids))
    relevant = {q: [p for p, rel in judged.items() if rel > 0] for q, judged in qrels.items()}
    ranks = rank_passages(*vectors, list(queries), ids, relevant)
    ours = score_rankings(search_top_k(*vectors, list(queries), ids, k=10), qrels, lambda: ranks, collection)
    recall = pytrec_eval.RelevanceEvaluator(qrels, {"recall.10"}).evaluate(full)
    for query, values in ours.items():
        assert values["Complete@10"] == (recall[query]["recall_10"] == 1.0)
        assert values["last_rank"] == max(list(full[query]).index(p) + 1 for p in relevant[query])
        for lang in langs:
            target = {p: 1 for p in relevant[query] if passages[p].lang == lang}
            if not target:
                assert ONE_TARGET_AP.name_for(lang) not in values
                continue
            kept = {p: s for p, s in full[query].items() if p in target or p not in relevant[query]}
            theirs = pytrec_eval.RelevanceEvaluator({query: target}, {"map"}).evaluate({query: kept})
            assert values[ONE_TARGET_AP.name_for(lang)] == pytest.approx(theirs[query]["map"])
    assert all(set(values) >= {"Complete@10", "last_rank"} for values in ours.values())


def test_nothing_found_in_an_empty_pool():
    run = search_top_k(np.ones((2, 3), np.float32), np.empty((0, 3), np.float32), ["a", "b"], [])
    assert run == {"a": {}, "b": {}}
    assert score_run(run, {"a": {"p": 1}, "b": {"p": 2}})["a"] == dict.fromkeys(ONE_LANGUAGE, 0.0)


def test_floor_and_mean_that_choose_among_encoders():
    scores = {"q-en.p-en": 0.9, "q-de.p-en": 0.5, "q-en.p-de": 0.3, "q-de.p-de": 0.7}
    assert mean_cross_lingual(scores) == pytest.approx(0.4)
    arrays = {name: np.array([score, 2 * score]) for name, score in scores.items()}
    assert mean_cross_lingual(arrays) == pytest.approx([0.4, 0.8])
    with pytest.raises(ValueError, match="no direction crosses"):
        mean_cross_lingual({"q-en.p-en": 0.9})
    floor = EnglishFloor(base=0.9, max_loss=1.0)
    assert [floor.allows(score) for score in (0.9, 0.89, 0.89 - 1e-12, 0.889)] == [True, True, True, False]


def test_a_measure_is_found_by_its_name_in_files():
    assert find_measure("last_rank").heading == "last rank, mean"
    assert find_measure("last_rank").format(12.34) == "12.3"
    assert find_measure("R@10").format(-0.0123, "+") == "-1.2"
    assert find_measure(ONE_TARGET_AP.name_for("de")).heading == "p-de"
    assert find_measure("one_target_AP") is find_measure("unheard") is None


def test_the_registry_is_complete():
    for name, measure in MEASURES.items():
        assert measure.name == name
        assert measure.definition
        assert "|" not in measure.label + measure.definition + measure.source, "it stands in a Markdown table"
        assert measure.meaning or measure.applies(mixed=False), "the note in the report explains it"
