"""Run one cell: train the encoder with one objective, merge it with the base, evaluate, keep the scores."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from benchmarks.machine import machine
from clear_ir.align.alignment import AlignmentTexts, align_model
from clear_ir.align.dev_scores import DevQuestions
from clear_ir.align.maps import SideMaps
from clear_ir.align.settings import AlignSettings, Method
from clear_ir.data.collection import Collection
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import Translation
from clear_ir.data.training_rows import TrainingRows, read_training_rows
from clear_ir.encode.architecture import limit_length
from clear_ir.encode.cache import default_cache
from clear_ir.encode.mixed_weights import merge_encoders
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import Embeddings
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.ntrex import load_ntrex
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.xquad import load_xquad
from clear_ir.train.corpus import PassageSource
from clear_ir.train.distillation import distil_model
from clear_ir.train.run import train_model
from clear_ir.train.run_folder import RunFolder
from clear_ir.train.settings import TrainingSettings
from study.cells import BASE, Cell
from study.choices import chosen_learning_rate, chosen_weight
from study.directions import evaluated_directions
from study.experiment import Experiment
from study.matrix import Matrix, StageName

#: Folder of the distilled models from which several cells start, within the folder of runs.
DISTILLED = "distilled"
#: What is kept of the verdict of dev questions, where a cell has any.
KEPT = ("questions", "kept_step", "last_step", "share", "mixtures")


@dataclass(frozen=True)
class Folders:
    """Where the data sets lie, and where cells leave what they need while they run.

    Args:
        afriqa: The gold passages of AfriQA.
        xquad: XQuAD's files.
        ntrex: NTREX's files; None if no cell distils on them.
        runs: Mined rows, distilled models and checkpoints.
        encoder: The encoder's folder; None loads it by the name that the matrix has.
    """

    afriqa: Path
    xquad: Path
    ntrex: Path | None
    runs: Path
    encoder: Path | None = None

    def start(self, matrix: Matrix) -> str:
        """What `load_encoder` takes for the encoder before training."""
        return str(self.encoder or matrix.model)


def run_cell(cell: Cell, experiment: Experiment, folders: Folders) -> None:
    """Train, evaluate and keep one cell. A cell that was stopped goes on from its last checkpoint.

    Args:
        cell: Which one.
        experiment: Plan and results; the cell is added to the results.
        folders: Data and working files.

    Raises:
        InputError: If data are missing, or the dev stage has not chosen a learning rate yet.
    """
    begun, processor_begun = time.monotonic(), time.process_time()
    matrix = experiment.matrix
    collection, rows_file = prepare_data(cell.data, cell.stage, matrix, folders)
    base = load_encoder(folders.start(matrix))
    entry: dict[str, Any] = {}
    precision = matrix.train["precision"]
    if cell.objective == BASE:
        models = {"0": base}
    else:
        rows = read_training_rows(rows_file)
        objective = matrix.objective(cell.objective)
        settings = training_settings(cell, experiment) if objective.trains else None
        is_resumed = RunFolder(folders.runs / cell.folder_name, "").resumable
        precision = settings.precision if settings else precision
        trained, log = _adapted_encoder(cell, rows, settings, matrix, folders)
        dev = log[0].get("dev") if log else None
        entry = {
            "distilled_on": objective.distil_on,
            "settings": settings.model_dump() if settings else {},
            "rows": len(rows.records),
            "losses": [round(entry["loss"], 4) for entry in log if "loss" in entry],
            **({"kept": {name: dev[name] for name in KEPT if name in dev}} if dev else {}),
        }
        if not is_resumed:  # else a part of it took place before
            entry["train_seconds"] = round(time.monotonic() - begun, 1)
            # What other work on the machine changes less than the seconds of a clock.
            entry["train_processor_seconds"] = round(time.process_time() - processor_begun, 1)
        # What is not trained on both sides has no base to be merged with.
        both = settings is not None and settings.side == "both" and not (objective.align or objective.align_after)
        weights = matrix.merging_weights if both and matrix.merging_weights else [1.0]
        if cell.stage == "test" and len(weights) > 1:
            weights = sorted({chosen_weight(experiment, cell.objective), 1.0})
        models = {f"{w:g}": trained if w == 1 else merge_encoders(base, trained, w) for w in weights if w > 0}
    bf16 = precision == "bf16"
    # Passages that the base encodes are found again in the cache.
    of_base = cell.objective == BASE or not entry["settings"] or entry["settings"]["side"] == "queries"
    cache = default_cache() if of_base else None
    entry["scores"] = {w: _score_lines(model, collection, matrix, bf16, cache) for w, model in models.items()}
    if collection.mixed_directions:
        entry["pools"] = {w: _pool_scores(model, collection, bf16, cache) for w, model in models.items()}
    entry |= {
        "seconds": round(time.monotonic() - begun, 1),
        "versions": {name: version(name) for name in ("clear-ir", "sentence-transformers", "torch")},
        "machine": machine(),
    }
    experiment.results.add(cell, collection.data_hash, entry)


def training_settings(cell: Cell, experiment: Experiment) -> TrainingSettings:
    """The settings that a cell is trained with.

    Args:
        cell: A cell that is trained.
        experiment: Plan and results, for the learning rate that the dev stage chose.

    Returns:
        The matrix's settings, changed by the objective's.

    Raises:
        InputError: If the data set has no number of steps for the stage, or the learning rate is not chosen yet.
    """
    objective = experiment.matrix.objective(cell.objective)
    plan = experiment.matrix.data[cell.data]
    steps = plan.dev_steps if cell.stage == "dev" else plan.max_steps
    if steps is None:
        raise InputError(f"The data set {cell.data} has no dev_steps in the matrix; add them.")
    changes = {"max_steps": round(steps * objective.times_the_steps), **objective.training}
    if "learning_rate" not in changes:
        changes["learning_rate"] = cell.learning_rate or chosen_learning_rate(experiment, cell.objective)
    return TrainingSettings(**{**experiment.matrix.train, **changes, "seed": cell.seed})


def prepare_data(data: str, stage: StageName, matrix: Matrix, folders: Folders) -> tuple[Collection, Path]:
    """The collection of a data set, and the file of its mined rows, which all its cells share.

    Args:
        data: Name of the data set.
        stage: `dev` or `test`.
        matrix: The plan.
        folders: Data and working files.

    Returns:
        The collection and the file.
    """
    plan = matrix.data[data]
    langs = [*plan.langs, *plan.unseen]
    if plan.dataset == "xquad":
        prepared = load_xquad(folders.xquad, langs, stage)
    else:
        prepared = load_afriqa(folders.afriqa, langs, stage)
    collection = _collection_of(prepared, data)
    if stage == "dev":
        collection = _small_pool(prepared, collection)
    rows_file = folders.runs / f"{stage}-{data}.jsonl"
    if not rows_file.exists():
        encoder = TextEncoder(load_encoder(folders.start(matrix)), cache=default_cache())
        mined = mine_hard_negatives(encoder, [row for row in prepared.rows if row.lang in plan.langs], matrix.mine)
        write_jsonl(rows_file, mined.records)
    return collection, rows_file


def question_order(collection: Collection) -> dict[str, list[str]]:
    """By direction, the questions in the order in which cells hold their scores."""
    return {
        str(direction): [
            collection.queries[query].parallel_id or query for query in collection.judged_queries(direction)
        ]
        for direction in evaluated_directions(collection)
    }


def _adapted_encoder(
    cell: Cell, rows: TrainingRows, settings: TrainingSettings | None, matrix: Matrix, folders: Folders
) -> tuple[SentenceTransformer, list[dict[str, Any]]]:
    """The encoder of a cell, aligned, distilled, trained or several of these, and the log of its training."""
    objective = matrix.objective(cell.objective)
    folder = folders.runs / cell.folder_name
    folder.parent.mkdir(parents=True, exist_ok=True)
    start, log = folders.start(matrix), list[dict[str, Any]]()
    if objective.align:
        start = _align(start, rows, objective.align, folder.with_name(f"{folder.name}-aligned"))
    if settings and objective.distil_on:
        start = _distilled_encoder(cell, objective.distil_on, rows, settings, matrix, folders)
    if settings and objective.training:
        log = _train(start, rows, settings, folder)
        start = str(folder)
    if objective.align_after:
        start = _align(start, rows, objective.align_after, folder.with_name(f"{folder.name}-aligned-after"))
    encoder = load_encoder(start)
    for made in (folder, *folder.parent.glob(f"{folder.name}-aligned*")):
        shutil.rmtree(made, ignore_errors=True)
    return encoder, log


def _align(start: str, rows: TrainingRows, method: Method, folder: Path) -> str:
    """The folder of an aligned encoder; where no map makes it better, that of the encoder itself."""
    settings, encoding = AlignSettings(method=method), EncodingSettings()
    alignment = align_model(start, AlignmentTexts(rows), settings, encoding, folder, overwrite=True)
    return str(folder) if alignment.fitted else start


def _train(start: str, rows: TrainingRows, settings: TrainingSettings, folder: Path) -> list[dict[str, Any]]:
    """Train an encoder into a folder; gives the training log."""
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was stopped while it evaluated
    resumable = RunFolder(folder, "").resumable
    source = PassageSource(cache=default_cache())
    return train_model(start, rows, settings, folder, resume=resumable, overwrite=not resumable, passages=source)


def _distilled_encoder(
    cell: Cell, distil_on: str, rows: TrainingRows, settings: TrainingSettings, matrix: Matrix, folders: Folders
) -> str:
    """The folder of the distilled encoder that a cell starts from; cells that differ only in what follows share it."""
    source = f"{distil_on}-{cell.stage}-{cell.data}".replace(" ", "-")
    shared = folders.runs / DISTILLED / f"{source}-lr{settings.learning_rate:g}-seed{settings.seed}"
    if not shared.exists():
        unfinished = shared.with_name(f"{shared.name}.{os.getpid()}")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        model = load_encoder(folders.start(matrix))
        model.max_seq_length = settings.max_seq_length
        distillation = settings.model_copy(update={"distil_steps": matrix.distil_steps})
        distil_model(model, _translations(distil_on, rows, folders), distillation, unfinished)
        if shared.exists():  # another process was faster
            shutil.rmtree(unfinished)
        else:
            unfinished.rename(shared)
    return str(shared)


def _translations(distil_on: str, rows: TrainingRows, folders: Folders) -> list[Translation]:
    """English texts and their translations: the rows' queries, NTREX's sentences in the rows' languages, or both."""
    if " and " in distil_on:
        return [pair for source in distil_on.split(" and ") for pair in _translations(source, rows, folders)]
    if distil_on == "queries":
        return [Translation(record["anchor"], record["cross_anchor"]) for record in rows.records]
    if folders.ntrex is None:
        raise InputError("A cell distils on NTREX, and its folder was not given; give it.")
    return load_ntrex(folders.ntrex, sorted({record["lang"] for record in rows.records})).translations


