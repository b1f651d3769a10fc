"""The command line as a user meets it: every stage on small data, and what bad input gets."""

import json

import pytest
import typer
from commands import refused

from clear_ir.cli.app import app
from clear_ir.data.output_files import write_jsonl, write_text


@pytest.fixture
def own_rows(tmp_path):
    rows = [
        {
            "query": f"what river {i}",
            "passage": f"the moon of bread {i // 2}",
            "cross_query": f"nini mto {i}",
            "lang": "sw",
        }
        for i in range(60)
    ]
    write_jsonl(tmp_path / "own.jsonl", rows)
    return tmp_path / "own.jsonl"


def test_all_stages_on_own_data(run, tmp_path, own_rows, tiny_folder):
    data, train = tmp_path / "data", tmp_path / "train.jsonl"
    code, out, _ = run("prepare", "rows", "--rows", own_rows, "--out", data)
    assert code == 0
    assert f"Next: clear-ir mine --model MODEL --rows {data / 'rows.jsonl'}" in out
    code, out, _ = run(
        "mine",
        "--model",
        tiny_folder,
        "--rows",
        data / "rows.jsonl",
        "--out",
        train,
        "--num-negatives",
        2,
        "--range-min",
        1,
    )
    assert code == 0
    assert "positive score, mean" in out
    model = tmp_path / "model"
    code, out, _ = run(
        "train", "--model", tiny_folder, "--rows", train, "--out", model, "--batch-size", 8, "--max-steps", 3,
        "--set", "eval_steps=2", "--cached",
    )  # fmt: skip
    assert code == 0
    assert f"clear-ir evaluate --model {model}" in out
    for name, source in (("base", tiny_folder), ("after", model)):
        code, out, _ = run("evaluate", "--model", source, "--data", data / "collection", "--out", tmp_path / name)
        assert code == 0
        assert "q-sw.p-en" in out
        assert "Few questions: " in out
    code, out, _ = run("compare", tmp_path / "base", tmp_path / "after")
    assert code == 0
    assert "p (Holm)" in out
    assert "Few questions: " in out
    code, out, _ = run("report", tmp_path / "base", tmp_path / "after", "--out", tmp_path / "report")
    assert code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Swahili → English" in page
    assert "training loss" in page
    assert "Few questions: " in page
    assert not list(tmp_path.glob("*.partial"))


def test_own_data_with_a_dev_collection(run, tmp_path, own_rows, tiny_folder):
    data = tmp_path / "data"
    code, out, _ = run("prepare", "rows", "--rows", own_rows, "--dev-share", "0.3", "--out", data)
    assert code == 0
    dev = data / "dev" / "collection"
    assert f"Dev collection, to choose settings by: {dev} (" in out
    assert [path.name for path in (dev / "qrels").iterdir()] == ["dev.tsv"], "as of afriqa --judge dev"
    merge = run("merge", tiny_folder, tiny_folder, "--data", dev, "--weights", "0,1", "--out", tmp_path / "merged")
    assert merge[0] == 0
    assert len((data / "rows.jsonl").read_text().splitlines()) < 40


def test_prepare_real_data_on_small_files(run, tmp_path):
    record = {"id": "1", "context": "c", "title": None, "question_lang": "wa", "question_translated": "who"}
    folder = tmp_path / "afriqa"
    write_jsonl(folder / "gold_span_passages.afriqa.hau.en.train.json", [record, {**record, "context": None}])
    write_jsonl(folder / "gold_span_passages.afriqa.hau.en.test.json", [{**record, "context": "d"}])
    code, out, _ = run("prepare", "afriqa", "--data", folder, "--langs", "hau", "--out", tmp_path / "out")
    assert code == 0
    assert "1 row left out" in out
    assert json.loads((tmp_path / "out" / "prepared.json").read_text())["left out"] == 1
    strict = run("prepare", "afriqa", "--data", folder, "--langs", "hau", "--out", tmp_path / "strict", "--strict")
    refused(strict, "train.json, line 2", "'context' is null or empty")
    assert not (tmp_path / "strict").exists()
    refused(
        run("prepare", "afriqa", "--data", folder, "--langs", "hau,xyz", "--out", tmp_path / "o2"),
        "'xyz'",
        "choose among ha",
    )
    refused(run("prepare", "afriqa", "--data", folder, "--langs", "hau", "--out", tmp_path / "out"), "--overwrite")
    again = run("prepare", "afriqa", "--data", folder, "--langs", "hau", "--out", tmp_path / "out", "--overwrite")
    assert again[0] == 0


