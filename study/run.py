"""The study: every objective on every data set, one JSON a cell; a restart skips the cells that are there.

    python study/run.py --afriqa DIR --xquad DIR --ntrex DIR
    python study/run.py --afriqa DIR --xquad DIR --ntrex DIR --stage dev --minutes 60

What is run stands in matrix.yaml. Each cell goes to study/results/. It holds nDCG@10 of every question, by
merging weight and direction, so that docs/study.md can be made from the cells alone; the questions' order stands
in a file for each data set. A cell that was stopped goes on from its last checkpoint. Cells run side by side, one
processor each: on a CPU two runs with a thread each are faster than one with two.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import torch
from cells import (
    MATRIX,
    RESULTS,
    Cell,
    cell_path,
    chosen_learning_rate,
    chosen_weight,
    loss_settings,
    planned_cells,
    read_cell,
)
from machine import machine

from clear_ir.data.collection import Collection
from clear_ir.data.files import write_json, write_jsonl
from clear_ir.data.rows import TrainingRows, Translation, read_training_rows
from clear_ir.encode.models import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import Embeddings
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.merge.interpolation import merge_encoders
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings
from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.ntrex import load_ntrex
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.xquad import load_xquad
from clear_ir.train.distillation import distil_model
from clear_ir.train.run import train_model
from clear_ir.train.settings import TrainingSettings

#: Folder of the distilled models that several cells go on from, within the folder of runs.
DISTILLED = "distilled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--afriqa", type=Path, required=True, help="folder with the gold passages of AfriQA")
    parser.add_argument("--xquad", type=Path, required=True, help="folder with XQuAD's files")
    parser.add_argument("--ntrex", type=Path, help="folder with NTREX's files, for distillation")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="mined rows and checkpoints")
    parser.add_argument("--stage", choices=["dev", "test"], help="this stage only")
    parser.add_argument("--data", help="this data set only")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so many")
    parser.add_argument("--jobs", type=int, default=1 if torch.cuda.is_available() else os.cpu_count())
    given = parser.parse_args()

    given.until = time.time() + 60 * given.minutes
    left = 0
    for stage in dict.fromkeys(cell.stage for cell in planned_cells()):  # what dev chose is needed by test
        wanted = [cell for cell in planned_cells() if cell.stage == stage and given.stage in (None, stage)]
        wanted = [cell for cell in wanted if given.data in (None, cell.data) and read_cell(cell) is None]
        if left or not wanted:
            continue
        for data in dict.fromkeys(cell.data for cell in wanted):
            write_questions(data, stage, prepare(data, stage, given)[0])
        left = run_cells(wanted, given)
    if left:
        print(f"{given.minutes:g} minutes are over with {left} cells of this stage to go; run this again to go on.")
        return
    if all(read_cell(cell) for cell in planned_cells()):
        shutil.rmtree(given.runs / DISTILLED, ignore_errors=True)
    print(f"All cells asked for are in {RESULTS}. Next: make docs")


def run_cells(cells: list[Cell], given: argparse.Namespace) -> int:
    """Run cells side by side.

    Returns:
        How many were not begun because the time was over.
    """
    if given.jobs < 2:
        return sum(not run_in_time(cell, given) for cell in cells)
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // given.jobs)
    with ProcessPoolExecutor(given.jobs, context, use_threads, (threads,)) as pool:
        return sum(not done.result() for done in as_completed(pool.submit(run_in_time, cell, given) for cell in cells))


def use_threads(count: int) -> None:
    torch.set_num_threads(count)


def run_in_time(cell: Cell, given: argparse.Namespace) -> bool:
    """Run a cell unless the time is over."""
    if time.time() > given.until:
        return False
    begun = time.monotonic()
    run_cell(cell, given)
    print(f"{cell_path(cell).stem}: {time.monotonic() - begun:.0f} s", flush=True)
    return True


def run_cell(cell: Cell, given: argparse.Namespace) -> None:
    """Train, evaluate, write."""
    begun = time.monotonic()
    collection, rows_file = prepare(cell.data, cell.stage, given)
    base = load_encoder(MATRIX["model"])
    document = {"cell": vars(cell), "data_hash": collection.data_hash}
    if cell.objective == "base":
        models = {"0": base}
    else:
        rate = cell.learning_rate or chosen_learning_rate(cell.objective)
        steps = MATRIX["data"][cell.data]["dev_steps" if cell.stage == "dev" else "max_steps"]
        objective = loss_settings(cell.objective)
        texts = objective.pop("distil_on", None)
        steps *= objective.pop("times_the_steps", 1)
        changes = {**MATRIX["train"], "max_steps": steps, "learning_rate": rate}
        settings = TrainingSettings(**{**changes, **objective}, seed=cell.seed)
        folder = given.runs / cell_path(cell).stem
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)  # left by a run that was stopped while evaluating
        resumable = any(folder.with_name(folder.name + ".partial").glob("checkpoints/checkpoint-*/trainer_state.json"))
        rows, log = read_training_rows(rows_file), []
        start = MATRIX["model"]
        if texts:
            start = distilled_start(cell, texts, rows, settings, given)
        if objective:
            log = train_model(start, rows, settings, folder, resume=resumable, overwrite=not resumable)
        document |= {
            "distilled_on": texts,
            "settings": settings.model_dump(),
            "rows": len(rows.records),
            "losses": [round(entry["loss"], 4) for entry in log if "loss" in entry],
            "train_seconds": round(time.monotonic() - begun, 1),
        }
        trained = load_encoder(str(folder) if objective else start)
        tried = MATRIX["merging_weights"] if cell.stage == "dev" else sorted({chosen_weight(cell.objective), 1.0})
        models = {f"{weight:g}": merge_encoders(base, trained, weight) for weight in tried if weight > 0}
        shutil.rmtree(folder, ignore_errors=True)
    bf16 = {**MATRIX["train"], **loss_settings(cell.objective)}["precision"] == "bf16"
    document["scores"] = {weight: scores_of(model, collection, bf16) for weight, model in models.items()}
    document |= {
        "seconds": round(time.monotonic() - begun, 1),
        "versions": {name: version(name) for name in ("clear-ir", "sentence-transformers", "torch")},
        "machine": machine(),
    }
    write_json(cell_path(cell), document)


def prepare(data: str, stage: str, given: argparse.Namespace) -> tuple[Collection, Path]:
    """The collection of a data set, and its mined rows, which every cell shares."""
    plan = MATRIX["data"][data]
    langs = [*plan["langs"], *plan.get("unseen", [])]
    prepared = {"afriqa": load_afriqa, "xquad": load_xquad}[plan["dataset"]](
        getattr(given, plan["dataset"]), langs, stage
    )
    collection = small_pool(prepared) if stage == "dev" else prepared.collection
    rows_file = given.runs / f"{stage}-{data}.jsonl"
    if not rows_file.exists():
        mined = mine_hard_negatives(
            TextEncoder(load_encoder(MATRIX["model"])), prepared.rows, MiningSettings(**MATRIX["mine"])
        )
        write_jsonl(rows_file, mined.records)
    return collection, rows_file


def write_questions(data: str, stage: str, collection: Collection) -> None:
    """The order in which the cells of a data set hold the questions' scores."""
    order = {
        str(direction): [collection.queries[query].parallel_id or query for query in collection.judged(direction)]
        for direction in directions_of(collection)
    }
    questions = {direction: " ".join(found) for direction, found in order.items()}
    write_json(RESULTS / f"questions-{stage}-{data}.json", {"data_hash": collection.data_hash, "questions": questions})