def _collection_of(prepared: Prepared, data: str) -> Collection:
    if prepared.collection is None:
        raise InputError(f"The data set {data} has no collection to evaluate on; take another.")
    return prepared.collection


def _small_pool(prepared: Prepared, collection: Collection) -> Collection:
    """Dev questions with the passages of training and dev rows alone, which takes seconds."""
    kept = {row.passage_id for row in prepared.rows}
    kept |= {passage for judged in collection.qrels.values() for passage in judged}
    passages = {name: text for name, text in collection.passages.items() if name in kept}
    return Collection(collection.name, passages, collection.queries, collection.qrels, collection.split)


def _score_lines(
    model: SentenceTransformer, collection: Collection, matrix: Matrix, bf16: bool, cache: Path | None
) -> dict[str, str]:
    """By direction, nDCG@10 of each question in the order of `question_order`, joined by spaces."""
    directions = evaluated_directions(collection)
    limit_length(model, matrix.evaluation_max_seq_length)
    encoder = TextEncoder(model, cache=cache, precision="bf16" if bf16 else "fp32", show_progress=False)
    embeddings = Embeddings(encoder, collection, directions)
    lines = {}
    for direction in directions:
        per_query = embeddings.evaluate(direction).per_query
        lines[str(direction)] = " ".join(
            f"{per_query[q][MAIN_MEASURE]:.4g}" for q in collection.judged_queries(direction)
        )
    return lines


def _pool_scores(
    model: SentenceTransformer, collection: Collection, bf16: bool, cache: Path | None
) -> dict[str, float]:
    """What passages in several languages are scored by: means over all pairs of languages, and the mixed pool."""
    encoder = TextEncoder(model, cache=cache, precision="bf16" if bf16 else "fp32", show_progress=False)
    scores = asdict(DevQuestions(encoder, collection).score(SideMaps()))
    return {name: round(value, 5) for name, value in scores.items() if name != "directions" and value is not None}
