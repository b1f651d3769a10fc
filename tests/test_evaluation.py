import json
import math

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from conftest import make_encoder

from clear_ir.collection import Collection, Text
from clear_ir.evaluation import evaluate_directions, evaluate_model
from clear_ir.files import InputError
from clear_ir.measures import MEASURES, score_run
from clear_ir.results import read_results, write_results

SENTENCES = ["river desert moon", "bread bank court", "drum tree bird", "metal light sound", "long wide old river"]


@pytest.fixture
def collection():
    passages = {}
    queries = {}
    qrels = {}
    for i, sentence in enumerate(SENTENCES):
        for lang, text in (("en", sentence), ("sw", f"mto {sentence.split()[0]} jangwa {i}")):
            passages[f"p{i}@{lang}"] = Text(f"p{i}@{lang}", text, lang, parallel_id=f"p{i}")
            queries[f"q{i}@{lang}"] = Text(f"q{i}@{lang}", f"what {text}", lang, parallel_id=f"q{i}")
            qrels[f"q{i}@{lang}"] = {f"p{i}@en": 2, f"p{i}@sw": 1}
    return Collection("tiny", passages, queries, qrels)


def test_hand_worked_measures():
    run = {"q": {f"d{i:02}": float(20 - i) for i in range(12)}}
    scores = score_run(run, {"q": {"d01": 1, "d03": 1, "d11": 1}, "empty": {"d01": 1}})
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert scores["q"]["nDCG@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert scores["q"]["RR@10"] == pytest.approx(1 / 2)
    assert scores["q"]["R@10"] == pytest.approx(2 / 3)
    assert (scores["q"]["R@1"], scores["q"]["R@100"]) == (0.0, 1.0)
    assert scores["empty"] == dict.fromkeys(MEASURES, 0.0)
    late = score_run(run, {"q": {"d10": 1}})["q"]
    assert (late["RR@10"], late["nDCG@10"]) == (0.0, 0.0)


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_property_equal_to_pytrec_eval_with_ties_and_graded_relevance(levels):
    rng = np.random.default_rng(levels)
    ids = [f"d{i}" for i in range(60)]
    run = {f"q{q}": dict(zip(ids, (rng.integers(0, levels, 60) / levels).tolist(), strict=True)) for q in range(20)}
    qrels = {f"q{q}": {str(d): int(r) for d, r in zip(rng.choice(ids, 8, False), rng.integers(0, 4, 8), strict=True)}
             for q in range(20)}  # fmt: skip
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.1,10,100", "recip_rank"}).evaluate(run)
    ours = score_run(run, qrels)
    for query, values in theirs.items():
        assert ours[query]["nDCG@10"] == values["ndcg_cut_10"]
        for k in (1, 10, 100):
            assert ours[query][f"R@{k}"] == values[f"recall_{k}"]
        assert ours[query]["RR@10"] == (values["recip_rank"] if values["recip_rank"] >= 0.1 else 0.0)


def test_each_text_is_encoded_once(collection, monkeypatch):
    encoder = make_encoder(double=False)
    seen = []
    for name in ("encode_query", "encode_document"):
        original = getattr(encoder, name)
        monkeypatch.setattr(
            encoder, name, lambda texts, _original=original, **k: seen.extend(texts) or _original(texts, **k)
        )
    found = evaluate_directions(encoder, collection, show_progress=False)
    assert list(found) == ["q-en.p-en", "q-sw.p-en", "q-en.p-sw", "q-sw.p-sw"]
    assert sorted(seen) == sorted({t.full_text for t in [*collection.queries.values(), *collection.passages.values()]})


def test_directions_use_their_own_queries_and_pool(collection):
    found = evaluate_directions(make_encoder(double=False), collection, show_progress=False)
    result = found["q-sw.p-en"]
    assert set(result.per_query) == {f"q{i}@sw" for i in range(5)}
    assert {passage for run in result.run.values() for passage in run} == {f"p{i}@en" for i in range(5)}
    assert result.num_passages == 5


def test_written_run_and_qrels_rescore_to_the_same(tmp_path, collection):
    results = evaluate_model(make_encoder(double=False), collection, "tiny", show_progress=False)
    write_results(tmp_path / "r", results)
    document = json.loads((tmp_path / "r" / "results.json").read_text())
    assert document["model_revision"] == results.weights_hash
    per_query = [json.loads(line) for line in (tmp_path / "r" / "per_query.jsonl").read_text().splitlines()]
    for score in document["scores"]["test"]:
        name = score["direction"]
        run = list(ir_measures.read_trec_run(str(tmp_path / "r" / "runs" / f"{name}.run")))
        qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "r" / "qrels" / f"{name}.qrels")))
        again = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
        kept = {line["query_id"]: line["nDCG@10"] for line in per_query if line["direction"] == name}
        assert again == kept
        assert score["nDCG@10"] == pytest.approx(np.mean(list(again.values())))
    assert len({score["nDCG@10"] for score in document["scores"]["test"]}) > 1


def test_results_survive_writing_and_reading(tmp_path, collection):
    results = evaluate_model(make_encoder(double=False), collection, "tiny", show_progress=False)
    write_results(tmp_path / "r", results)
    again = read_results(tmp_path / "r")
    assert again.data_hash == results.data_hash
    assert {n: r.per_query for n, r in again.directions.items()} == {
        n: r.per_query for n, r in results.directions.items()
    }
    with pytest.raises(InputError, match="--overwrite"):
        write_results(tmp_path / "r", results)


def test_damaged_results(tmp_path, collection):
    with pytest.raises(InputError, match=r"holds no results\.json"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"scores": {')
    with pytest.raises(InputError, match="is damaged"):
        read_results(tmp_path)


def test_two_checkpoints_never_share_a_hash(collection):
    one, two = make_encoder(double=False), make_encoder(double=False, seed=1)
    first = evaluate_model(one, collection, "a", show_progress=False)
    second = evaluate_model(two, collection, "a", show_progress=False)
    assert first.weights_hash != second.weights_hash
    assert first.weights_hash == evaluate_model(one, collection, "b", show_progress=False).weights_hash


def test_a_collapsed_encoder_scores_by_the_tie_rule_alone(collection):
    encoder = make_encoder(double=False)
    for parameter in encoder.parameters():
        parameter.data.zero_()
    # All embeddings are the same, so the higher passage id stands first: p4, p3, ...
    result = evaluate_directions(encoder, collection, show_progress=False)["q-en.p-en"]
    assert [result.per_query[f"q{i}@en"]["R@1"] for i in range(5)] == [0, 0, 0, 0, 1]
