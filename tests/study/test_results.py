"""The files of results: nothing is lost when processes write at once, fail or bring other data."""

import json
import multiprocessing

import pytest

from clear_ir.data.files import InputError
from study import results
from study.cells import Cell
from study.experiment import Experiment
from study.matrix import PLANS
from study.results import ResultFiles

QUESTIONS = {"q-en.p-en": ["a", "b"], "q-de.p-en": ["a", "b"]}
ENTRY = {
    "settings": {"loss": "clear", "alpha": 0.4},
    "losses": [1.5, 0.25],
    "scores": {"1": {"q-en.p-en": "1 0.6309", "q-de.p-en": "0 0.5"}},
}


def add_cells(folder, objective, barrier):
    files = ResultFiles(folder)
    barrier.wait()
    for seed in range(20):
        files.add(Cell("test", "xquad-de", objective, seed), "hash", ENTRY)


def test_two_processes_write_cells_of_one_data_set_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=add_cells, args=(tmp_path, name, barrier)) for name in ("clear", "infonce")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    files = ResultFiles(tmp_path)
    cells = [Cell("test", "xquad-de", name, seed) for name in ("clear", "infonce") for seed in range(20)]
    assert all(files.read(cell) == ENTRY for cell in cells)
    assert [path.name for path in tmp_path.glob("*.json*")] == ["test-xquad-de.json"]


def test_a_cell_is_read_as_it_was_added_one_line_a_direction(tmp_path):
    files, cell = ResultFiles(tmp_path), Cell("dev", "afriqa", "clear, JS", 1, 3e-4)
    files.add_questions("dev", "afriqa", "hash", QUESTIONS)
    assert not files.has(cell)
    files.add(cell, "hash", ENTRY)
    assert files.has(cell)
    assert not files.has(Cell("dev", "afriqa", "clear, JS", 1))
    assert files.read(cell) == ENTRY
    assert files.questions("dev", "afriqa") == QUESTIONS
    assert files.means(cell, "1") == {"q-en.p-en": (1 + 0.6309) / 2, "q-de.p-en": 0.25}
    assert (tmp_path / "dev-afriqa.json").read_text().splitlines()[7:] == [
        '  "clear, JS, seed 1, learning rate 0.0003": {',
        '   "settings": {"loss": "clear", "alpha": 0.4},',
        '   "losses": [1.5, 0.25],',
        '   "scores": {',
        '    "1": {',
        '     "q-en.p-en": "1 0.6309",',
        '     "q-de.p-en": "0 0.5"',
        "    }",
        "   }",
        "  }",
        " }",
        "}",
    ]


def test_a_failed_write_leaves_the_earlier_cells(tmp_path, monkeypatch):
    files, first, second = ResultFiles(tmp_path), *(Cell("test", "afriqa", name) for name in ("base", "clear"))
    files.add(first, "hash", ENTRY)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="disk full"):
        patched.setattr(results.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        files.add(second, "hash", ENTRY)
    assert files.has(first)
    assert not files.has(second)
    files.add(second, "hash", ENTRY)
    assert files.has(second), "the lock was let go"


def test_cells_of_other_data_are_refused(tmp_path):
    files, cell = ResultFiles(tmp_path), Cell("test", "afriqa", "base")
    files.add_questions("test", "afriqa", "hash", QUESTIONS)
    files.add(cell, "hash", ENTRY)
    with pytest.raises(InputError, match="scores on other data"):
        files.add(Cell("test", "afriqa", "clear"), "another hash", ENTRY)
    with pytest.raises(InputError, match="cells with other questions"):
        files.add_questions("test", "afriqa", "hash", {"q-en.p-en": ["b", "a"]})
    with pytest.raises(InputError, match="has no cell 'clear, seed 0'"):
        files.read(Cell("test", "afriqa", "clear"))


@pytest.mark.parametrize("plan", PLANS)
def test_the_committed_results_are_those_of_planned_cells_in_the_format_that_is_written(plan):
    experiment = Experiment.of_plan(plan)
    planned = {(experiment.results.path(cell.stage, cell.data), cell.key) for cell in experiment.cells}
    for path in experiment.results.folder.glob("*.json"):
        text = path.read_text()
        document = json.loads(text)
        assert {(path, key) for key in document["cells"]} <= planned
        assert results.format_document(document) + "\n" == text
