"""Time to evaluate every direction among the languages of XQuAD: clear-ir against mteb.

    python -m benchmarks.mteb_speed --xquad DIR

clear-ir encodes each text once for all 64 directions of 8 languages. mteb encodes queries and passages again for every
direction, so only some directions are measured and their time is scaled up. Both take turns, in one process, with the
same batch size. No embeddings or results are cached between runs. The exit code is 1 if a score differs by more than
.001.

    python -m benchmarks.mteb_speed --xquad DIR --quick    # try it out on a small part of the data
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from sentence_transformers import SentenceTransformer

from benchmarks.machine import measured_with
from clear_ir.data.collection import Collection
from clear_ir.data.files import hash_of
from clear_ir.data.output_files import write_json
from clear_ir.encode.backends import InProcess
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.evaluate.mteb import as_mteb_task
from clear_ir.prepare.xquad import load_xquad

OUT = Path(__file__).parent / "results" / "mteb-speed.json"
LANGS = ("ar", "de", "es", "hi", "ru", "vi", "zh")  # and English
#: The directions that are measured with mteb. Their time is scaled up to all directions.
PART = ("q-en.p-en", "q-de.p-en", "q-en.p-de", "q-zh.p-ru")


@dataclass
class Round:
    """Seconds of one round, and the largest difference between the scores."""

    num_directions: int
    clear_ir_seconds: float
    mteb_seconds: dict[str, float] = field(default_factory=dict)
    largest_difference: float = 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xquad", type=Path, required=True, help="folder with xquad.<lang>.json of 8 languages")
    parser.add_argument("--out", type=Path, help="file to write; default: the committed JSON, with --quick none")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="try it out: 4 languages, texts cut to 16 tokens, a 16th of the queries, 1 round",
    )
    given = parser.parse_args()

    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    warnings.simplefilter("ignore")  # mteb warns of its own code
    encoder = load_encoder("minilm")
    if given.quick:
        encoder.max_seq_length = 16
    collection = read_xquad(given.xquad, given.quick)
    task = as_mteb_task(collection).filter_languages(None, hf_subsets=PART)
    task.load_data()
    TextEncoder(encoder, show_progress=False).encode(["warm up"] * 8, "query")

    rounds = []
    for number in range(1 if given.quick else given.rounds):
        rounds.append(measure_round(encoder, collection, task, given.batch_size))
        part_seconds = sum(rounds[-1].mteb_seconds.values())
        times = f"clear-ir {rounds[-1].clear_ir_seconds:.1f} s, mteb {part_seconds:.1f} s for {len(PART)} directions"
        print(f"Round {number + 1}: {times}")

    num_directions = rounds[0].num_directions
    scale = num_directions / len(PART)
    clear_ir_seconds = median(each.clear_ir_seconds for each in rounds)
    mteb_seconds = scale * median(sum(each.mteb_seconds.values()) for each in rounds)
    largest_difference = max(each.largest_difference for each in rounds)
    document = {
        "languages": len({text.lang for text in collection.queries.values()}),
        "directions": num_directions,
        "queries": len(collection.queries),
        "passages": len(collection.passages),
        "max_seq_length": encoder.max_seq_length,
        "batch_size": given.batch_size,
        "measured_with_mteb": list(PART),
        "rounds": [{"ours": each.clear_ir_seconds, "mteb": each.mteb_seconds} for each in rounds],
        "seconds": {"clear-ir": round(clear_ir_seconds, 2), "mteb, scaled up": round(mteb_seconds, 2)},
        "ratio": round(mteb_seconds / clear_ir_seconds, 2),
        "largest_difference": {"nDCG@10": round(largest_difference, 6)},
        **measured_with("mteb", "sentence-transformers"),
    }
    times = f"clear-ir {clear_ir_seconds:.1f} s, mteb {mteb_seconds:.1f} s (scaled up)"
    print(f"{num_directions} directions: {times}, ratio {mteb_seconds / clear_ir_seconds:.1f}")
    print(f"Largest difference in nDCG@10: {largest_difference:.6f}")
    out = given.out or (None if given.quick else OUT)
    if out:
        write_json(out, document)
        print(f"Wrote {out}")
    return int(largest_difference > 0.001)


def read_xquad(folder: Path, quick: bool) -> Collection:
    """XQuAD in all languages; with `quick` in four languages and with a 16th of the queries."""
    collection = load_xquad(folder, ["de", "ru", "zh"] if quick else list(LANGS), "all").collection
    assert collection is not None
    if quick:
        collection.qrels = {query: judged for query, judged in collection.qrels.items() if hash_of(query)[0] == "0"}
        collection.queries = {query: collection.queries[query] for query in collection.qrels}
    return collection


def measure_round(encoder: SentenceTransformer, collection: Collection, task: Any, batch_size: int) -> Round:
    """Evaluate every direction with clear-ir, then the directions of `PART` with mteb."""
    import mteb

    settings: Any = {"batch_size": batch_size, "show_progress_bar": False}
    start = time.perf_counter()
    results = evaluate_directions(TextEncoder(encoder, InProcess(batch_size), show_progress=False), collection)
    measured = Round(len(results), time.perf_counter() - start)
    for direction in PART:
        task.hf_subsets = [direction]
        start = time.perf_counter()
        evaluated = mteb.evaluate(
            encoder,
            task,
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
            encode_kwargs=settings,
        )
        measured.mteb_seconds[direction] = time.perf_counter() - start
        [[score]] = evaluated.task_results[0].scores.values()
        difference = abs(score["ndcg_at_10"] - results[direction].mean("nDCG@10"))
        measured.largest_difference = max(measured.largest_difference, difference)
    return measured


if __name__ == "__main__":
    sys.exit(main())
