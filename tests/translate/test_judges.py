"""The checks that the command is told to do, from the command line on; and Apertium, where it is installed."""

import csv
import json
import shutil
import subprocess

import pytest

from clear_ir.data.rows import read_parallel_rows
from clear_ir.prepare.atlas import load_atlas
from tests.commands import refused

ROWS = load_atlas(["es"]).rows
QUESTIONS = list(dict.fromkeys(row.query for row in ROWS))[:60]


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("query", "passage"), *((question, "A passage.") for question in QUESTIONS)])
    return path


@pytest.fixture
def translate(run, tmp_path, own):
    def call(*arguments):
        out = tmp_path / "rows.jsonl"
        return run("translate", "--rows", own, "--to", "es", "--cache", tmp_path / "kept", "--out", out, *arguments)

    return call


def rejected_of(tmp_path):
    lines = (tmp_path / "rows.rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return {each["text"]: each["reason"] for each in map(json.loads, lines)}


def test_translates_back_and_compares(translate, tmp_path):
    pytest.importorskip("sacrebleu")
    beginning = QUESTIONS[5][:25]
    command = ("--command", f"sed 's/^{beginning}.*/no idea/'", "--no-checks")
    code, said, err = translate(*command, "--back-translate", "command:cat")
    assert code == 0, err
    assert rejected_of(tmp_path) == {QUESTIONS[5]: "lost on the way back: 'no idea'"}
    assert "es: 1 translation left out: lost on the way back." in said
    origin = json.loads((tmp_path / "rows.translation.json").read_text())
    assert origin["checks"] == {"rules": False, "agreement": None, "back translation": "command:cat"}


def test_the_same_command_translates_back(translate, tmp_path):
    pytest.importorskip("sacrebleu")
    code, _, err = translate("--command", "sed s/^/{lang}/", "--no-checks", "--back-translate", "same")
    assert code == 0, err
    assert not (tmp_path / "rows.rejected.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--command", "cat", "--back-translate", "same"), "cannot translate back into English"),
        (("--command", "cat", "--back-translate", "command:no-such-program"), "not installed"),
        (("--command", "cat", "--agreement", "no/such/encoder"), "no/such/encoder"),
    ],
)
def test_what_cannot_check_is_refused_before_anything_is_translated(translate, tmp_path, arguments, says):
    refused(translate(*arguments), says)
    assert not (tmp_path / "rows.jsonl").exists()


def test_agreement_with_an_encoder(translate, tmp_path, tiny_folder):
    command = ("--command", f"sed 's/^{QUESTIONS[5][:25]}.*/x/'", "--no-checks")
    code, _, err = translate(*command, "--agreement", tiny_folder)
    assert code == 0, err
    reasons = rejected_of(tmp_path)
    assert reasons[QUESTIONS[5]].startswith("no agreement: ")
    assert len(reasons) < 10, "the others are the same text"


def test_apertium_translates_questions_into_spanish_that_pass_the_checks(translate, tmp_path):
    if not shutil.which("apertium"):
        pytest.skip("Apertium is not installed (apt-get install apertium apertium-eng-spa)")
    modes = subprocess.run(["apertium", "-l"], capture_output=True, text=True, check=False).stdout.split()
    if not {"eng-spa", "spa-eng"} <= set(modes):
        pytest.skip("Apertium has no mode eng-spa (apt-get install apertium-eng-spa)")
    pytest.importorskip("sacrebleu")
    code, _, err = translate("--command", "apertium -u eng-spa", "--back-translate", "command:apertium -u spa-eng")
    assert code == 0, err
    rows, _ = read_parallel_rows(tmp_path / "rows.jsonl")
    assert len(rows) >= 0.9 * len(QUESTIONS)
    spanish = {"qué", "cuál", "cómo", "de", "la", "el", "los", "en", "un", "una", "por", "dónde"}
    assert sum(bool(spanish & set(row.cross_query.lower().split())) for row in rows) > 0.9 * len(rows)
    assert all(row.lang == "es" and row.query in QUESTIONS for row in rows)