def distilled_start(
    cell: Cell, texts: str, rows: TrainingRows, settings: TrainingSettings, given: argparse.Namespace
) -> str:
    """The distilled encoder that a cell goes on from; cells that differ in what comes after it share it.

    Args:
        cell: The cell.
        texts: ``queries`` of the rows, ``ntrex``, or ``queries and ntrex``.
        rows: The cell's rows.
        settings: The cell's settings, of which the rate, the lengths and the seed hold here too.
        given: The command line.

    Returns:
        The model folder.
    """
    source = f"{texts}-{cell.stage}-{cell.data}".replace(" ", "-")
    shared = given.runs / DISTILLED / f"{source}-lr{settings.learning_rate:g}-seed{settings.seed}"
    if not shared.exists():
        own = shared.with_name(f"{shared.name}.{os.getpid()}")
        own.parent.mkdir(parents=True, exist_ok=True)
        model = load_encoder(MATRIX["model"])
        model.max_seq_length = settings.max_seq_length
        longer = settings.model_copy(update={"distil_steps": MATRIX["distil_steps"]})
        distil_model(model, pairs_of(texts, rows, given), longer, own)
        if shared.exists():  # made by the cell beside this one meanwhile
            shutil.rmtree(own)
        else:
            own.rename(shared)
    return str(shared)


def pairs_of(texts: str, rows: TrainingRows, given: argparse.Namespace) -> list[Translation]:
    """English texts and their translations: the rows' queries, NTREX's sentences in the rows' languages, or both."""
    if " and " in texts:
        return [pair for each in texts.split(" and ") for pair in pairs_of(each, rows, given)]
    if texts == "queries":
        return [Translation(record["anchor"], record["cross_anchor"]) for record in rows.records]
    return load_ntrex(given.ntrex, sorted({record["lang"] for record in rows.records})).translations


def small_pool(prepared: Prepared) -> Collection:
    """Dev questions against the passages of training and dev rows alone, which takes seconds."""
    found = prepared.collection
    wanted = {row.passage_id for row in prepared.rows} | {p for judged in found.qrels.values() for p in judged}
    passages = {name: text for name, text in found.passages.items() if name in wanted}
    return Collection(found.name, passages, found.queries, found.qrels, found.split)


def directions_of(collection: Collection) -> list:
    """English on at least one side, or one language on both."""
    return [d for d in collection.directions if "en" in (d.query_lang, d.passage_lang) or not d.crosses]


def scores_of(model, collection: Collection, bf16: bool) -> dict[str, str]:
    """By direction, nDCG@10 of each question in the questions' order."""
    directions = directions_of(collection)
    model.max_seq_length = MATRIX["evaluation_max_seq_length"]
    with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        embeddings = Embeddings(TextEncoder(model, show_progress=False), collection, directions)
    scores = {}
    for direction in directions:
        per_query = embeddings.evaluate(direction).per_query
        scores[str(direction)] = " ".join(f"{per_query[q][MAIN_MEASURE]:.4g}" for q in collection.judged(direction))
    return scores


if __name__ == "__main__":
    main()
