import json

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from tiny import make_encoder, quiet

from clear_ir.data.collection import Collection, Text
from clear_ir.data.files import InputError
from clear_ir.evaluate.evaluation import evaluate_directions, evaluate_model
from clear_ir.evaluate.results import read_results, read_run, write_results

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


def test_each_text_is_encoded_once(collection, monkeypatch):
    encoder = make_encoder(double=False)
    seen = []
    for name in ("encode_query", "encode_document"):
        original = getattr(encoder, name)
        monkeypatch.setattr(
            encoder, name, lambda texts, _original=original, **k: seen.extend(texts) or _original(texts, **k)
        )
    found = evaluate_directions(quiet(encoder), collection)
    assert list(found) == ["q-en.p-en", "q-sw.p-en", "q-en.p-sw", "q-sw.p-sw"]
    assert sorted(seen) == sorted({t.full_text for t in [*collection.queries.values(), *collection.passages.values()]})


def test_directions_use_their_own_queries_and_pool(collection):
    found = evaluate_directions(quiet(make_encoder(double=False)), collection)
    result = found["q-sw.p-en"]
    assert set(result.per_query) == {f"q{i}@sw" for i in range(5)}
    assert {passage for run in result.run.values() for passage in run} == {f"p{i}@en" for i in range(5)}
    assert result.num_passages == 5


def test_written_run_and_qrels_rescore_to_the_same(tmp_path, collection):
    results = evaluate_model(quiet(make_encoder(double=False)), collection, "tiny")
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
    results = evaluate_model(quiet(make_encoder(double=False)), collection, "tiny")
    write_results(tmp_path / "r", results)
    again = read_results(tmp_path / "r")
    assert again.data_hash == results.data_hash
    assert {n: r.per_query for n, r in again.directions.items()} == {
        n: r.per_query for n, r in results.directions.items()
    }
    with pytest.raises(InputError, match="already holds results") as refused:
        write_results(tmp_path / "r", results)
    assert "overwrite" in refused.value.settings


