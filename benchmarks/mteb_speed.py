"""Time for every direction among XQuAD's languages: each text encoded once, against mteb's evaluation by pairs.

    python -m benchmarks.mteb_speed --xquad DIR

Ours evaluates all 64 directions of 8 languages. mteb, given the bare encoder, encodes queries and passages again for
every direction, so a part of them is measured and scaled up. Both run in turn, in one process, with one batch size
and no embeddings or results kept between runs. Ends with exit code 1 where the scores differ by more than .001.

    python -m benchmarks.mteb_speed --xquad DIR --quick    # only try it out, on little of all this
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from statistics import median

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from benchmarks.machine import machine
from clear_ir.data.files import hash_of, write_json
from clear_ir.encode.backends import InProcess
from clear_ir.encode.models import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.evaluate.mteb import as_mteb_task
from clear_ir.prepare.xquad import load_xquad

OUT = Path(__file__).parent / "results" / "mteb-speed.json"
LANGS = ("ar", "de", "es", "hi", "ru", "vi", "zh")  # and English
#: What is measured with mteb, standing for all.
PART = ("q-en.p-en", "q-de.p-en", "q-en.p-de", "q-zh.p-ru")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xquad", type=Path, required=True, help="folder with xquad.<lang>.json of 8 languages")
    parser.add_argument("--out", type=Path, help="where to write; the committed JSON, but nowhere with --quick")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only try it out: 4 languages, texts cut to 16 tokens, a 16th of the queries, 1 round",
    )
    given = parser.parse_args()

    import mteb
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    warnings.simplefilter("ignore")  # mteb warns of its own deprecated arguments
    encoder = load_encoder("minilm")
    if given.quick:
        encoder.max_seq_length = 16
    collection = load_xquad(given.xquad, ["de", "ru", "zh"] if given.quick else list(LANGS), "all").collection
    if given.quick:
        collection.qrels = {query: judged for query, judged in collection.qrels.items() if hash_of(query)[0] == "0"}
        collection.queries = {query: collection.queries[query] for query in collection.qrels}
    task = as_mteb_task(collection).filter_languages(None, hf_subsets=PART)
    task.load_data()
    TextEncoder(encoder, show_progress=False).encode(["warm up"] * 8, "query")

    rounds = []
    for number in range(1 if given.quick else given.rounds):
        start = time.perf_counter()
        ours = evaluate_directions(TextEncoder(encoder, InProcess(given.batch_size)), collection)
        taken = {"ours": time.perf_counter() - start, "mteb": {}}
        worst = 0.0
        for direction in PART:
            task.hf_subsets = [direction]
            settings = {"batch_size": given.batch_size, "show_progress_bar": False}
            start = time.perf_counter()
            found = mteb.evaluate(
                encoder, task, cache=None, co2_tracker=False, show_progress_bar=False, encode_kwargs=settings
            )
            taken["mteb"][direction] = time.perf_counter() - start
            [[score]] = found.task_results[0].scores.values()
            worst = max(worst, abs(score["ndcg_at_10"] - ours[direction].mean("nDCG@10")))
        rounds.append(taken)
        print(f"Round {number + 1}: ours {taken['ours']:.1f} s, mteb {sum(taken['mteb'].values()):.1f} s for its part")

    scale = len(ours) / len(PART)
    seconds = median(taken["ours"] for taken in rounds)
    theirs = scale * median(sum(taken["mteb"].values()) for taken in rounds)
    libraries = ("clear-ir", "mteb", "sentence-transformers", "torch")
    document = {
        "languages": len({text.lang for text in collection.queries.values()}),
        "directions": len(ours),
        "queries": len(collection.queries),
        "passages": len(collection.passages),
        "max_seq_length": encoder.max_seq_length,
        "batch_size": given.batch_size,
        "measured_with_mteb": list(PART),
        "rounds": rounds,
        "seconds": {"clear-ir": round(seconds, 2), "mteb, scaled up": round(theirs, 2)},
        "ratio": round(theirs / seconds, 2),
        "largest_difference": {"nDCG@10": round(worst, 6)},
        "versions": {library: version(library) for library in libraries},
        "machine": machine(),
    }
    print(
        f"{len(ours)} directions: ours {seconds:.1f} s, mteb {theirs:.1f} s (scaled up), ratio {theirs / seconds:.1f}"
    )
    print(f"Largest difference in nDCG@10: {worst:.6f}")
    out = given.out or (None if given.quick else OUT)
    if out:
        write_json(out, document)
        print(f"Wrote {out}")
    return int(worst > 0.001)


if __name__ == "__main__":
    sys.exit(main())
