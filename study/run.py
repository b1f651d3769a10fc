"""Run the study: every cell of a plan that has not been run yet.

    python -m study.run --afriqa DIR --xquad DIR --encoder DIR
    python -m study.run --afriqa DIR --xquad DIR --encoder DIR --stage dev --minutes 60
    python -m study.run --afriqa DIR --xquad DIR --plan minilm

A finished cell is kept in study/results at once, and a cell that was stopped goes on from its last checkpoint, so the
same command goes on with an interrupted study. Cells run side by side, one processor each: on a CPU two runs with a
thread each are faster than one with two.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch

from clear_ir.data.files import InputError
from study.cell_run import DISTILLED, Folders, prepare_data, question_order, run_cell
from study.cells import Cell
from study.experiment import Experiment
from study.matrix import PLANS, StageName, read_matrix
from study.results import RESULTS_FOLDER, ResultFiles

RUNS = Path("runs/study")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command.

    Args:
        arguments: Of the command line; None takes the process's.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--afriqa", type=Path, required=True, help="folder with the gold passages of AfriQA")
    parser.add_argument("--xquad", type=Path, required=True, help="folder with XQuAD's files")
    parser.add_argument("--ntrex", type=Path, help="folder with NTREX's files, for distillation")
    parser.add_argument("--runs", type=Path, help=f"mined rows and checkpoints, default: {RUNS}/PLAN")
    parser.add_argument("--plan", choices=list(PLANS), default="e5-small", help="what to run, default: %(default)s")
    parser.add_argument("--matrix", type=Path, help="what to run: another file than that of the plan")
    parser.add_argument("--results", type=Path, help="folder of finished cells; default: that of the plan")
    parser.add_argument("--encoder", type=Path, help="folder of the matrix's encoder; default: it is loaded by name")
    parser.add_argument("--stage", choices=["dev", "test"], help="run this stage only")
    parser.add_argument("--data", help="run this data set only")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so many")
    parser.add_argument("--jobs", type=int, help="cells at a time; default: one a processor, one on a GPU")
    options = parser.parse_args(arguments)

    runs = options.runs or RUNS / options.plan
    folders = Folders(options.afriqa, options.xquad, options.ntrex, runs, options.encoder)
    num_jobs = options.jobs or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    deadline = time.time() + 60 * options.minutes
    try:
        matrix = read_matrix(options.matrix or PLANS[options.plan])
        experiment = Experiment(matrix, ResultFiles(options.results or RESULTS_FOLDER / options.plan))
        num_left = run_stages(experiment, folders, options.stage, options.data, deadline, num_jobs)
    except InputError as error:
        raise SystemExit(str(error)) from None
    if num_left:
        print(
            f"{options.minutes:g} minutes are over with {num_left} cells of this stage to go; run this again to go on."
        )
    else:
        print("All these cells have been run. Next: make docs")


def run_stages(
    experiment: Experiment,
    folders: Folders,
    stage: StageName | None,
    data: str | None,
    deadline: float,
    num_jobs: int,
) -> int:
    """Run the cells that are left, one stage after the other.

    Args:
        experiment: Plan and results.
        folders: Data and working files.
        stage: This one only; None runs both, test only once dev is complete.
        data: This data set only; None runs all.
        deadline: No cell is begun after this time, in seconds since 1970.
        num_jobs: Cells at a time.

    Returns:
        How many cells of the first incomplete stage were not begun because the time was over.
    """
    for name in dict.fromkeys(cell.stage for cell in experiment.cells):  # test needs what dev chose
        cells = [cell for cell in experiment.stage_cells(name) if not experiment.results.has(cell)]
        cells = [cell for cell in cells if stage in (None, name) and data in (None, cell.data)]
        for data_name in dict.fromkeys(cell.data for cell in cells):
            collection, _ = prepare_data(data_name, name, experiment.matrix, folders)
            experiment.results.add_questions(name, data_name, collection.data_hash, question_order(collection))
        if num_left := _run_cells(cells, experiment, folders, deadline, num_jobs):
            return num_left
    if all(experiment.results.has(cell) for cell in experiment.cells):
        shutil.rmtree(folders.runs / DISTILLED, ignore_errors=True)
    return 0


def _run_cells(cells: list[Cell], experiment: Experiment, folders: Folders, deadline: float, num_jobs: int) -> int:
    """Run cells side by side; gives how many were not begun because the time was over."""
    if num_jobs < 2:
        return sum(not _run_in_time(cell, experiment, folders, deadline) for cell in cells)
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // num_jobs)
    with ProcessPoolExecutor(num_jobs, context, torch.set_num_threads, (threads,)) as pool:
        jobs = [pool.submit(_run_in_time, cell, experiment, folders, deadline) for cell in cells]
        return sum(not job.result() for job in as_completed(jobs))


def _run_in_time(cell: Cell, experiment: Experiment, folders: Folders, deadline: float) -> bool:
    """Run a cell unless the time is over; tells whether it was run."""
    if time.time() > deadline:
        return False
    begun = time.monotonic()
    run_cell(cell, experiment, folders)
    print(f"{cell.stage} {cell.data}: {cell.key}: {time.monotonic() - begun:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    main()