def test_bad_rows(run, tmp_path, tiny_folder):
    out = tmp_path / "out.jsonl"

    def mine(path):
        return run("mine", "--model", tiny_folder, "--rows", path, "--out", out)

    good = {"query": "a", "passage": "b", "cross_query": "c", "lang": "sw", "id": "1"}
    refused(mine(tmp_path / "missing.jsonl"), "missing.jsonl does not exist")
    (tmp_path / "empty.jsonl").write_text("")
    refused(mine(tmp_path / "empty.jsonl"), "empty.jsonl is empty")
    write_jsonl(tmp_path / "names.jsonl", [{"frage": "a", "passage": "b"}])
    refused(mine(tmp_path / "names.jsonl"), "names.jsonl, line 1", "'query'", "--map")
    write_jsonl(tmp_path / "null.jsonl", [good, {**good, "id": "2", "passage": None}])
    refused(mine(tmp_path / "null.jsonl"), "null.jsonl, line 2", "'passage' is null")
    (tmp_path / "latin.jsonl").write_bytes(b'{"query": "a"}\n{"query": "\xe4"}\n')
    refused(mine(tmp_path / "latin.jsonl"), "latin.jsonl, line 2", "UTF-8")
    (tmp_path / "latin.jsonl").write_bytes(json.dumps(good).encode() + b'\n{"query": "\xe4"}\n')
    refused(mine(tmp_path / "latin.jsonl"), "latin.jsonl, line 2", "UTF-8")
    write_jsonl(tmp_path / "twice.jsonl", [good, good])
    refused(mine(tmp_path / "twice.jsonl"), "twice.jsonl, line 2", "'1' was already used")
    write_jsonl(tmp_path / "few.jsonl", [good])
    refused(mine(tmp_path / "few.jsonl"), "None of the 1 rows")
    assert not out.exists()
    refused(
        run("prepare", "rows", "--rows", tmp_path / "twice.jsonl", "--out", tmp_path / "o", "--map", "query"), "--map"
    )
    assert not (tmp_path / "o").exists()


def test_bad_recipe_model_and_collection(run, tmp_path, own_rows, tiny_folder):
    (tmp_path / "r.yaml").write_text("train:\n  epoch: 3\n")
    rows = ["--rows", own_rows, "--out", tmp_path / "m"]
    refused(
        run("train", "--recipe", tmp_path / "r.yaml", "--model", tiny_folder, *rows),
        "r.yaml",
        "'train.epoch'",
        "epochs",
    )
    refused(run("train", "--model", tiny_folder, *rows, "--alpha", "2"), "sum to at most 1")
    refused(run("train", "--model", tiny_folder, *rows, "--set", "nothing=1"), "'train.nothing'")
    for value in ("[", "2024-13-45", "9" * 5000):
        refused(run("train", "--model", tiny_folder, *rows, "--set", f"seed={value}"), "--set seed: not valid YAML")
    refused(run("train", *rows), "No model is named")
    write_text(tmp_path / "hollow" / "config.json", "{}")
    collection = tmp_path / "c"
    write_jsonl(collection / "corpus.jsonl", [{"_id": "1", "text": "x"}])
    write_jsonl(collection / "queries.jsonl", [{"_id": "a", "text": "q"}])
    write_text(collection / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\na\t1\t1\n")
    results = ["--data", collection, "--out", tmp_path / "res"]
    refused(run("evaluate", "--model", tmp_path / "hollow", *results), "holds no weights")
    refused(
        run("evaluate", "--model", tmp_path / "holow", *results), "no folder", f"did you mean {tmp_path / 'hollow'}?"
    )
    file = collection / "corpus.jsonl"
    refused(run("evaluate", "--model", file, *results), "corpus.jsonl is not a model folder")
    assert run("evaluate", "--model", tiny_folder, *results)[0] == 0
    refused(run("evaluate", "--model", tiny_folder, *results), "already holds results", "--overwrite")
    write_text(collection / "qrels" / "test.tsv", "a\t1\t1\na\t7\t1\n")
    strict = run("evaluate", "--model", tiny_folder, "--data", collection, "--out", tmp_path / "r2", "--strict")
    refused(strict, "line 2", "'7'")
    refused(run("compare", tmp_path / "c", tmp_path / "res"), "holds no results.json")
    refused(run("compare", tmp_path / "res", tmp_path / "res"), "are given twice; give those of another model")
    assert not (tmp_path / "r2").exists()
    assert not (tmp_path / "m").exists()


def test_a_folder_of_other_files_is_never_replaced(run, tmp_path, own_rows):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("dear")
    refused(run("prepare", "rows", "--rows", own_rows, "--out", tmp_path / "letters", "--overwrite"), "did not make")
    assert (tmp_path / "letters" / "letter.txt").read_text() == "dear"


def test_quickstart_refuses_an_unknown_language(run, tmp_path):
    refused(run("quickstart", "--out", tmp_path / "q", "--lang", "xx"), "'xx'", "choose among")
    assert not (tmp_path / "q").exists()


def every_command(command=None, name=()):
    """Each command with its name; no groups."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    for child in command.list_commands(None):
        yield from every_command(command.get_command(None, child), (*name, child))


def test_every_option_has_a_help_text():
    commands = list(every_command())
    assert len(commands) > 15
    for name, command in commands:
        for parameter in command.params:
            assert parameter.help, f"{' '.join(name)} {parameter.name}"


def test_help_fits_a_terminal_of_80_columns(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name, _ in every_command():
        code, out, _ = run(*name, "--help")
        assert code == 0
        assert "…" not in out, f"a flag of {' '.join(name)} is cut off"
