"""The log while training runs: lines in the terminal, by language, and TensorBoard's file or Weights & Biases."""

import re
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from commands import refused
from tiny import make_training_rows, settings
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from clear_ir.data.output_files import write_jsonl
from clear_ir.train.dev_curve import describe_scores
from clear_ir.train.keeping import SHARES
from clear_ir.train.run import train_model


@pytest.fixture
def log_of(tmp_path, tiny_folder):
    def train(**changes):
        rows = make_training_rows(60)
        chosen = settings(max_english_loss=100, dev_share=0.3, **changes)
        return train_model(str(tiny_folder), rows, chosen, tmp_path / "out")

    return train


def test_tensorboard_has_the_losses_and_dev_scores_of_the_log(tmp_path, log_of):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = log_of(report_to="tensorboard")
    (file,) = (tmp_path / "out" / "tensorboard").glob("**/events*")
    events = EventAccumulator(str(file))
    events.Reload()
    for name, tag in {
        "loss": "train/loss",
        "clear/reverse": "train/clear/reverse",
        "eval_q-sw.p-en_nDCG@10": "eval/q-sw.p-en_nDCG@10",
    }.items():
        expected = [(entry["step"], entry[name]) for entry in log if name in entry]
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert len(shown) >= 2
        assert [step for step, _ in shown] == [step for step, _ in expected]
        assert [value for _, value in shown] == pytest.approx([value for _, value in expected])


def test_nothing_is_reported_unasked(tmp_path, log_of):
    log_of()
    assert not (tmp_path / "out" / "tensorboard").exists()


def test_weights_and_biases_gets_the_terms_and_dev_scores(log_of, monkeypatch):
    """A stand-in takes the place of the callback that transformers has for it: the library needs an account."""
    sent = []

    class Stand(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            sent.append(dict(logs))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "wandb", Stand)
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))
    sys.modules["wandb"].__spec__ = ModuleSpec("wandb", None)
    log = log_of(report_to="wandb")
    for name in ("clear/reverse", "eval_q-sw.p-en_nDCG@10"):
        expected = [entry[name] for entry in log if name in entry]
        assert len(expected) >= 2
        assert [entry[name] for entry in sent if name in entry] == pytest.approx(expected)


@pytest.mark.parametrize("library", ["tensorboard", "wandb"])
def test_a_library_that_is_not_installed_is_refused_before_anything(run, tmp_path, monkeypatch, library):
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows().records)
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    arguments = ("--model", "none", "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "new")
    refused(run("train", *arguments, "--report-to", library), f"{library}, but it is not", f"pip install {library}")
    assert not (tmp_path / "new").exists()


def lines_of(err):
    return [line.rstrip(".") for line in re.split(r"[\r\n]+", err) if re.match(r"nDCG@10|Step \d|\d+ % of", line)]


def test_a_line_for_each_evaluation_says_what_is_kept(log_of, capsys, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 2)
    log = log_of(max_steps=8, eval_steps=2)
    err = capsys.readouterr().err
    assert "model shards" not in err  # nothing but the lines and the bar
    head, *lines = lines_of(err)
    base = log[0]["dev"]["base"]
    english, swahili = "q-en.p-en", "q-sw.p-en"
    assert head.endswith(f"Before training: English {100 * base[english]:.1f}, Swahili {100 * base[swahili]:.1f}")
    evaluations = [entry for entry in log if "eval_cross_lingual_nDCG@10" in entry]
    assert len(evaluations) == 4
    shares = [100 * mixture["share"] for mixture in log[0]["dev"]["mixtures"]]
    mixtures = [f"{share:.0f} % of step 8 and {100 - share:.0f} % of the base: English " for share in shares]
    assert [line.startswith(begin) for line, begin in zip(lines[4:], mixtures, strict=True)] == [True] * len(shares)
    lines = lines[:4]
    best = float("-inf")
    for line, entry in zip(lines, evaluations, strict=True):
        scores = [(entry[f"eval_{name}_nDCG@10"], base[name]) for name in (english, swahili)]
        shown = [f"{100 * score:.1f} ({100 * (score - before):+.1f})" for score, before in scores]
        mean = entry["eval_cross_lingual_nDCG@10"]
        kept = "" if mean <= best else "; best so far" if mean >= base["mean"] else "; not as good as before training"
        assert line == f"Step {entry['step']}/8: English {shown[0]}, Swahili {shown[1]}{kept}"
        best = max(best, mean)
    assert "best so far" in lines[0] or "not as good" in lines[0]


def test_few_questions_choose_nothing(log_of, capsys):
    log_of()
    lines = lines_of(capsys.readouterr().err)
    assert len(lines) == 3
    assert not any("kept" in line or "good" in line for line in lines)


def test_a_veto_is_said(log_of, capsys, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 2)
    monkeypatch.setattr("clear_ir.evaluate.trainer_evaluator.keeps_english", lambda *_: False)
    log_of()
    lines = lines_of(capsys.readouterr().err)[1:]
    steps, mixtures = lines[: -len(SHARES) - 1], lines[-len(SHARES) - 1 :]
    assert steps
    assert "10 % of step" in mixtures[-1], "where all are rejected, one nearer to the base is tried"
    assert all("; rejected: it loses too much" in line for line in steps)
    assert all(" % of the base: " in line and line.endswith("; rejected") for line in mixtures)


def test_scores_are_means_over_the_directions_of_a_language():
    scores = {"mean": 0.5, "q-en.p-en": 0.9, "q-ha.p-en": 0.5, "q-ha.p-ha": 0.1, "q-ha.p-ig": 0.6, "q-ig.p-ig": 0.3}
    assert describe_scores(scores, {}) == "English 90.0, Hausa 55.0, Igbo 30.0"
    base = {name: score - 0.1 for name, score in scores.items()}
    assert describe_scores(scores, base) == "English 90.0 (+10.0), Hausa 55.0 (+10.0), Igbo 30.0 (+10.0)"
