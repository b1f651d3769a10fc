"""What the quickstart measures, as JSON: python benchmarks/quickstart.py [--seeds 0 1]."""

from __future__ import annotations

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from clear_ir.evaluation import read_results
from clear_ir.files import write_json
from clear_ir.quickstart import run_quickstart
from clear_ir.report import score_intervals

OUT = Path(__file__).parent / "results" / "quickstart.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    given = parser.parse_args()
    found = []
    for seed in given.seeds:
        folder = given.runs / f"quickstart-{seed}"
        start = time.perf_counter()
        differences = run_quickstart(folder, seed=seed, overwrite=True)
        seconds = time.perf_counter() - start
        results = [read_results(folder / "results" / name) for name in ("base", "clear")]
        found.append(
            {
                "seed": seed,
                "seconds": round(seconds, 1),
                "scores": {result.model: score_intervals(result) for result in results},
                "differences": [vars(difference) for difference in differences],
            }
        )
    write_json(
        OUT,
        {
            "runs": found,
            "versions": {name: version(name) for name in ("clear-ir", "sentence-transformers", "torch")},
            "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        },
    )
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