def test_damaged_results(tmp_path, collection):
    with pytest.raises(InputError, match=r"holds no results\.json"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"scores": {')
    with pytest.raises(InputError, match="results.json: not valid JSON"):
        read_results(tmp_path)


def test_two_checkpoints_never_share_a_hash(collection):
    one, two = make_encoder(double=False), make_encoder(double=False, seed=1)
    first = evaluate_model(quiet(one), collection, "a")
    second = evaluate_model(quiet(two), collection, "a")
    assert first.weights_hash != second.weights_hash
    assert first.weights_hash == evaluate_model(quiet(one), collection, "b").weights_hash


def test_a_collapsed_encoder_scores_by_the_tie_rule_alone(collection):
    encoder = make_encoder(double=False)
    for parameter in encoder.parameters():
        parameter.data.zero_()
    # All embeddings are the same, so the higher passage id stands first: p4, p3, ...
    result = evaluate_directions(quiet(encoder), collection)["q-en.p-en"]
    assert [result.per_query[f"q{i}@en"]["R@1"] for i in range(5)] == [0, 0, 0, 0, 1]


def test_swapped_directions_are_scored_by_their_own_sides(collection):
    encoder = make_encoder(double=False)
    found = evaluate_directions(quiet(encoder), collection)

    def by_hand(query_lang, passage_lang):
        queries = [t for t in collection.queries.values() if t.lang == query_lang]
        passages = [t for t in collection.passages.values() if t.lang == passage_lang]
        vectors = [encoder.encode([t.text for t in side], normalize_embeddings=True) for side in (queries, passages)]
        run = {
            q.id: {p.id: float(score) for p, score in zip(passages, row, strict=True)}
            for q, row in zip(queries, vectors[0] @ vectors[1].T, strict=True)
        }
        qrels = {q.id: {f"p{q.id[1]}@{passage_lang}": 1} for q in queries}
        theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
        return {query: values["ndcg_cut_10"] for query, values in theirs.items()}

    scores = {name: {q: v["nDCG@10"] for q, v in result.per_query.items()} for name, result in found.items()}
    for name in scores:
        query, passage = name[2:4], name[7:9]
        assert scores[name] == pytest.approx(by_hand(query, passage))
    assert list(scores["q-en.p-sw"].values()) != list(scores["q-sw.p-en"].values())


def test_mixed_pools_hold_every_language(collection):
    results = evaluate_model(quiet(make_encoder(double=False)), collection, "tiny")
    assert list(results.mixed) == ["q-en.p-en+sw", "q-sw.p-en+sw"]
    mixed = results.mixed["q-sw.p-en+sw"]
    assert mixed.num_passages == 10
    assert mixed.qrels["q0@sw"] == {"p0@en": 2, "p0@sw": 1}
    for query, values in mixed.per_query.items():
        ranking = list(mixed.run[query])
        assert values["last_rank"] == max(ranking.index(p) + 1 for p in mixed.qrels[query])
        assert values["Complete@10"] == 1.0  # ten passages
    assert {v for scores in mixed.per_query.values() for v in scores.values()} - {0.0, 1.0}


def test_results_keep_mixed_pools_questions_space_and_map(tmp_path, collection):
    results = evaluate_model(quiet(make_encoder(double=False)), collection, "tiny")
    write_results(tmp_path / "r", results)
    again = read_results(tmp_path / "r")
    assert {n: r.per_query for n, r in again.mixed.items()} == {n: r.per_query for n, r in results.mixed.items()}
    assert (again.questions, again.space, again.map) == (results.questions, results.space, results.map)
    assert again.questions["q3@sw"] == "q3"
    document = json.loads((tmp_path / "r" / "results.json").read_text())
    [entry] = [score for score in document["scores"]["test"] if score["direction"] == "q-sw.p-en+sw"]
    ranks = [values["last_rank"] for values in results.mixed["q-sw.p-en+sw"].per_query.values()]
    assert (entry["last_rank"], entry["last_rank_median"]) == (np.mean(ranks), np.median(ranks))
    assert read_run(tmp_path / "r", "q-sw.p-en+sw", 3) == {
        query: pytest.approx(dict(list(run.items())[:3])) for query, run in results.mixed["q-sw.p-en+sw"].run.items()
    }
    (tmp_path / "r" / "map.json").unlink()
    with pytest.raises(InputError, match=r"lacks map\.json; evaluate again"):
        read_results(tmp_path / "r")


def test_a_cache_changes_nothing_but_time(tmp_path, collection):
    encoder = make_encoder(double=False)
    plain = evaluate_model(quiet(encoder), collection, "tiny")
    for _ in range(2):
        cached = evaluate_model(quiet(encoder, cache=tmp_path), collection, "tiny")
        assert {n: r.run for n, r in cached.all_directions} == {n: r.run for n, r in plain.all_directions}


def test_a_query_that_is_a_passage_does_not_find_itself():
    texts = ["river desert moon", "river desert bread", "tree bird", "metal light"]
    passages = {f"d{i}": Text(f"d{i}", text, "en") for i, text in enumerate(texts)}
    queries = {"d0": Text("d0", "river  desert moon", "en"), "d2": Text("d2", "another text", "en")}
    collection = Collection("arguana", passages, queries, {"d0": {"d1": 1}, "d2": {"d2": 1}})
    result = evaluate_directions(quiet(make_encoder(double=False)), collection)["q-en.p-en"]
    assert set(result.run["d0"]) == {"d1", "d2", "d3"}
    assert "d2" in result.run["d2"], "the same id with another text is another thing"
    encoder = make_encoder(double=False)
    scores = encoder.similarity(encoder.encode([texts[0]]), encoder.encode(texts[1:]))[0]
    rank = 1 + int((scores > scores[0]).sum())
    assert result.per_query["d0"]["RR@10"] == pytest.approx(1 / rank)


def test_a_right_passage_that_does_not_exist_is_a_miss():
    passages = {"p": Text("p", "river", "en"), "o": Text("o", "moon", "en")}
    queries = {"q": Text("q", "river", "en")}
    encoder = quiet(make_encoder(double=False))
    whole = evaluate_directions(encoder, Collection("c", passages, queries, {"q": {"p": 1}}))["q-en.p-en"]
    missing = evaluate_directions(encoder, Collection("c", passages, queries, {"q": {"p": 1, "gone": 1}}))["q-en.p-en"]
    assert whole.mean("R@10") == 1.0
    assert missing.mean("R@10") == 0.5
