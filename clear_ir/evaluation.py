"""One model on one collection: every direction's scores, through ir_measures with pytrec_eval's tie rule.

A results folder holds ``results.json`` (shaped like mteb's TaskResult), ``per_query.jsonl``, and for each
direction a TREC run and qrels file that ir_measures rescoring confirms.
"""

from __future__ import annotations

import json
import platform
import shutil
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clear_ir.collection import Collection, Qrels
from clear_ir.encoding import encode_texts, weights_hash
from clear_ir.files import InputError, new_folder, read_jsonl, write_json, write_jsonl, write_text
from clear_ir.search import Run, search_top_k

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MEASURES = ("nDCG@10", "R@1", "R@10", "R@100", "RR@10")
#: The file that marks a results folder.
RESULTS_FILE = "results.json"
TRAIN_LOG_FILE = "train_log.jsonl"

PerQuery = dict[str, dict[str, float]]


@dataclass
class DirectionResult:
    """One direction: scores per query, and the run and qrels they come from.

    Args:
        per_query: ``{query id: {measure: value}}``.
        num_passages: Size of the pool.
        run: The passages found.
        qrels: The judgments.
    """

    per_query: PerQuery
    num_passages: int
    run: Run = field(default_factory=dict)
    qrels: Qrels = field(default_factory=dict)

    def mean(self, measure: str) -> float:
        """Mean over the queries."""
        return float(np.mean([values[measure] for values in self.per_query.values()]))


@dataclass
class Results:
    """Scores of one model on one collection.

    Args:
        model: Name for people.
        weights_hash: SHA-256 that tells the model's weights.
        data: Name of the collection.
        data_hash: SHA-256 that tells its texts and judgments.
        split: Of the qrels.
        directions: In the collection's order, by name such as ``q-de.p-en``.
        seconds: How long it took.
        details: Versions and settings.
    """

    model: str
    weights_hash: str
    data: str
    data_hash: str
    split: str
    directions: dict[str, DirectionResult]
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


def score_run(run: Run, qrels: Qrels) -> PerQuery:
    """Score a run with :data:`MEASURES`, per query, by pytrec_eval's rules (ties: higher passage id first).

    Args:
        run: ``{query id: {passage id: score}}``.
        qrels: ``{query id: {passage id: relevance}}``; queries without relevant passages do not count.

    Returns:
        ``{query id: {measure: value}}`` for each judged query; 0 where nothing was found.
    """
    import ir_measures
    from ir_measures import RR, R, nDCG

    # ir_measures would send RR@10 to a provider with another tie rule; RR to pytrec_eval, cut here, is exact.
    measures = [nDCG @ 10, R @ 1, R @ 10, R @ 100, RR]
    scores: PerQuery = {query: dict.fromkeys(MEASURES, 0.0) for query in qrels}
    for metric in ir_measures.pytrec_eval.iter_calc(measures, qrels, run):
        if metric.measure == RR:
            scores[metric.query_id]["RR@10"] = metric.value if metric.value >= 1 / 10 else 0.0
        else:
            scores[metric.query_id][str(metric.measure)] = metric.value
    return scores


def evaluate_directions(
    model: SentenceTransformer,
    collection: Collection,
    batch_size: int | None = None,
    depth: int = 100,
    show_progress: bool = True,
) -> dict[str, DirectionResult]:
    """Search and score every direction of a collection, encoding each text once.

    Args:
        model: The encoder.
        collection: Queries, passages and judgments.
        batch_size: Texts encoded at once; None chooses by device.
        depth: Passages kept a query; at least 100, for R@100.
        show_progress: Show progress bars.

    Returns:
        Results by direction.
    """
    directions = collection.directions
    query_langs = {direction.query_lang for direction in directions}
    passage_langs = {direction.passage_lang for direction in directions}
    queries = [text for text in collection.queries.values() if text.lang in query_langs]
    passages = [text for text in collection.passages.values() if text.lang in passage_langs]
    query_vectors = encode_texts(model, [text.full_text for text in queries], "query", batch_size, show_progress)
    passage_vectors = encode_texts(model, [t.full_text for t in passages], "passage", batch_size, show_progress)
    query_row = {text.id: row for row, text in enumerate(queries)}
    found: dict[str, DirectionResult] = {}
    for direction in directions:
        qrels = collection.judged(direction)
        pool = [row for row, text in enumerate(passages) if text.lang == direction.passage_lang]
        run = search_top_k(
            query_vectors[[query_row[query] for query in qrels]],
            passage_vectors[pool],
            list(qrels),
            [passages[row].id for row in pool],
            k=depth,
        )
        found[str(direction)] = DirectionResult(score_run(run, qrels), len(pool), run, qrels)
    return found


