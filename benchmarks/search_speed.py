"""Speed and memory of exact top-k search: clear-ir against faiss's flat index, and against torch.topk on all scores.

    python -m benchmarks.search_speed

The data are random unit vectors: 10,000 queries, 100,000 passages, 384 dimensions, k = 100. Times are medians of runs
that take turns. Memory is the peak of a separate process for each search, without the embeddings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.machine import measured_with, peak_memory
from benchmarks.timing import time_in_turns
from clear_ir.data.output_files import write_json
from clear_ir.encode.search import top_k

OUT = Path(__file__).parent / "results" / "search-speed.json"
K, DIM = 100, 384


def search_clear_ir(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    return np.concatenate([rows for _, rows in top_k(queries, passages, K)])


def search_faiss(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(passages)
    rows: np.ndarray = index.search(queries, K)[1]
    return rows


def search_torch(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    import torch

    columns = torch.from_numpy(passages).T
    blocks = [torch.topk(torch.from_numpy(queries[i : i + 1024]) @ columns, K)[1] for i in range(0, len(queries), 1024)]
    rows: np.ndarray = torch.cat(blocks).numpy()
    return rows


SEARCHES = {"clear-ir": search_clear_ir, "faiss, flat": search_faiss, "torch.topk": search_torch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--memory-of", choices=list(SEARCHES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    rng = np.random.default_rng(0)

    def unit(count: int) -> np.ndarray:
        vectors = rng.standard_normal((count, DIM), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    queries, passages = unit(given.queries), unit(given.passages)
    if given.memory_of:
        SEARCHES[given.memory_of](queries[:8], passages[:1000])  # loads libraries and starts threads
        before = resident()
        SEARCHES[given.memory_of](queries, passages)
        print(json.dumps(max(0.0, peak_memory() - before)))
        return
    functions = {name: partial(search, queries, passages) for name, search in SEARCHES.items()}
    seconds, best = time_in_turns(functions, given.rounds)
    medians = {name: median(times) for name, times in seconds.items()}
    sizes = ["--queries", str(given.queries), "--passages", str(given.passages)]
    command = [sys.executable, "-m", "benchmarks.search_speed", *sizes]
    memory = {
        name: round(float(subprocess.run([*command, "--memory-of", name], capture_output=True, check=True).stdout))
        for name in SEARCHES
    }
    write_json(
        given.out,
        {
            "queries": given.queries,
            "passages": given.passages,
            "dim": DIM,
            "k": K,
            "seconds": seconds,
            "median": medians,
            "mib_beyond_embeddings": memory,
            # Not always 1: other rounding may swap passages whose scores are almost equal.
            "same_top_k": {
                name: float(np.mean([len(set(a) & set(b)) / K for a, b in zip(rows, best["clear-ir"], strict=True)]))
                for name, rows in best.items()
            },
            **measured_with("faiss-cpu", "numpy"),
        },
    )
    print(json.dumps({"median": medians, "MiB beyond the embeddings": memory}))
    print(f"Wrote {given.out}")


def resident() -> float:
    """The resident memory of this process now, in MiB."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


if __name__ == "__main__":
    main()
