"""The quickstart with the real encoder and data, cut to three steps and one language."""

import json

import clear_ir.quickstart
from clear_ir.quickstart import SUMMARY_FILE, run_quickstart
from clear_ir.recipes.recipe import load_recipe


def test_every_stage_runs_and_something_is_learned(tmp_path, monkeypatch, capsys):
    short = {"train": {"max_steps": 3, "precision": "fp32", "batch_size": 16}}
    monkeypatch.setattr(clear_ir.quickstart, "load_recipe", lambda name, flags: load_recipe(name, short))
    differences = run_quickstart(tmp_path / "q", ["ha"])
    assert [difference.direction for difference in differences] == ["q-en.p-en", "q-ha.p-en"]
    assert differences[1].change != 0
    made = sorted(path.name for path in (tmp_path / "q").iterdir())
    assert made == ["collection", "model", "report", "results", "rows.jsonl", SUMMARY_FILE, "train.jsonl"]
    summary = json.loads((tmp_path / "q" / SUMMARY_FILE).read_text())
    assert summary["differences"][1]["value"] == differences[1].value
    shown = capsys.readouterr().out
    assert "| q-ha.p-en |" in shown
    assert f"{tmp_path / 'q' / 'report' / 'report.html'}" in shown
    assert "Next, your own data: clear-ir prepare rows" in shown
