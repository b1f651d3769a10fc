"""Training and dev curves: read from the log, drawn with the step that was kept."""

import json

import pytest
from test_report import make_results

from clear_ir.data.files import InputError
from clear_ir.evaluate.results import read_train_log, write_results
from clear_ir.report.figures import dev_curves, training_curves
from clear_ir.report.page import render_report

BASE = {"mean": 0.4, "q-en.p-en": 0.8, "q-sw.p-en": 0.4}


def make_log(kept=20):
    """A log of 30 steps with three checkpoints, the second of which was vetoed."""
    log = [{"step": 0, "rows_by_language": {"sw": 260}, "dev": {"kept_step": kept, "base": BASE}}]
    for step in range(1, 31):
        log.append({"step": step, "loss": 3 / step, "clear/forward": 1.0, "clear/reverse": 2.0})
        if step % 10 == 0:
            score, vetoed = step / 50, float(step == 20)
            scores = {"q-en.p-en": 0.7, "q-sw.p-en": score, "cross_lingual": score - vetoed}
            log.append({"step": step, "eval_vetoed": vetoed, "eval_runtime": 1.0})
            log[-1] |= {f"eval_{name}_nDCG@10": value for name, value in scores.items()}
    return [*log, {"step": 30, "train_runtime": 3.0, "train_loss": 1.0}]


def test_dev_curves_begin_at_the_base_and_have_no_penalty_of_a_veto():
    assert dev_curves(make_log()) == {
        "mean": {0: 0.4, 10: 0.2, 20: pytest.approx(0.4), 30: 0.6},
        "q-en.p-en": {0: 0.8, 10: 0.7, 20: 0.7, 30: 0.7},
        "q-sw.p-en": {0: 0.4, 10: 0.2, 20: 0.4, 30: 0.6},
    }
    assert dev_curves([]) == dev_curves([{"step": 0, "dev": {}}]) == dev_curves([{"step": 1, "loss": 1.0}]) == {}


def test_one_model_has_its_terms_its_directions_and_the_step_that_was_kept():
    svg = training_curves({"m": make_log()})
    for label in ("forward", "reverse", "Swahili → English", "mean", "kept: step 20", "training loss"):
        assert f">{label}<" in svg
    assert "kept: step" not in training_curves({"m": [{"step": 1, "loss": 1.0}]})


def test_several_models_have_a_curve_each():
    svg = training_curves({"one": make_log(), "two": make_log(0), "without": [{"step": 1, "loss": 1.0}]})
    assert svg.count(">one<") == svg.count(">two<") == 2
    assert svg.count(">without<") == 1
    assert "Swahili" not in svg


def test_the_page_has_the_curves_and_the_rows(tmp_path, run):
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in make_log()))
    model = make_results("m", 0.2)
    model.details = {"date": "2026-11-26", "versions": {"torch": "2"}, "max_seq_length": 256}
    model.origin = {"made_by": "trained with the loss clear", "recipe": {"train": {"alpha": 0.3, "loss": "clear"}}}
    write_results(tmp_path / "base", make_results("base", 0))
    write_results(tmp_path / "m", model, train_log=tmp_path / "log.jsonl")
    for folders in (["base", "m"], ["m"]):
        code, _, err = run("report", *(tmp_path / name for name in folders), "--out", tmp_path / "r", "--overwrite")
        assert code == 0, err
        page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
        for fact in (
            "kept: step 20",
            "evaluated on",
            "2026-11-26",
            "torch 2",
            "trained with the loss clear",
            "Swahili 260",
        ):
            assert fact in page
        assert "train:\n  alpha: 0.3\n  loss: clear\n" in page


@pytest.mark.parametrize(
    "damage",
    [
        {"dev": {"kept_step": 3, "base": {"q-sw.p-en": 0.4}}},
        {"dev": {"base": BASE}},
        {"dev": {"kept_step": "three", "base": BASE}},
        {"dev": [1]},
        {"rows_by_language": {"sw": "many"}},
        {"eval_cross_lingual_nDCG@10": "high"},
    ],
)
def test_a_damaged_log_is_one_sentence(tmp_path, damage):
    first, *rest = make_log()
    (tmp_path / "train_log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in (first | damage, *rest)))
    with pytest.raises(InputError, match=r"train_log\.jsonl, line 1 is damaged \(.*\); evaluate again\."):
        read_train_log(tmp_path)


def test_older_results_without_details_are_reported(tmp_path):
    render_report(tmp_path / "r", make_results("base", 0), [])
    assert "evaluated on" not in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
