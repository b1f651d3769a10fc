"""The study's driver and tables on a tiny matrix: every cell is run once, and a stopped study goes on."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import kill_at

from clear_ir.data.files import InputError
from study import cell_run, run
from study.alone_table import alone_table
from study.cells import Cell
from study.choices import chosen_learning_rate
from study.cost_tables import cost_figure, cost_table
from study.default_tables import default_table, summary_table
from study.dev_tables import NOT_RUN, dev_table, merging_figure, progress_table
from study.experiment import Experiment
from study.gain_table import comparisons, gain_table
from study.matrix import PLANS, parse_matrix, read_matrix
from study.objective_tables import language_table, objective_table, precision_table
from study.results import ResultFiles
from study.scores import mean_over_seeds
from study.setting_tables import data_table, objective_settings_table, setting_table
from study.variant_table import variant_table

ROOT = Path(__file__).resolve().parents[2]


def test_a_study_from_the_first_cell_to_the_tables(study, tmp_path, capsys):
    experiment = study.experiment()
    with pytest.raises(InputError, match="Run the dev stage first"):
        chosen_learning_rate(experiment, "infonce")
    run.main([*study.arguments(), "--minutes", "0"])
    assert "20 cells of this stage to go" in capsys.readouterr().out
    run.main([*study.arguments(), "--minutes", "60"])
    made = sorted((tmp_path / "results").glob("*.json"))
    assert [path.name for path in made] == ["dev-afriqa-ha.json", "test-afriqa-ha.json"]
    documents = {path.stem: json.loads(path.read_text())["cells"] for path in made}
    objectives = study.matrix["objectives"]
    assert sum(map(len, documents.values())) == len(experiment.cells) == (1 + 2 * len(objectives)) * 2 - 1
    assert all(experiment.results.has(cell) for cell in experiment.cells)
    assert not [path for path in (tmp_path / "runs").iterdir() if path.is_dir()], "models and checkpoints are gone"
    cells = documents["test-afriqa-ha"]
    scores = {name: json.dumps(cell["scores"]) for name, cell in cells.items()}
    assert len({scores[f"{name}, seed 0"] for name in ("base", "infonce", "distil on queries")}) == 3
    trained = cells["clear + cross + guard, seed 1"]
    assert trained["settings"]["guard"] == 0.5
    assert trained["settings"]["learning_rate"] == chosen_learning_rate(experiment, "clear + cross + guard")
    assert len(trained["losses"]) == 2
    aligned = cells["align, seed 0"]
    assert aligned["settings"] == {}
    assert aligned["scores"]["1"]["q-en.p-en"]
    longer = cells["distil on NTREX, then infonce, 2x the steps, seed 0"]
    assert len(longer["losses"]) == 4
    assert longer["losses"] != cells["infonce, seed 0"]["losses"]
    assert longer["distilled_on"] == "ntrex"

    times = [path.stat().st_mtime_ns for path in made]
    run.main(study.arguments())
    assert [path.stat().st_mtime_ns for path in made] == times, "nothing is run twice"

    assert "20 of 20" in progress_table(experiment)
    assert re.search(r"\| distil on queries, then clear +\| +0\.01 ", dev_table(experiment))
    table = objective_table(experiment, "afriqa-ha")
    assert "the strongest baseline on dev" in table
    assert table.count("; p ") >= 2 * (len(objectives) - 1)
    assert language_table(experiment, "afriqa-ha").count("\n") == table.count("\n")
    lead = re.search(r"\| afriqa-ha \| clear \+ cross \+ guard +\| +([^|]+?) +\|", default_table(experiment))
    assert lead
    summary = summary_table(experiment)
    assert re.search(rf"\| Hausa .* \| +{re.escape(lead[1])} \| .* x \d+\.\d \|", summary), summary
    gained = re.search(r"q-ha.p-en \| +([\d.]+) \| +([+-][\d.]+) % \(", gain_table(experiment))
    default, infonce = (
        np.mean([experiment.results.means(Cell("test", "afriqa-ha", name, seed), "1")["q-ha.p-en"] for seed in (0, 1)])
        for name in ("clear + cross + guard", "infonce")
    )
    assert gained, gain_table(experiment)
    assert [float(value) for value in gained.groups()] == pytest.approx(
        [100 * infonce, 100 * (default / infonce - 1)], abs=0.1
    )
    assert precision_table(experiment) == "Not run yet."
    cost = cost_table(experiment, "afriqa-ha")
    assert re.search(r"\| queries alone +\| +2 \| +0\.\d \|( +\d+\.\d \|){2} +-?\d+ % \|", cost), cost
    assert "queries alone" in cost_figure(experiment, "afriqa-ha")
    assert "infonce-both" in merging_figure(experiment)
    assert re.search(r"in training, passages too, are cut at *\| 16 tokens", setting_table(experiment))
    assert re.search(r"\| test +\| afriqa-ha +\| Hausa +\| +36 \| +2 \| +12 \|", data_table(experiment))
    assert "0.3 forward + 0.3 reverse + 0.1 KL + 0.3 cross + 0.5 guard" in objective_settings_table(experiment)


def test_a_killed_study_keeps_its_cells_and_goes_on_from_the_checkpoint(study, tmp_path, monkeypatch):
    objectives = {"objectives": ["infonce"]}
    study.matrix["stages"] = [study.matrix["stages"][0] | {"learning_rates": [1e-3]} | objectives]
    study.matrix["data"]["afriqa-ha"]["dev_steps"] = 12
    study.matrix["train"]["eval_steps"] = 2
    experiment = study.experiment()
    base, cell = experiment.cells
    command = {"args": [sys.executable, "-m", "study.run", *study.arguments()], "cwd": ROOT}
    checkpoint = tmp_path / "runs" / f"{cell.folder_name}.partial" / "checkpoints" / "checkpoint-2"
    kill_at(command, checkpoint / "trainer_state.json")
    assert experiment.results.has(base)
    assert not experiment.results.has(cell)

    resumed = []
    train_model = cell_run.train_model
    monkeypatch.setattr(
        cell_run, "train_model", lambda *a, **k: (resumed.append(k["resume"]), train_model(*a, **k))[-1]
    )
    run.main(study.arguments())
    run.main(study.arguments("undisturbed"))
    assert resumed == [True, False]
    entries = [results.read(cell) for results in (experiment.results, ResultFiles(tmp_path / "undisturbed"))]
    assert len(entries[0]["losses"]) == 12
    assert entries[0]["losses"] == entries[1]["losses"]
    assert entries[0]["scores"] == entries[1]["scores"]


def test_models_are_held_against_the_baseline_that_was_trained_as_long():
    names = ["base", "infonce", "clear", "distil on queries", "distil on queries, then clear, merged 0.5"]
    longer = ["infonce, 3x the steps", "clear, 3x the steps, merged 0.5"]
    assert [comparison[1:] for comparison in comparisons(names)] == [("infonce", names[2:])]
    assert comparisons([*names, *longer]) == [
        ("", "infonce", names[2:]),
        (", 3x the steps", longer[0], longer[1:]),
        (", distilled; infonce, 3x the steps", longer[0], names[-1:]),
    ]


class MeansByRate(ResultFiles):
    """Results whose means a test sets by learning rate."""

    def __init__(self, by_rate):
        self.by_rate = by_rate

    def has(self, cell):
        return True

    def means(self, cell, weight):
        return self.by_rate[cell.learning_rate]


def test_of_level_learning_rates_the_one_that_keeps_more_english_is_chosen(study):
    means = {1e-3: {"q-en.p-en": 0.9, "q-ha.p-en": 0.400}, 1e-2: {"q-en.p-en": 0.8, "q-ha.p-en": 0.404}}
    study.matrix["objectives"] |= {"fixed": {"like": "infonce", "learning_rate": 1e-2}}
    experiment = Experiment(parse_matrix(study.matrix), MeansByRate(means))
    assert chosen_learning_rate(experiment, "infonce") == 1e-3
    assert chosen_learning_rate(experiment, "fixed") == 1e-2
    means[1e-2]["q-ha.p-en"] = 0.406
    assert chosen_learning_rate(experiment, "infonce") == 1e-2


def test_means_over_seeds_are_those_of_the_questions(study):
    experiment = study.experiment()
    run.main(study.arguments())
    both = [Cell("test", "afriqa-ha", "infonce", seed) for seed in (0, 1)]
    expected = sum(experiment.results.means(cell, "1")["q-ha.p-en"] for cell in both) / 2
    averaged = mean_over_seeds(experiment, both, "1")["q-ha.p-en"]
    assert averaged.mean("nDCG@10") == pytest.approx(expected)
    assert len(averaged.per_query) == 12


def test_languages_alone_stand_beside_all_of_them(study):
    directions = ["q-en.p-en", "q-ha.p-en", "q-zu.p-en"]
    alone = {"title": "One", "dataset": "afriqa", "max_steps": 2}
    data = {"all": {**alone, "langs": ["ha", "zu"]}, "all-ha": {**alone, "langs": ["ha"]}}
    data["all-zu"] = {**alone, "langs": ["zu"]}
    study.matrix["data"] = data
    objectives = ["infonce", "clear + cross + guard", "align"]
    study.matrix["stages"] = [{"name": "test", "data": list(data), "seeds": [0], "objectives": objectives}]
    experiment = study.experiment()
    assert alone_table(experiment, "all") == NOT_RUN
    scores = {}
    draw = np.random.default_rng(0)
    for cell in experiment.cells:
        experiment.results.add_questions("test", cell.data, "hash", {d: ["a", "b", "c"] for d in directions})
        scores[cell] = {d: draw.integers(0, 10, 3) / 10 for d in directions}
        lines = {d: " ".join(map(str, values)) for d, values in scores[cell].items()}
        experiment.results.add(cell, "hash", {"scores": {"1": lines}})
    rows = [[cell.strip() for cell in line.split("|")] for line in alone_table(experiment, "all").splitlines()]
    assert rows[0][1:6] == ["method", "trained on", *directions]
    assert rows[0][6] == "the language itself, over infonce"
    by_name = {tuple(row[1:3]): row[3:] for row in rows[2:] if len(row) > 3}
    assert len(by_name) == 1 + 3 * 3
    for (name, lang), shown in by_name.items():
        cell = Cell("test", f"all-{lang}" if lang not in ("", "all") else "all", name)
        assert shown[:3] == [f"{100 * scores[cell][d].mean():.1f}" for d in directions]
        if name == "clear + cross + guard" and lang != "all":
            own = scores[cell][f"q-{lang}.p-en"] - scores[Cell("test", f"all-{lang}", "infonce")][f"q-{lang}.p-en"]
            assert shown[3].startswith(f"{100 * own.mean():+.1f} (")
        else:
            assert shown[3] == ""


def test_variants_are_means_over_seeds(study):
    data = {"title": "One", "dataset": "xquad", "langs": ["de"], "max_steps": 2, "dev_steps": 2}
    study.matrix["data"] = {"xquad": data}
    stage = {"name": "dev", "data": ["xquad"], "seeds": [0, 1], "learning_rates": [1e-3], "objectives": ["infonce"]}
    study.matrix["stages"] = [stage]
    experiment = study.experiment()
    assert variant_table(experiment) == NOT_RUN
    directions = ["q-en.p-en", "q-de.p-en", "q-en.p-de", "q-de.p-de"]
    experiment.results.add_questions("dev", "xquad", "hash", {d: ["a", "b"] for d in directions})
    for number, cell in enumerate(experiment.cells):
        lines = {d: f"0.{number} 0.{i}" for i, d in enumerate(directions)}
        weight = "0" if cell.objective == "base" else "1"
        entry = {"scores": {weight: lines}, "pools": {weight: {"complete": number / 10}}}
        experiment.results.add(cell, "hash", entry)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in variant_table(experiment).splitlines()[:4]]
    assert rows[0][3:] == ["q-en.p-en", "q-L.p-en", "q-en.p-L", "q-L.p-L", "Complete@10"]
    assert rows[2] == ["xquad", "base", "1", "0.0", "5.0", "10.0", "15.0", "0.0"]
    assert rows[3] == ["xquad", "infonce", "2", "7.5", "12.5", "17.5", "22.5", "15.0"]


def test_an_objective_takes_over_the_settings_of_the_one_that_it_is_like(study):
    matrix = read_matrix(PLANS["minilm"])
    like = matrix.objective("clear + cross, fp32")
    assert like.training == matrix.objective("clear + cross").training | {"precision": "fp32"}
    study.matrix["levels"] = 1
    with pytest.raises(InputError, match="field levels"):
        parse_matrix(study.matrix)
