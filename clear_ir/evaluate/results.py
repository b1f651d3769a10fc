"""The results of an evaluation, and the folder that keeps them.

A results folder holds `results.json` (shaped like mteb's TaskResult), `per_query.jsonl`, a TREC run and qrels file
of each direction, which ir_measures rescores to the same values, and `map.json`, the map of parallel texts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clear_ir.data.collection import Qrels
from clear_ir.data.directions import parse_direction
from clear_ir.data.files import InputError, read_jsonl
from clear_ir.data.output_files import new_folder, write_json, write_jsonl, write_text
from clear_ir.encode.search import Run
from clear_ir.evaluate.measures import MAIN_MEASURE, MEASURES, PerQuery, find_measure
from clear_ir.evaluate.result_documents import (
    LogEntry,
    MapDocument,
    NumbersEntry,
    QueryScores,
    ResultsDocument,
    check_document,
    read_document,
)

#: The file that marks a results folder.
RESULTS_FILE = "results.json"
TRAIN_LOG_FILE = "train_log.jsonl"
#: Fields of the results that are needed to repeat the evaluation.
DETAILS = ("date", "max_seq_length", "similarity", "precision", "device", "versions")
#: With fewer questions the intervals are so wide that differences between good methods cannot show.
MANY_QUESTIONS = 100
#: The file that marks a folder of mteb's results.
MTEB_FILE = "mteb.json"


@dataclass
class DirectionResult:
    """One direction: scores per query, and the run and qrels they come from.

    Args:
        per_query: `{query id: {measure: value}}`.
        num_passages: Size of the pool.
        run: The passages retrieved for each query, best first.
        qrels: The judgments.
    """

    per_query: PerQuery
    num_passages: int
    run: Run = field(default_factory=dict)
    qrels: Qrels = field(default_factory=dict)

    def values(self, measure: str) -> np.ndarray:
        """The measure of each query that has it, shape (num_queries,)."""
        return np.array([scores[measure] for scores in self.per_query.values() if measure in scores])

    def mean(self, measure: str) -> float:
        """Mean over the queries that have the measure.

        Raises:
            ValueError: If no query has it.
        """
        values = self.values(measure)
        if not len(values):
            raise ValueError(f"no query has the measure {measure}")
        return float(np.mean(values))

    @property
    def measures(self) -> list[str]:
        """The measures that any query has: first those of `MEASURES`, in its order, then others by name."""
        present = {measure for scores in self.per_query.values() for measure in scores}
        return [measure for measure in MEASURES if measure in present] + sorted(present - MEASURES.keys())

    @property
    def means(self) -> dict[str, float]:
        """The mean of each measure; of ranks also the median, as `last_rank_median`."""
        means = {}
        for name in self.measures:
            means[name] = self.mean(name)
            measure = find_measure(name)
            if measure and measure.unit == "rank":
                means[f"{name}_median"] = float(np.median(self.values(name)))
        return means


@dataclass
class Results:
    """Scores of one model on one collection.

    Args:
        model: Name for people.
        weights_hash: SHA-256 that tells the model's weights and settings.
        data: Name of the collection.
        data_hash: SHA-256 that tells its texts and judgments.
        split: Of the qrels.
        directions: By name such as `q-de.p-en`, one language a side, in the collection's order.
        mixed: The same for pools in several languages, such as `q-de.p-en+de`.
        questions: `{query id: parallel_id}`: which queries are translations of one question.
        space: Alignment and uniformity, see `clear_ir.evaluate.space.describe_space`.
        map: Coordinates of parallel texts, see `clear_ir.evaluate.space.map_texts`.
        seconds: How long it took.
        details: The day, versions and settings.
        origin: What was named to evaluate: `model`, `data`, the `base` that the model was made from and what it was
            `made_by`, with its `recipe` and `texts_by_language`, if clear-ir made it, and `trust_remote_code` if it was
            allowed. Reports and the commands to run next name them.
        folder: Where it was read from, for the runs, which stay on disk.
    """

    model: str
    weights_hash: str
    data: str
    data_hash: str
    split: str
    directions: dict[str, DirectionResult]
    mixed: dict[str, DirectionResult] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    map: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def num_questions(self) -> int:
        """Number of questions, translations counted once."""
        queries = {query for result in self.directions.values() for query in result.per_query}
        return len({self.questions.get(query, query) for query in queries})

    @property
    def few_questions(self) -> list[str]:
        """The sentence that warns of few questions; none with 100 and more."""
        count = self.num_questions
        if count >= MANY_QUESTIONS:
            return []
        return [f"Few questions: {count}; only very large differences can show. {MANY_QUESTIONS} and more are better."]

    @property
    def all_directions(self) -> Iterator[tuple[str, DirectionResult]]:
        """Those with one language a side, then the mixed ones."""
        yield from self.directions.items()
        yield from self.mixed.items()


def write_results(folder: Path, results: Results, overwrite: bool = False, train_log: Path | None = None) -> None:
    """Write a results folder, whole or not at all.

    Args:
        folder: Where; refused if it holds anything but earlier results.
        results: What to write.
        overwrite: Replace earlier results.
        train_log: The model's training log, kept with the results for reports.

    Raises:
        InputError: If the folder is taken.
    """
    document = {
        "task_name": results.data,
        "dataset_revision": results.data_hash,
        "model_name": results.model,
        "model_revision": results.weights_hash,
        "evaluation_time": round(results.seconds, 2),
        "scores": {results.split: [_entry(name, result) for name, result in results.all_directions]},
        "space": results.space,
        **results.details,
        "origin": results.origin,
    }
    with new_folder(folder, RESULTS_FILE, overwrite) as partial:
        if train_log:
            shutil.copyfile(train_log, partial / TRAIN_LOG_FILE)
        write_json(partial / RESULTS_FILE, document)
        write_json(partial / "map.json", results.map)
        write_jsonl(
            partial / "per_query.jsonl",
            (
                {"direction": name, "query_id": query, "question": results.questions.get(query, query), **values}
                for name, result in results.all_directions
                for query, values in result.per_query.items()
            ),
        )
        for name, result in results.all_directions:
            write_text(partial / "runs" / f"{name}.run", _trec_run(result.run))
            lines = [f"{query} 0 {p} {rel}\n" for query, judged in result.qrels.items() for p, rel in judged.items()]
            write_text(partial / "qrels" / f"{name}.qrels", "".join(lines))


def _entry(name: str, result: DirectionResult) -> dict[str, Any]:
    return {
        "hf_subset": name,
        "direction": name,
        "languages": [part[2:] for part in name.split(".")],
        "main_score": result.mean(MAIN_MEASURE),
        **result.means,
        "num_queries": len(result.per_query),
        "num_passages": result.num_passages,
    }


def _trec_run(run: Run) -> str:
    # Nine digits give back every float32 exactly, so ties stay ties.
    return "".join(
        f"{query} Q0 {passage} {rank} {score:.9g} clear-ir\n"
        for query, scores in run.items()
        for rank, (passage, score) in enumerate(scores.items(), start=1)
    )


def read_results(folder: Path) -> Results:
    """Read a results folder; runs and qrels stay on disk, see `read_run`.

    Args:
        folder: As `write_results` wrote it.

    Returns:
        The results with empty runs and qrels. Measures that the file lacks are absent.

    Raises:
        InputError: If the folder holds no results, damaged ones, or a query without nDCG@10.
    """
    path = folder / RESULTS_FILE
    if (folder / MTEB_FILE).exists():
        raise InputError(f"{folder} holds results of mteb, which are means; give results with scores of each query.")
    if not path.exists():
        raise InputError(f"{folder} holds no {RESULTS_FILE}; give a folder that `clear-ir evaluate` wrote.")
    try:
        document = read_document(path, ResultsDocument)
        [(split, scores)] = document.scores.items()
        directions = {score.direction: DirectionResult({}, score.num_passages) for score in scores}
        mixed = {name for name in directions if parse_direction(name).mixed}
        questions = {}
        for where, record in read_jsonl(folder / "per_query.jsonl"):
            line = check_document(where, record, QueryScores)
            values = line.__pydantic_extra__
            if MAIN_MEASURE not in values:
                raise InputError(f"{where}: {MAIN_MEASURE} is missing, and every comparison needs it; evaluate again.")
            if line.direction not in directions:
                raise InputError(f"{where}: {path.name} has no direction {line.direction!r}; evaluate again.")
            questions[line.query_id] = line.question
            directions[line.direction].per_query[line.query_id] = values
        if empty := [name for name, result in directions.items() if not result.per_query]:
            raise InputError(f"{folder}/per_query.jsonl has no line for {empty[0]}; evaluate again.")
        text_map = read_document(folder / "map.json", MapDocument)
    except FileNotFoundError as error:
        raise InputError(f"{folder} lacks {Path(error.filename).name}; evaluate again.") from None
    except ValueError as error:  # of the name of a direction
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({error}); evaluate again.") from None
    return Results(
        document.model_name,
        document.model_revision,
        document.task_name,
        document.dataset_revision,
        split,
        {name: result for name, result in directions.items() if name not in mixed},
        {name: result for name, result in directions.items() if name in mixed},
        questions,
        document.space,
        text_map.model_dump() if text_map.points else {},
        document.evaluation_time,
        document.model_dump(include=set(DETAILS), exclude_none=True),
        document.origin,
        folder=folder,
    )


def read_run(folder: Path, direction: str, depth: int, queries: Iterable[str] = ()) -> Run:
    """Read the first passages of a direction's run.

    Args:
        folder: A results folder.
        direction: Such as `q-de.p-en`.
        depth: Passages a query.
        queries: Read the lines of these alone; none reads all.

    Returns:
        `{query id: {passage id: score}}`, best first.

    Raises:
        InputError: If the file is missing or damaged.
    """
    wanted = tuple(f"{query} " for query in queries) or ("",)
    path = folder / "runs" / f"{direction}.run"
    run: Run = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith(wanted):
                continue
            query, _, passage, rank, score, _ = line.split()
            if int(rank) <= depth:
                run.setdefault(query, {})[passage] = float(score)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); evaluate again.") from None
    return run


def read_train_log(folder: Path) -> list[dict[str, Any]]:
    """Read the training log kept in a results folder.

    Args:
        folder: As `write_results` wrote it.

    Returns:
        The log entries; empty where the model was not trained by us.

    Raises:
        InputError: If it is damaged.
    """
    path = folder / TRAIN_LOG_FILE
    records = list(read_jsonl(path)) if path.exists() else []
    for where, entry in records:
        has_numbers = any(name == "loss" or name.startswith("eval_") for name in entry)
        check_document(where, entry, NumbersEntry if has_numbers else LogEntry)
    return [entry for _, entry in records]
