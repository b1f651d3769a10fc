"""The study's driver and tables on a tiny matrix: every cell is run once, and a stopped study goes on."""

import json
import random
import re
import sys
from types import SimpleNamespace

import cells
import gains
import numpy as np
import pytest
import report
import run
from tiny import WORDS

OBJECTIVES = {
    "infonce": {"loss": "infonce"},
    "infonce-both": {"loss": "infonce-both"},
    "clear + cross + guard": {"loss": "clear", "alpha": 0.3, "beta": 0.1, "gamma": 0.3, "guard": 0.5},
    "distil on queries": {"distil_on": "queries"},
    "distil on NTREX": {"distil_on": "ntrex"},
    "distil on queries, then clear": {"distil_on": "queries", "loss": "clear"},
    "distil on NTREX, then infonce, 2x the steps": {"distil_on": "ntrex", "loss": "infonce", "times_the_steps": 2},
}


def words(*seed):
    return " ".join(random.Random(str(seed)).choices(WORDS, k=6))


@pytest.fixture
def study(tmp_path, monkeypatch, tiny_folder):
    for number, (split, count) in enumerate([("train", 24), ("dev", 12), ("test", 12)]):
        records = [
            {
                "id": i,
                "question_lang": words(i, number, 1),
                "question_translated": words(i, number, 2),
                "context": words(i, number, 3),
            }
            for i in range(count)
        ]
        path = tmp_path / f"gold_span_passages.afriqa.hau.en.{split}.json"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    for name in ("newstest2019-src.eng.txt", "newstest2019-ref.hau.txt"):
        (tmp_path / name).write_text("".join(words(i, len(name)) + "\n" for i in range(20)))
    matrix = {
        "model": str(tiny_folder),
        "mine": {"num_negatives": 1, "range_min": 0, "range_max": 5},
        "train": {"batch_size": 8, "max_seq_length": 16, "dev_share": 0.0, "precision": "fp32"},
        "evaluation_max_seq_length": 32,
        "distil_steps": 3,
        "merging_weights": [0.5, 1.0],
        "max_english_loss": 100,
        "level": 0.5,
        "default": "clear + cross + guard",
        "figure": list(OBJECTIVES),
        "objectives": OBJECTIVES,
        "data": {"afriqa-hau": {"dataset": "afriqa", "langs": ["hau"], "max_steps": 2, "dev_steps": 2}},
        "stages": [
            {"name": "dev", "data": ["afriqa-hau"], "seeds": [0], "learning_rates": [1e-3, 1e-2]},
            {"name": "test", "data": ["afriqa-hau"], "seeds": [0, 1]},
        ],
    }
    for stage in matrix["stages"]:
        stage["objectives"] = list(OBJECTIVES)
    monkeypatch.setattr(sys, "argv", ["run.py", *f"--afriqa {tmp_path} --xquad {tmp_path}".split()])
    sys.argv += ["--ntrex", str(tmp_path), "--runs", str(tmp_path / "runs"), "--jobs", "1"]
    for module in (cells, report, run):
        monkeypatch.setattr(module, "MATRIX", matrix)
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(gains, "MATRIX", matrix)
    report.found_on.cache_clear()
    return tmp_path