def evaluate_model(
    model: SentenceTransformer,
    collection: Collection,
    name: str,
    batch_size: int | None = None,
    show_progress: bool = True,
) -> Results:
    """Evaluate one model on one collection, see :func:`evaluate_directions`.

    Args:
        model: The encoder.
        collection: What to test on.
        name: The model's name in results and reports.
        batch_size: Texts encoded at once; None chooses by device.
        show_progress: Show progress bars.

    Returns:
        Scores, runs and what is needed to repeat them.
    """
    start = time.perf_counter()
    directions = evaluate_directions(model, collection, batch_size, show_progress=show_progress)
    libraries = ("clear-ir", "sentence-transformers", "transformers", "torch", "ir_measures")
    details = {
        "max_seq_length": model.max_seq_length,
        "similarity": str(model.similarity_fn_name),
        "device": model.device.type,
        "versions": {library: version(library) for library in libraries} | {"python": platform.python_version()},
    }
    return Results(
        name,
        weights_hash(model),
        collection.name,
        collection.data_hash,
        collection.split,
        directions,
        time.perf_counter() - start,
        details,
    )


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
    scores = [
        {
            "hf_subset": name,
            "direction": name,
            "languages": [part[2:] for part in name.split(".")],
            "main_score": result.mean("nDCG@10"),
            **{measure: result.mean(measure) for measure in MEASURES},
            "num_queries": len(result.per_query),
            "num_passages": result.num_passages,
        }
        for name, result in results.directions.items()
    ]
    document = {
        "task_name": results.data,
        "dataset_revision": results.data_hash,
        "model_name": results.model,
        "model_revision": results.weights_hash,
        "evaluation_time": round(results.seconds, 2),
        "scores": {results.split: scores},
        **results.details,
    }
    with new_folder(folder, RESULTS_FILE, overwrite) as partial:
        if train_log:
            shutil.copyfile(train_log, partial / TRAIN_LOG_FILE)
        write_json(partial / RESULTS_FILE, document)
        write_jsonl(
            partial / "per_query.jsonl",
            (
                {"direction": name, "query_id": query, **values}
                for name, result in results.directions.items()
                for query, values in result.per_query.items()
            ),
        )
        for name, result in results.directions.items():
            write_text(partial / "runs" / f"{name}.run", _trec_run(result.run))
            lines = [f"{query} 0 {p} {rel}\n" for query, judged in result.qrels.items() for p, rel in judged.items()]
            write_text(partial / "qrels" / f"{name}.qrels", "".join(lines))


def _trec_run(run: Run) -> str:
    # Nine digits give back every float32 exactly, so ties stay ties.
    return "".join(
        f"{query} Q0 {passage} {rank} {score:.9g} clear-ir\n"
        for query, found in run.items()
        for rank, (passage, score) in enumerate(found.items(), start=1)
    )


def read_results(folder: Path) -> Results:
    """Read a results folder; runs and qrels stay on disk.

    Args:
        folder: As :func:`write_results` wrote it.

    Returns:
        The results with empty runs and qrels.

    Raises:
        InputError: If the folder holds no results, or damaged ones.
    """
    path = folder / RESULTS_FILE
    if not path.exists():
        raise InputError(f"{folder} holds no {RESULTS_FILE}; give a folder that `clear-ir evaluate` wrote.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        [(split, scores)] = document["scores"].items()
        directions = {score["direction"]: DirectionResult({}, score["num_passages"]) for score in scores}
        for _, record in read_jsonl(folder / "per_query.jsonl"):
            values = {measure: float(record[measure]) for measure in MEASURES}
            directions[record["direction"]].per_query[record["query_id"]] = values
        if empty := [name for name, result in directions.items() if not result.per_query]:
            raise InputError(f"{folder}/per_query.jsonl has no line for {empty[0]}; evaluate again.")
        return Results(
            document["model_name"],
            document["model_revision"],
            document["task_name"],
            document["dataset_revision"],
            split,
            directions,
            document["evaluation_time"],
        )
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}); evaluate again.") from None


def read_train_log(folder: Path) -> list[dict[str, Any]]:
    """Read the training log kept in a results folder.

    Args:
        folder: As :func:`write_results` wrote it.

    Returns:
        The log entries; empty where the model was not trained by us.
    """
    path = folder / TRAIN_LOG_FILE
    return [entry for _, entry in read_jsonl(path)] if path.exists() else []
