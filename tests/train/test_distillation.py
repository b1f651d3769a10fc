"""Distillation before training: what is drawn where, that training goes on from it, and that a kill loses nothing."""

import json
import subprocess

import numpy as np
import pytest
from commands import kill_at, refused, train_command
from tiny import WORDS, make_encoder, make_training_rows, settings

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl, write_text
from clear_ir.data.rows import Translation, read_translations
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.train.distillation import DISTILLED_FILE, distil_model
from clear_ir.train.run import train_model

PAIRS = [
    Translation(" ".join(WORDS[i : i + 4]), " ".join(WORDS[len(WORDS) - 4 - i : len(WORDS) - i]), "sw")
    for i in range(20)
]


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_translations_are_drawn_to_the_frozen_english(tmp_path):
    student, teacher = make_encoder(double=False), make_encoder(double=False)
    english, other = [pair.english for pair in PAIRS], [pair.translation for pair in PAIRS]
    target = teacher.encode(english)
    before = student.encode(other)
    distil_model(student, PAIRS, settings(batch_size=20, learning_rate=5e-3, distil_steps=60), tmp_path / "distilled")
    told = json.loads((tmp_path / "distilled" / DISTILLED_FILE).read_text())
    assert (told["distil_pairs"], told["distil_steps"]) == (20, 60)
    first, last = told["distil_loss"]
    # One batch holds all pairs. The English side is where the teacher has it, so its error is zero at first.
    errors = np.square(before.astype(np.float64) - target).mean(), 0.0
    assert first == pytest.approx(sum(errors) / 2, rel=1e-3)
    assert last < first / 2
    distilled = load_encoder(str(tmp_path / "distilled"))
    apart = 1 - cosines(before, target).mean()
    assert apart > 0.02, "the translations stand there already, so the test shows nothing"
    assert 1 - cosines(distilled.encode(other), target).mean() < apart / 5
    assert 1 - cosines(distilled.encode(english), target).mean() < apart / 5
    assert [path.name for path in tmp_path.iterdir()] == ["distilled"]


def test_training_goes_on_from_what_was_distilled(tmp_path, tiny_folder, monkeypatch):
    rows = make_training_rows(40)
    chosen = settings(distil_steps=5, guard=0.5, max_steps=3)
    seen = []

    def listen(student, pairs, *more):
        seen.append((weights_hash(student), pairs))
        distil_model(student, pairs, *more)

    monkeypatch.setattr("clear_ir.train.run.distil_model", listen)
    log = train_model(str(tiny_folder), rows, chosen, tmp_path / "m", translations=PAIRS)
    assert log[0]["distil_pairs"] == len(seen[0][1])
    assert log[0]["distil_steps"] == 5
    assert "batches" in log[0]
    start, pairs = seen[0]
    assert start == weights_hash(load_encoder(str(tiny_folder)))
    # Questions that judge checkpoints are not distilled on.
    assert pairs[-len(PAIRS) :] == PAIRS
    queries = {pair.english for pair in pairs[: -len(PAIRS)]}
    assert len(queries) == 36
    assert queries < {record["anchor"] for record in rows.records}

    # The same in two runs: the guard holds the distilled encoder, so that it is zero in the first step.
    entries = [entry for entry in log if "clear/guard" in entry]
    assert entries[0]["clear/guard"] == pytest.approx(0, abs=1e-6)
    assert entries[-1]["clear/guard"] > 1e-6
    student = load_encoder(str(tiny_folder))
    distil_model(student, pairs, chosen, tmp_path / "distilled")
    apart = settings(guard=0.5, max_steps=3)
    train_model(str(tmp_path / "distilled"), rows, apart, tmp_path / "apart")
    trained = {name: weights_hash(load_encoder(str(tmp_path / name))) for name in ("m", "apart", "distilled")}
    assert trained["m"] == trained["apart"] != trained["distilled"]


def test_a_run_killed_after_distillation_resumes_to_the_same_model(tmp_path, tiny_folder):
    rows_file = tmp_path / "rows.jsonl"
    write_jsonl(rows_file, make_training_rows(400).records)

    def command(out, more=""):
        flags = "--batch-size 8 --max-steps 60 --set eval_steps=50 --precision fp32 --set distil_steps=20"
        return train_command(tiny_folder, rows_file, out, f"{flags} {more}")

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = subprocess.run(**command(whole), check=True, capture_output=True, text=True)
    assert "Distilling" in unbroken.stderr
    kill_at(command(broken), tmp_path / "broken.partial" / "distilled" / DISTILLED_FILE)
    assert not list(tmp_path.glob("broken.partial/checkpoints/checkpoint-*")), "killed later than meant"

    again = subprocess.run(**command(broken), capture_output=True, text=True)
    assert again.returncode == 2
    assert "resume it, or overwrite it" in again.stderr
    resumed = subprocess.run(**command(broken, "--resume"), capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert "Distilling" not in resumed.stderr
    assert weights_hash(load_encoder(str(broken))) == weights_hash(load_encoder(str(whole)))


def test_translations_without_distillation_are_an_error(tmp_path, tiny_folder):
    with pytest.raises(InputError, match="distil_steps is 0"):
        train_model(str(tiny_folder), make_training_rows(), settings(), tmp_path / "m", translations=PAIRS)
    assert not list(tmp_path.iterdir())


def test_ntrex_is_prepared_to_distil_on(run, tmp_path):
    write_text(tmp_path / "newstest2019-src.eng.txt", "the river\nthe moon\n")
    write_text(tmp_path / "newstest2019-ref.swa.txt", "mto\nmwezi\n")
    write_text(tmp_path / "newstest2019-ref.deu.txt", "der Fluss\nder Mond\n")
    code, out, _ = run("prepare", "ntrex", "--data", tmp_path, "--langs", "swa,de", "--out", tmp_path / "out")
    assert code == 0
    assert f"train --translations: {tmp_path / 'out' / 'translations.jsonl'}" in out
    found = read_translations(tmp_path / "out" / "translations.jsonl")
    assert len(found) == 4
    assert {Translation("the river", "mto", "sw"), Translation("the moon", "der Mond", "de")} < set(found)


def test_translations_from_the_command_line(run, tmp_path, tiny_folder):
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows().records)
    write_text(tmp_path / "pairs.csv", "english,translation\nthe river,mto\nthe moon,mwezi\n")
    assert read_translations(tmp_path / "pairs.csv")[1] == Translation("the moon", "mwezi", "xx")
    train = ["train", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--batch-size", 8, "--max-steps", 2]
    train += ["--set", "distil_steps=4", "--translations", tmp_path / "pairs.csv"]
    code, out, _ = run(*train, "--out", tmp_path / "m")
    assert code == 0
    assert "Distilled on 38 pairs in 4 steps: loss from " in out

    write_text(tmp_path / "pairs.csv", "english,translation\nthe river,mto\nthe moon,\n")
    refused(run(*train, "--out", tmp_path / "n"), tmp_path / "pairs.csv", "line 3", "'translation' is null or empty")
    write_text(tmp_path / "pairs.csv", "en,sw\nthe river,mto\n")
    refused(run(*train, "--out", tmp_path / "n"), "no column 'english' among en, sw")
    write_text(tmp_path / "pairs.csv", "english,translation\n")
    refused(run(*train, "--out", tmp_path / "n"), "holds no records")
    refused(run(*train, "--out", tmp_path / "n", "--set", "distil_steps=-1"), "--distil-steps is -1; it should be")
    assert not list(tmp_path.glob("n*"))