def test_a_study_from_the_first_cell_to_the_tables(study, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="Run the dev stage first"):
        cells.chosen_learning_rate("infonce")
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--minutes", "0"])
    run.main()
    assert "15 cells of this stage to go" in capsys.readouterr().out
    sys.argv[-1] = "60"
    run.main()
    made = sorted((study / "results").glob("*seed*.json"))
    assert len(made) == len(cells.planned_cells()) == (1 + 2 * len(OBJECTIVES)) * 2
    assert not [path for path in (study / "runs").iterdir() if path.is_dir()], "models and checkpoints are gone"
    documents = {path.stem: json.loads(path.read_text()) for path in made}
    scores = {name: json.dumps(document["scores"]) for name, document in documents.items()}
    assert len({scores[f"test-afriqa-hau-{name}-seed0"] for name in ("base", "infonce", "distil-on-queries")}) == 3
    trained = documents["test-afriqa-hau-clear+cross+guard-seed1"]
    assert trained["settings"]["guard"] == 0.5
    assert trained["settings"]["learning_rate"] == cells.chosen_learning_rate("clear + cross + guard")
    assert len(trained["losses"]) == 2
    longer = documents["test-afriqa-hau-distil-on-NTREX-then-infonce-2x-the-steps-seed0"]
    assert len(longer["losses"]) == 4
    assert longer["losses"] != documents["test-afriqa-hau-infonce-seed0"]["losses"]
    assert longer["distilled_on"] == "ntrex"

    times = [path.stat().st_mtime_ns for path in made]
    run.main()
    assert [path.stat().st_mtime_ns for path in made] == times, "nothing is run twice"

    assert "15 of 15" in report.progress_table()
    assert re.search(r"\| distil on queries, then clear +\| +0\.01 ", report.dev_table())
    table = report.test_table("afriqa-hau")
    assert "the strongest baseline on dev" in table
    assert table.count("; p ") >= 2 * (len(OBJECTIVES) - 1)
    assert report.language_table("afriqa-hau").count("\n") == table.count("\n")
    assert re.search(r"\| afriqa-hau \| clear \+ cross \+ guard ", report.default_table())
    gained = re.search(r"q-hau.p-en \| +([\d.]+) \| +([+-][\d.]+) % \(", gains.gain_table())
    best, infonce = (
        np.mean([cells.means(cells.Cell("test", "afriqa-hau", name, seed), "1")["q-hau.p-en"] for seed in (0, 1)])
        for name in ("clear + cross + guard", "infonce")
    )
    assert gained, gains.gain_table()
    assert [float(found) for found in gained.groups()] == pytest.approx(
        [100 * infonce, 100 * (best / infonce - 1)], abs=0.1
    )
    assert report.precision_table() == "Not run yet."
    assert "infonce-both" in report.knee_figure()


def test_models_are_held_against_the_baseline_that_was_trained_as_long():
    names = ["base", "infonce", "clear", "distil on queries", "distil on queries, then clear, merged 0.5"]
    longer = ["infonce, 3x the steps", "clear, 3x the steps, merged 0.5"]
    found = SimpleNamespace(by_name=dict.fromkeys(names))
    assert [group[1:] for group in gains._groups(found)] == [("infonce", names[2:])]
    found.by_name |= dict.fromkeys(longer)
    assert gains._groups(found) == [
        ("", "infonce", names[2:]),
        (", 3x the steps", longer[0], longer[1:]),
        (", distilled; infonce, 3x the steps", longer[0], names[-1:]),
    ]


def test_of_level_learning_rates_the_one_that_keeps_more_english_is_chosen(study, monkeypatch):
    scores = {1e-3: {"q-en.p-en": 0.9, "q-hau.p-en": 0.400}, 1e-2: {"q-en.p-en": 0.8, "q-hau.p-en": 0.404}}
    monkeypatch.setattr(cells, "read_cell", lambda cell: {})
    monkeypatch.setattr(cells, "means", lambda cell, weight: scores[cell.learning_rate])
    assert cells.chosen_learning_rate("infonce") == 1e-3
    cells.MATRIX["objectives"] = OBJECTIVES | {"fixed": {"like": "infonce", "learning_rate": 1e-2}}
    assert cells.chosen_learning_rate("fixed") == 1e-2
    scores[1e-2]["q-hau.p-en"] = 0.406
    assert cells.chosen_learning_rate("infonce") == 1e-2


def test_means_over_seeds_are_those_of_the_questions(study):
    run.main()
    both = [cells.Cell("test", "afriqa-hau", "infonce", seed) for seed in (0, 1)]
    expected = sum(cells.means(cell, "1")["q-hau.p-en"] for cell in both) / 2
    found = report._mean_over_seeds(both, "1")["q-hau.p-en"]
    assert found.mean("nDCG@10") == pytest.approx(expected)
    assert len(found.per_query) == 12
