"""`clear-ir rank`: its figures are those of an independent computation and of the other commands."""

import json
import shutil

import numpy as np
import pytest
from commands import refused
from sentence_transformers import SentenceTransformer
from tiny import WORDS, make_encoder

from clear_ir.compare.starting_points import directions_of_pair
from clear_ir.data.collection import Collection, Text, make_collection
from clear_ir.data.collection_files import write_collection
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl

ENGLISH = "river desert moon bread bank court drum tree bird metal light sound long wide old".split()
SWAHILI = "mto jangwa mwezi mkate benki ngoma mti ndege gani wapi nani urefu ni ya wa".split()
PAIRS = [(i, j) for i in range(15) for j in range(15) if i < j]


def said(words, pair):
    return f"{words[pair[0]]} {words[pair[1]]}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Questions of two words; the languages share no word, and every passage stands in both."""
    folder = tmp_path_factory.mktemp("rank")
    assert set(ENGLISH + SWAHILI) <= set(WORDS)
    test = PAIRS[::4]
    passages = {
        f"p{n}": Text(f"p{n}", f"the {said(ENGLISH, p)}", "en", parallel_id=f"p{n}") for n, p in enumerate(test)
    }
    passages |= {
        f"s{n}": Text(f"s{n}", f"{said(SWAHILI, p)} kwa", "sw", parallel_id=f"p{n}") for n, p in enumerate(test)
    }
    queries, qrels = {}, {}
    for n, pair in enumerate(test):
        for lang, words in (("en", ENGLISH), ("sw", SWAHILI)):
            queries[f"q{n}@{lang}"] = Text(f"q{n}@{lang}", said(words, pair), lang, parallel_id=f"q{n}")
            qrels[f"q{n}@{lang}"] = {f"p{n}": 1, f"s{n}": 1}
    write_collection(folder / "collection", Collection("two", passages, queries, qrels))
    rows = [
        {"id": str(n), "query": said(ENGLISH, p), "passage": f"the {said(ENGLISH, p)}", "cross_query": said(SWAHILI, p)}
        | {"lang": "sw"}
        for n, p in enumerate(PAIRS)
        if n % 4
    ]
    write_jsonl(folder / "rows.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folders = []
    for seed in (0, 1, 2):
        folders.append(tmp_path_factory.mktemp("models") / f"seed{seed}")
        make_encoder(double=False, seed=seed).save_pretrained(str(folders[-1]), create_model_card=False)
    return folders


def by_hand(folder, data):
    """nDCG@10 of q-sw.p-en by question and the share of Swahili found first, in float64, from the files."""
    model = SentenceTransformer(str(folder), device="cpu")
    read = {
        name: [json.loads(line) for line in (data / "collection" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("corpus", "queries")
    }
    queries = [query for query in read["queries"] if query["lang"] == "sw"]

    def unit(texts):
        vectors = model.encode(texts).astype(float)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    scores = unit([query["text"] for query in queries]) @ unit([passage["text"] for passage in read["corpus"]]).T
    column = {passage["_id"]: place for place, passage in enumerate(read["corpus"])}
    english = [place for name, place in column.items() if name.startswith("p")]
    gains, own = [], []
    for row, query in zip(scores, queries, strict=True):
        n = query["_id"].removeprefix("q").removesuffix("@sw")
        place = 1 + sum(row[other] > row[column[f"p{n}"]] for other in english)
        gains.append(1 / np.log2(1 + place) if place <= 10 else 0.0)
        own.append(row[column[f"s{n}"]] > row[column[f"p{n}"]])
    return np.array(gains), np.mean(own)


def test_figures_and_order(run, data, models):
    code, out, err = run("rank", *models, "--data", data / "collection", "--pair", "sw-en", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["directions"] == ["q-sw.p-en"]
    assert document["failed"] == {}
    points = document["models"]
    scores = [point["score"] for point in points]
    assert len(set(scores)) == 3
    assert scores == sorted(scores, reverse=True)
    for point in points:
        [folder] = [model for model in models if model.name == point["model"]]
        gains, own = by_hand(folder, data)
        assert point["score"] == pytest.approx(gains.mean(), abs=1e-6)
        assert point["own_first"] == pytest.approx(own)
        rng = np.random.default_rng(7)
        means = gains[rng.integers(0, len(gains), (20_000, len(gains)))].mean(axis=1)
        assert (point["low"], point["high"]) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.01)
        model = SentenceTransformer(str(folder), device="cpu")
        assert point["parameters"] == sum(weights.numel() for weights in model.parameters())
        assert (point["dimensions"], point["max_length"]) == (32, 32)
        assert point["texts_per_second"] > 1
        assert (point["aligned"], point["alignment"]) == (None, "no rows were given")
        evaluated = run(
            "evaluate", "--model", folder, "--data", data / "collection", "--out", data / folder.name, "--json"
        )
        assert point["english"] == pytest.approx(json.loads(evaluated[1])["directions"]["q-en.p-en"]["nDCG@10"])


def test_alignment_is_what_align_makes(run, data, models, tmp_path):
    arguments = ("--data", data / "collection", "--pair", "q-sw.p-en", "--rows", data / "rows.jsonl", "--json")
    code, out, err = run("rank", models[0], *arguments)
    assert code == 0, err
    [point] = json.loads(out)["models"]
    assert point["aligned"] > point["score"] + 0.05, "a map helps, or the test would show nothing"
    aligned = run("align", "--model", models[0], "--rows", data / "rows.jsonl", "--out", tmp_path / "a", "--json")
    assert json.loads(aligned[1])["method"] == point["alignment"] != "base"
    evaluated = run(
        "evaluate", "--model", tmp_path / "a", "--data", data / "collection", "--out", tmp_path / "r", "--json"
    )
    assert point["aligned"] == pytest.approx(json.loads(evaluated[1])["directions"]["q-sw.p-en"]["nDCG@10"], abs=1e-3)


def test_what_a_person_sees(run, data, models):
    code, out, _ = run("rank", models[0], models[1], "--data", data / "collection")
    assert code == 0
    assert "the mean of 2 directions across languages" in out
    assert "on 27 questions. Few questions: 100 and more are better." in out
    assert "With --rows ROWS" in out
    assert "+ align" not in out
    code, out, _ = run("rank", models[0], "--data", data / "collection", "--rows", data / "rows.jsonl")
    assert "points that clear-ir align gains or loses" in out
    assert "With --rows ROWS" not in out
    assert "own first:" in out


def test_a_model_that_fails_is_named_and_the_others_are_ranked(run, data, models, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(models[0], broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    code, out, err = run("rank", broken, models[1], tmp_path / "none", "--data", data / "collection")
    refused((code, out, err), broken, "1 other model failed, too.", "The others are ranked: 1 model.")
    assert "| seed1 " in out
    code, out, _ = run("rank", broken, models[1], "--data", data / "collection", "--json")
    assert code == 2
    assert list(json.loads(out)["failed"]) == ["broken"]
    refused(run("rank", tmp_path / "none", "--data", data / "collection"), tmp_path / "none")


def test_wrong_inputs(run, data, models, tmp_path):
    collection = data / "collection"
    refused(run("rank", models[0], "--data", collection, "--pair", "de-en"), "no pair 'de-en'", "sw-en", "--pair")
    refused(run("rank", models[0], f"{models[0]}/", "--data", collection), "named twice")
    refused(run("rank", "--data", collection), "'models'")
    refused(run("rank", models[0], "--data", tmp_path / "none"), tmp_path / "none")
    refused(run("rank", models[0], "--data", collection, "--rows", tmp_path / "no.jsonl"), "no.jsonl")


def test_pairs_with_a_script_and_collections_in_one_language():
    passages = [Text("p", "the river", "en"), Text("h", "川", "zh-Hant")]
    collection = make_collection("c", passages, [("q", "p", {"en": "what", "zh-Hant": "什麼"})])
    assert [str(d) for d in directions_of_pair(collection, "zh-hant-en")] == ["q-zh-Hant.p-en"]
    assert [str(d) for d in directions_of_pair(collection, None)] == ["q-zh-Hant.p-en"]
    one = make_collection("c", passages[:1], [("q", "p", {"en": "what"})])
    assert [str(d) for d in directions_of_pair(one, "en-en")] == ["q-en.p-en"]
    with pytest.raises(InputError, match="no direction across languages"):
        directions_of_pair(one, None)
