"""What mining from 10,000 to a million passages costs, part by part, and what approximate indexes find and save.

    python -m benchmarks.scale

The passages are the 200 English ones of Atlas, over and over. Each copy has a number and nine tenths of its words in
another order, so all texts differ, and lengths are real. Its vector is that of the original by all-MiniLM-L6-v2, moved
at random: half the spread of the originals in each direction (their covariance). A real encoder would take hours for a
million; its speed is measured on some hundred of these texts and stands apart.

The command's own code does all else: it reads the file, finds repeated texts, keeps vectors in the cache, searches and
writes. Each work is a process of its own with one thread. Times are processor seconds, since other programs may share
the machine. Memory is the peak of the whole process, and the peak without the pages of mapped files, which the system
takes back where memory is short.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from benchmarks.machine import measured_with, peak_memory
from clear_ir.data.corpus import read_corpus
from clear_ir.data.output_files import write_json, write_jsonl
from clear_ir.data.rows import ParallelRow
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.encode.vectors import new_matrix
from clear_ir.mine.candidate_search import open_search
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings
from clear_ir.mine.vectors import ANCHORS_AT_ONCE, Vectors
from clear_ir.prepare.atlas import load_split

OUT = Path(__file__).parent / "results" / "scale.json"
SIZES = (10_000, 100_000, 1_000_000)
NUM_ROWS = 2_000
#: The works, with the sizes from which and up to which they are measured. To build a graph of a million takes an hour.
WORKS = {
    "mine": (0, 10**9),
    "again": (0, 10**9),
    "exact": (0, 10**9),
    "flat": (50_000, 10**9),
    "ivf": (50_000, 10**9),
    "hnsw": (50_000, 500_000),
}
#: How far a copy's vector is moved, in standard deviations of the originals.
SPREAD = 0.5
#: Texts that are really encoded.
ENCODED = 200


def originals() -> tuple[list[str], list[str]]:
    """The English passages and questions of Atlas."""
    splits = [load_split(split) for split in ("train", "dev", "test")]
    passages = [text.full_text for split in splits for text in split.passages.values() if text.lang == "en"]
    return passages, [text.text for split in splits for text in split.queries.values() if text.lang == "en"]


class NoisyCopies:
    """A place to encode where a text has a number in front: that of its original, counted around.

    Args:
        passages: Vectors of the original passages, shape (num_originals, dim).
        queries: The same for queries.
    """

    def __init__(self, passages: np.ndarray, queries: np.ndarray) -> None:
        self.originals = {"passage": passages, "query": queries}
        spread = np.cov(passages.T)
        values, directions = np.linalg.eigh(spread)
        self.noise = (SPREAD * np.sqrt(values.clip(0))[:, None] * directions.T).astype(np.float32)
        self.seconds = 0.0

    def vectors(self, numbers: np.ndarray, side: str) -> np.ndarray:
        """Vectors of length 1 for the copies with these numbers, shape (num_copies, dim)."""
        noise = np.random.default_rng(int(numbers[0])).standard_normal((len(numbers), len(self.noise)), np.float32)
        originals = self.originals[side]
        vectors: np.ndarray = originals[numbers % len(originals)] + noise @ self.noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def encode(self, model: Any, texts: Sequence[str], side: str, precision: str) -> Iterator[tuple[list[str], Any]]:
        """As a real place to encode it gives the vectors in another order."""
        order = np.random.default_rng(0).permutation(len(texts))
        for begin in range(0, len(texts), 1024):
            start = time.process_time()
            batch = [texts[i] for i in order[begin : begin + 1024]]
            vectors = self.vectors(np.array([int(text.split(maxsplit=1)[0]) for text in batch]), side)
            self.seconds += time.process_time() - start
            yield batch, vectors


class TimedEncoder(TextEncoder):
    """A text encoder without a model that notes when it works."""

    weights_hash = "noisy copies"

    def encode(self, texts: Sequence[str], side: Any) -> np.ndarray:
        """See `clear_ir.encode.text_encoder.TextEncoder.encode`."""
        vars(self).setdefault("began", time.process_time())
        start = time.process_time()
        vectors = super().encode(texts, side)
        vars(self)["seconds"] = vars(self).get("seconds", 0.0) + time.process_time() - start
        return vectors


def mine(copies: NoisyCopies, folder: Path, num_passages: int) -> dict[str, float]:
    """Processor seconds of each part of mining."""
    rows = [ParallelRow(f"{i}", f"{i} query", f"{i} passage", f"p{i}", f"{i} swali", "sw") for i in range(NUM_ROWS)]
    model = cast(Any, SimpleNamespace(similarity_fn_name="cosine", children=lambda: ()))
    encoder = TimedEncoder(model, cast(Any, copies), folder / f"cache-{num_passages}", show_progress=False)
    super(TimedEncoder, encoder).encode(["0 warms up"], "query")  # loads libraries
    copies.seconds, start = 0.0, time.process_time()
    mined = mine_hard_negatives(encoder, rows, MiningSettings(), read_corpus(folder / f"{num_passages}.jsonl"))
    end = time.process_time()
    assert len(mined.records) == NUM_ROWS
    assert mined.corpus
    assert mined.corpus.passages == num_passages
    write_jsonl(folder / "train.jsonl", mined.records)
    read, vectors = vars(encoder)["began"] - start, vars(encoder)["seconds"]
    return {
        "read": read,
        "vectors": vectors - copies.seconds,
        "search": end - start - read - vectors,
        "write": time.process_time() - end,
    }


def search(copies: NoisyCopies, folder: Path, num_passages: int, index: Any) -> dict[str, float]:
    """Processor seconds to make an index and to search it, and its recall."""
    anchors = Vectors(copies.vectors(np.arange(NUM_ROWS), "query"))
    candidates = Vectors(new_matrix(num_passages, copies.noise.shape[1], folder))
    for begin in range(0, num_passages, 4096):
        numbers = np.arange(begin, min(num_passages, begin + 4096))
        candidates.matrix[numbers] = copies.vectors(numbers, "passage")
    start = time.process_time()
    found, recall = open_search(anchors, candidates, MiningSettings(index=index), "passages")
    made = time.process_time()
    for begin in range(0, NUM_ROWS, ANCHORS_AT_ONCE):
        found(anchors[begin : begin + ANCHORS_AT_ONCE], 101)
    measured = {"make": made - start, "search": time.process_time() - made}
    return measured | ({} if recall is None else {"window": recall.window, "effort": recall.effort})


def encode(texts: Sequence[str]) -> dict[str, float]:
    """Processor seconds of a real encoder."""
    encoder = TextEncoder(load_encoder("minilm"), show_progress=False)
    encoder.encode(texts[:20], "passage")
    start = time.process_time()
    encoder.encode(texts, "passage")
    return {"texts": len(texts), "seconds": time.process_time() - start}


def anonymous() -> float:
    """The resident memory of this process that is not in files, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1024


