"""`clear-ir search`: the rankings are those of an independent computation, and no text steers the terminal."""

import json

import numpy as np
import pytest
from commands import refused
from ranked import NASTY, ranking_by_hand
from tiny import make_encoder

from clear_ir.data.collection import Text
from clear_ir.data.output_files import write_jsonl
from clear_ir.serve.passage_index import Hit
from clear_ir.serve.rankings import Ranking
from clear_ir.serve.terminal import first_line, move, render_rankings


@pytest.mark.parametrize("pool", ["all", "en", "swa"])
def test_rankings_moves_and_right_passages(run, data, tiny_folder, other_folder, pool):
    question = "Mto   bird"  # of the collection, but for case and white space
    code, out, err = run(
        "search", question, "--model", other_folder, "--model", tiny_folder, "--data", data, "--pool", pool,
        "--top-k", 3, "--json",
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    langs = {"all": ("en", "sw"), "en": ("en",), "swa": ("sw",)}[pool]
    hand = [ranking_by_hand(folder, data, question, langs) for folder in (other_folder, tiny_folder)]
    assert hand[0][0] != hand[1][0], "two models that differ"
    assert document["passages"] == len(hand[0][0])
    assert document["queries"] == ["q8@sw"]
    assert [found["model"] for found in document["models"]] == ["changed", "tiny"]
    for found, (ids, scores) in zip(document["models"], hand, strict=True):
        assert [hit["id"] for hit in found["hits"]] == ids[:3]
        assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
        assert np.allclose([hit["score"] for hit in found["hits"]], scores[:3], atol=1e-5)
        assert found["right_ranks"] == ({"p8": ids.index("p8") + 1} if "en" in langs else {})
        assert [hit["right"] for hit in found["hits"]] == [name == "p8" for name in ids[:3]]
    first, second = document["models"]
    assert [hit["other_rank"] for hit in first["hits"]] == [hand[1][0].index(hit["id"]) + 1 for hit in first["hits"]]
    assert {hit["other_rank"] for hit in second["hits"]} == {None}


def test_what_a_person_sees(run, data, tiny_folder, other_folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    models = ("--model", other_folder, "--model", tiny_folder)
    code, out, err = run("search", "what moon", *models, "--data", data, "--top-k", 15)
    assert code == 0, err
    lines = out.splitlines()
    assert "changed" in out
    assert "tiny" in out
    assert all(len(line) <= 100 for line in lines[:-3])
    assert out.count("RIGHT") == 2, "the right passage once for each model"
    assert "second line" not in out
    assert "15 passages searched" in out
    assert "one of the collection's (en)" in out
    assert "tiny: right passage at rank" in out
    assert not set(NASTY) & set(out) - set("[2J31mevil\n line"), "nothing steers the terminal"
    assert "evil" in out
    new = run("search", "who is the bird", "--model", tiny_folder, "--data", data)[1]
    assert "does not have this question" in new
    assert "RIGHT" not in new
    outside = run("search", "what moon", "--model", tiny_folder, "--data", data, "--pool", "sw")[1]
    assert "None of its 1 right passage is in this pool." in outside


def test_json_has_no_control_characters_and_keeps_the_text(run, data, tiny_folder):
    out = run("search", "moon river", "--model", tiny_folder, "--data", data, "--top-k", 15, "--json")[1]
    assert "\x1b" not in out
    assert "\x9b" not in out
    texts = [hit["text"] for hit in json.loads(out)["models"][0]["hits"]]
    assert f"{NASTY} moon river" in texts


def test_a_typed_question_is_not_kept_in_the_cache(run, data, tiny_folder, tmp_path):
    run("search", "siri yangu", "--model", tiny_folder, "--data", data, "--cache", tmp_path / "cache")
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert files, "the passages are kept"
    before = {file: file.stat().st_mtime_ns for file in files}
    run("search", "nyingine", "--model", tiny_folder, "--data", data, "--cache", tmp_path / "cache")
    after = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*") if file.is_file()}
    assert before == after, "nothing was added"


def test_first_lines_and_moves():
    assert first_line("\n \n\ta  b\r\nc") == "a b"
    assert first_line("") == ""
    assert first_line("می\u200cخواهم") == "می\u200cخواهم", "a joiner is part of the word"
    assert first_line("a\x1b]0;title\x07b\u2066c") == "a ]0;title b c"
    assert len(first_line("x" * 10_000)) <= 400
    assert (move(1, 4), move(4, 1), move(2, 2)) == ("+3", "-3", "=")


def test_markup_in_a_text_is_text(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    hit = Hit(1, Text("[red]p", "[bold]x[/bold] [link=http://a]y[/link] 中文中文", "en"), 0.5)
    shown = render_rankings([Ranking("[blink]m", [hit], {}, {})], set())
    for part in ("[red]p", "[bold]x[/bold] [link=http://a]y[/link] 中文中文", "[blink]m"):
        assert part in shown


def test_models_of_one_name_are_told_apart(run, data, tiny_folder, tmp_path):
    same = tmp_path / "tiny"
    make_encoder(double=False, seed=2).save_pretrained(str(same), create_model_card=False)
    out = run("search", "moon", "--model", same, "--model", tiny_folder, "--data", data, "--json")[1]
    assert [found["model"] for found in json.loads(out)["models"]] == [str(same), str(tiny_folder)]


def test_wrong_inputs(run, data, tiny_folder, tmp_path):
    with_model = ("--model", tiny_folder, "--data", data)
    refused(run("search", " ", *with_model), "The question is empty")
    refused(run("search", "\udcff", *with_model), "The question holds")
    refused(run("search", "x", *with_model, "--pool", "de"), "no passages in de, only in en, sw", "--pool")
    refused(run("search", "x", *with_model, "--pool", "xq"), "no language code", "--pool")
    refused(run("search", "x", *with_model, "--model", f"{tiny_folder}/"), "named twice", "--model")
    refused(run("search", "x", *with_model, "--model", "a", "--model", "b"), "3 models", "--model")
    refused(run("search", "x", *with_model, "--top-k", 0), "--top-k")
    refused(run("search", "x", "--data", data), "'--model'")
    refused(run("search", "x", "--model", tmp_path / "none", "--data", data), tmp_path / "none")
    refused(run("search", "x", "--model", tiny_folder, "--data", tmp_path / "none"), tmp_path / "none")
    write_jsonl(data / "corpus.jsonl", [])
    refused(run("search", "x", *with_model), "corpus.jsonl")
