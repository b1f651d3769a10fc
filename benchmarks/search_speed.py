"""Exact top-k search: ours against faiss' flat index and one torch.topk over all scores.

    python -m benchmarks.search_speed

Random unit vectors, 10,000 queries against 100,000 passages of 384 dimensions, k = 100. Times are medians of
alternating runs; memory is what a process of its own takes at its peak beyond the embeddings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.machine import machine, peak_memory
from clear_ir.data.files import write_json
from clear_ir.encode.search import top_k

OUT = Path(__file__).parent / "results" / "search-speed.json"
K, DIM = 100, 384


def ours(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    return np.concatenate([rows for _, rows in top_k(queries, passages, K)])


def faiss_flat(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(passages)
    rows: np.ndarray = index.search(queries, K)[1]
    return rows


def torch_topk(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    import torch

    held = torch.from_numpy(passages).T
    blocks = [torch.topk(torch.from_numpy(queries[i : i + 1024]) @ held, K)[1] for i in range(0, len(queries), 1024)]
    rows: np.ndarray = torch.cat(blocks).numpy()
    return rows


WAYS = {"clear-ir": ours, "faiss, flat": faiss_flat, "torch.topk": torch_topk}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--memory-of", choices=list(WAYS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    rng = np.random.default_rng(0)

    def unit(count: int) -> np.ndarray:
        vectors = rng.standard_normal((count, DIM), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    queries, passages = unit(given.queries), unit(given.passages)
    if given.memory_of:
        WAYS[given.memory_of](queries[:8], passages[:1000])  # libraries and threads
        before = resident()
        WAYS[given.memory_of](queries, passages)
        print(json.dumps(max(0.0, peak_memory() - before)))
        return
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    best: dict[str, np.ndarray] = {}
    for _ in range(given.rounds):
        for name, way in WAYS.items():
            start = time.perf_counter()
            best[name] = way(queries, passages)
            seconds[name].append(time.perf_counter() - start)
            print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    medians = {name: median(times) for name, times in seconds.items()}
    sizes = ["--queries", str(given.queries), "--passages", str(given.passages)]
    command = [sys.executable, "-m", "benchmarks.search_speed", *sizes]
    memory = {
        name: round(float(subprocess.run([*command, "--memory-of", name], capture_output=True, check=True).stdout))
        for name in WAYS
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
            # Rounding may swap neighbours whose scores are almost equal.
            "same_top_k": {
                name: float(np.mean([len(set(a) & set(b)) / K for a, b in zip(rows, best["clear-ir"], strict=True)]))
                for name, rows in best.items()
            },
            "versions": {name: version(name) for name in ("clear-ir", "faiss-cpu", "numpy", "torch")},
            "machine": machine(),
        },
    )
    print(json.dumps({"median": medians, "MiB beyond the embeddings": memory}))
    print(f"Wrote {given.out}")


def resident() -> float:
    """MiB resident now."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


if __name__ == "__main__":
    main()
