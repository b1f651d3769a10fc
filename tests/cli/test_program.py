"""The program itself: version, short help, groups, examples, JSON, recipes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from commands import refused
from tiny import make_encoder

import clear_ir
from clear_ir.cli.app import app
from clear_ir.data.collection import Text, make_collection
from clear_ir.data.collection_files import write_collection
from clear_ir.data.output_files import write_jsonl
from clear_ir.recipes.recipe import load_recipe, shipped_recipes


def test_version_and_short_help(run):
    assert run("--version")[:2] == (0, f"clear-ir {clear_ir.__version__}\n")
    assert run("-h")[1] == run("--help")[1]
    assert "--install-completion" in run("-h")[1]
    done = subprocess.run([sys.executable, "-m", "clear_ir", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"clear-ir {clear_ir.__version__}\n"


def test_commands_stand_in_groups(run):
    shown = run("--help")[1]
    places = [shown.index(part) for part in ("Data", "prepare", "Train", "align", "merge", "Measure", "compare")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", [c for c in typer.main.get_command(app).commands if c not in ("prepare", "recipe")])
def test_every_help_has_an_example(run, name):
    code, shown, _ = run(name, "--help")
    assert code == 0
    assert f"Example: clear-ir {name}" in " ".join(shown.split())


def test_wrong_calls_get_one_sentence(run, tmp_path):
    refused(run("trian"), "No such command 'trian'", "see clear-ir --help")
    refused(run("train", "--out", tmp_path / "m"), "'--rows'", "see clear-ir train --help")
    refused(run("train", "--rows", "x", "--out", "y", "--max-steps", "many"), "'--max-steps'")
    refused(run("train", "--rows", "x", "--out", "y", "--lerning-rate", "1"), "--lerning-rate")


def test_recipes_are_listed_and_shown(run, tmp_path):
    rows = json.loads(run("recipe", "list", "--json")[1])
    assert [row["recipe"] for row in rows] == list(shipped_recipes())
    table = run("recipe", "list")[1]
    assert all(row["recipe"] in table and row["model"] in table for row in rows)
    code, shown, _ = run("recipe", "show", "paper")
    assert code == 0
    assert (
        yaml.safe_load(shown)
        == load_recipe("paper").model_dump(mode="json")
        == json.loads(run("recipe", "show", "paper", "--json")[1])
    )
    (tmp_path / "mine.yaml").write_text(shown)
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe("paper"), "what is shown works as a recipe"
    refused(run("recipe", "show", "papre"), "no recipe 'papre'", "paper")


def test_json_where_a_table_is_printed(run, tmp_path, tiny_folder):
    words = "river desert moon bread bank court drum tree bird metal".split()
    passages = [Text(f"p{i}", f"the {word} is wide", "en") for i, word in enumerate(words)]
    questions = [(f"q{i}", f"p{i}", {"en": f"what {word}", "sw": f"mto {word}"}) for i, word in enumerate(words)]
    write_collection(tmp_path / "data", make_collection("tiny", passages, questions))
    other = tmp_path / "other"
    make_encoder(double=False, seed=1).save_pretrained(str(other), create_model_card=False)
    for model, out in ((tiny_folder, "a"), (other, "b")):
        code, shown, _ = run(
            "evaluate", "--model", model, "--data", tmp_path / "data", "--out", tmp_path / out, "--json"
        )
        assert code == 0
        assert 0 <= json.loads(shown)["directions"]["q-sw.p-en"]["nDCG@10"] <= 1
    compared = json.loads(run("compare", tmp_path / "a", tmp_path / "b", "--json")[1])
    assert {d["direction"] for d in compared["directions"]} == {"q-en.p-en", "q-sw.p-en"}
    merge = ["merge", tiny_folder, other, "--data", tmp_path / "data", "--weights", "0.5,1", "--json"]
    merged = json.loads(run(*merge, "--out", tmp_path / "merged")[1])
    assert [point["weight"] for point in merged["points"]] == [0.0, 0.5, 1.0]
    rows = [
        {"query": f"what {w}", "passage": f"the {w} {i}", "cross_query": f"mto {w}", "lang": "sw"}
        for i, w in enumerate(words)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    mine = ["mine", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "train.jsonl"]
    mined = json.loads(run(*mine, "--num-negatives", 1, "--range-min", 0, "--json")[1])
    assert (mined["rows"], mined["left out"]) == (10, [])


def test_an_output_that_is_named_like_a_setting_keeps_its_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    refused(run("prepare", "atlas", "--out", "out"), "clear-ir: out holds files", "(--out).")
    refused(run("prepare", "atlas", "--out", "o", "--judge", "x"), "clear-ir: --judge is 'x'")


def test_a_reader_that_has_enough_and_a_full_disk_behind_the_output(tmp_path):
    command = [sys.executable, "-m", "clear_ir", "datasets"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    refused((done.returncode, "", done.stderr), "the output of the command", "No space left on device")


def test_errors_of_the_system_name_the_path(run, tmp_path):
    name = "x" * 300
    refused(run("prepare", "atlas", "--out", tmp_path / name), f"{tmp_path / name} cannot be used: File name too long")
    refused(run("prepare", "rows", "--rows", tmp_path, "--out", tmp_path / "o"), str(tmp_path))
    (tmp_path / "file").touch()
    refused(run("prepare", "atlas", "--out", tmp_path / "file" / "o"), f"because {tmp_path / 'file'} is a file")


def test_an_output_whose_name_is_no_text(tmp_path):
    out = os.fsencode(tmp_path) + b"/\xff"
    done = subprocess.run([sys.executable, "-m", "clear_ir", "prepare", "atlas", "--out", out], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert out + b"/rows.jsonl" in done.stdout


def test_rows_into_a_pipe(tmp_path, tiny_folder):
    rows = [{"query": f"what {i}", "passage": f"the {i}", "cross_query": f"mto {i}", "lang": "sw"} for i in range(9)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    flags = f"mine --model {tiny_folder} --rows {tmp_path / 'rows.jsonl'} --num-negatives 1 --range-min 0 --out"
    command = [sys.executable, "-m", "clear_ir", *flags.split(), "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[0])["anchor"] == "what 0"
