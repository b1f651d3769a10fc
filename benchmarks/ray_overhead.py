"""What Ray costs: encoding on one worker of Ray against one process, on the same core and the same texts.

    python -m benchmarks.ray_overhead --afriqa DIR

The encoder is all-MiniLM-L6-v2, the texts are passages of AfriQA, each once. This process and every worker has one
thread. Times are medians of runs that take turns; those of Ray are measured after a first call, which starts a worker
that imports the libraries and gets the encoder. What that takes is given apart. Processor time is that of all
processes, Ray's own too; it tells what Ray costs also on a machine where others work.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# Before torch and Ray are imported. By default Ray's workers have the lowest priority.
os.environ |= {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}

import numpy as np
import psutil

from benchmarks.machine import measured_with
from benchmarks.timing import time_in_turns
from clear_ir.data.output_files import write_json
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.ray_workers import RayWorkers
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.prepare.afriqa import load_afriqa

OUT = Path(__file__).parent / "results" / "ray-overhead.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--afriqa", type=Path, required=True, help="folder with the gold passages of AfriQA")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    rows = load_afriqa(given.afriqa, ["ha", "ig", "rw", "zu"]).rows
    texts = list(dict.fromkeys(row.passage for row in rows))[: given.texts]
    encoder = load_encoder("minilm")

    def start_ray() -> None:
        import ray

        ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)

    here = TextEncoder(encoder, show_progress=False)
    there = TextEncoder(encoder, RayWorkers(), show_progress=False)
    starting = seconds_of(start_ray)
    first = seconds_of(lambda: there.encode(texts[:1], "passage"))
    encoders = {"one process": here, "Ray": there}
    processor: dict[str, list[float]] = {name: [] for name in encoders}

    def encode(name: str) -> np.ndarray:
        start = processor_time()
        vectors = encoders[name].encode(texts, "passage")
        processor[name].append(processor_time() - start)
        return vectors

    seconds, vectors = time_in_turns({name: partial(encode, name) for name in encoders}, given.rounds)
    document: dict[str, Any] = {
        "texts": len(texts),
        "seconds": seconds,
        "median": {name: median(times) for name, times in seconds.items()},
        "processor_seconds": processor,
        "median_processor": {name: median(times) for name, times in processor.items()},
        "load": os.getloadavg()[1],
        "start_of_ray": starting,
        "first_call": first,
        "equal_bit_for_bit": bool(np.array_equal(vectors["one process"], vectors["Ray"])),
    }
    write_json(given.out, {**document, **measured_with("ray", "sentence-transformers")})
    print(f"Wrote {given.out}")


def processor_time() -> float:
    """Seconds that this process and all that it started have computed so far."""
    this = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (this, *this.children(recursive=True)))


def seconds_of(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