def measure(work: str, folder: Path, num_passages: int) -> dict[str, float]:
    """Do a work in this process: seconds, recall, and memory in MiB."""
    with np.load(folder / "originals.npz") as kept:
        copies = NoisyCopies(kept["passages"], kept["queries"])
    highest, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.02):
            highest = max(highest, anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    # "again" finds all vectors in the cache.
    of = mine(copies, folder, num_passages) if work in ("mine", "again") else search(copies, folder, num_passages, work)
    done.set()
    watcher.join()
    return of | {"peak_mib": peak_memory(), "peak_mib_without_files": highest}


def write_corpora(passages: Sequence[str], folder: Path, sizes: Sequence[int]) -> list[str]:
    """Write a corpus of each size. Some of its texts are returned."""
    rng, words = random.Random(0), [passage.split() for passage in passages]
    files = {size: (folder / f"{size}.jsonl").open("w", encoding="utf-8") for size in sizes}
    first = []
    for i in range(max(sizes)):
        original = words[i % len(words)]
        # The rows' passages have the numbers before these, so that none of the corpus is known.
        text = f"{i + NUM_ROWS} {' '.join(rng.sample(original, len(original) * 9 // 10))}"
        line = json.dumps({"_id": f"c{i}", "text": text}) + "\n"
        for size, file in files.items():
            if i < size:
                file.write(line)
        first += [text] if i < ENCODED else []
    for file in files.values():
        file.close()
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--folder", type=Path, help="where corpora and caches go: 5 GiB (default: a temporary folder)")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(measure(given.work, given.folder, given.sizes[0])))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    works: dict[str, dict[int, Any]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = Path(temporary)
        passages, queries = originals()
        encoder = TextEncoder(load_encoder("minilm"), show_progress=False)
        vectors = {"passages": encoder.encode(passages, "passage"), "queries": encoder.encode(queries, "query")}
        np.savez(folder / "originals.npz", allow_pickle=False, **vectors)
        encoded = encode(write_corpora(passages, folder, given.sizes))
        print(f"encode: {encoded}", flush=True)
        for size, work in ((size, work) for size in given.sizes for work in WORKS if size in range(*WORKS[work])):
            command = [sys.executable, "-m", "benchmarks.scale", "--work", work, "--folder", str(folder)]
            printed = subprocess.run([*command, "--sizes", str(size)], stdout=subprocess.PIPE, check=True).stdout
            works.setdefault(work, {})[size] = json.loads(printed)
            print(f"{work}, {size:,}: {works[work][size]}", flush=True)
            write_json(
                given.out,
                {
                    "rows": NUM_ROWS,
                    "dim": int(vectors["passages"].shape[1]),
                    "encode": encoded,
                    "works": works,
                    **measured_with("faiss-cpu", "numpy"),
                },
            )
    print(f"Wrote {given.out}")


if __name__ == "__main__":
    main()
