"""Memory of encoding and mining with a million passages of a corpus, without an encoder.

    python -m benchmarks.mining_memory

A place to encode gives random unit vectors of 384 numbers, as fast as they are drawn. Each work is a process of its
own: encoding and mining with an empty cache, the same again with all embeddings in the cache, and the search of the
evaluation. Memory is the peak of the whole process, and the peak without the pages of mapped files, which the system
takes back where memory is short.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from benchmarks.machine import measured_with, peak_memory
from clear_ir.data.collection import Text
from clear_ir.data.output_files import write_json
from clear_ir.data.rows import ParallelRow
from clear_ir.encode.search import search_top_k
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings

OUT = Path(__file__).parent / "results" / "mining-memory.json"
DIM = 384


class RandomVectors:
    """A place to encode that draws the vectors. As a real one it gives them in another order."""

    def encode(self, model: Any, texts: Sequence[str], side: str, precision: str) -> Iterator[tuple[list[str], Any]]:
        order = np.random.default_rng(0).permutation(len(texts))
        rng = np.random.default_rng(len(texts))
        for begin in range(0, len(texts), 1024):
            batch = [texts[i] for i in order[begin : begin + 1024]]
            vectors = rng.standard_normal((len(batch), DIM), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            yield batch, vectors


class NoEncoder(TextEncoder):
    """A text encoder without a model."""

    weights_hash = "random vectors"


def encoder(cache: Path) -> TextEncoder:
    model = cast(Any, SimpleNamespace(similarity_fn_name="cosine"))
    return NoEncoder(model, RandomVectors(), cache, show_progress=False)


def mine(cache: Path, num_rows: int, num_passages: int) -> None:
    rows = [ParallelRow(f"{i}", f"query {i}", f"passage {i}", f"p{i}", f"swali {i}", "sw") for i in range(num_rows)]
    corpus = (Text(f"c{i}", f"passage {i} of the corpus", "en") for i in range(num_passages - num_rows))
    assert len(mine_hard_negatives(encoder(cache), rows, MiningSettings(), corpus).records) == num_rows


def search(cache: Path, num_rows: int, num_passages: int) -> None:
    given = encoder(cache)
    queries = given.encode([f"query {i}" for i in range(num_rows)], "query")
    texts = [f"passage {i}" for i in range(num_rows)]
    texts += [f"passage {i} of the corpus" for i in range(num_passages - num_rows)]
    passages = given.encode(texts, "passage")
    ids = [f"c{i}" for i in range(num_passages)]
    assert len(search_top_k(queries, passages, [f"q{i}" for i in range(num_rows)], ids)) == num_rows


WORKS: dict[str, Callable[[Path, int, int], None]] = {
    "encoding and mining": mine,
    "mining, embeddings in the cache": mine,
    "top 100 of each query, embeddings in the cache": search,
}


def anonymous() -> float:
    """The resident memory of this process that is not in files, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1024


def measure(work: str, cache: Path, num_rows: int, num_passages: int) -> dict[str, float]:
    """Do the work in this process. Seconds, and memory in MiB."""
    highest, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.02):
            highest = max(highest, anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    WORKS[work](cache, num_rows, num_passages)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return {"seconds": seconds, "peak_mib": peak_memory(), "peak_mib_without_files": highest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--work", choices=list(WORKS), help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(measure(given.work, given.cache, given.rows, given.passages)))
        return
    works = {}
    with tempfile.TemporaryDirectory() as cache:
        for work in WORKS:
            sizes = ["--rows", str(given.rows), "--passages", str(given.passages), "--cache", cache]
            command = [sys.executable, "-m", "benchmarks.mining_memory", *sizes, "--work", work]
            printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            works[work] = json.loads(printed)
            print(f"{work}: {works[work]}", flush=True)
        on_disk = sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file()) / 2**20
    write_json(
        given.out,
        {
            "rows": given.rows,
            "passages": given.passages,
            "dim": DIM,
            "passage_embeddings_mib": given.passages * DIM * 4 / 2**20,
            "cache_mib": on_disk,
            "works": works,
            **measured_with("numpy"),
        },
    )
    print(f"Wrote {given.out}")


if __name__ == "__main__":
    main()
