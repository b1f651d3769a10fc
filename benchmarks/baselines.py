"""Scores of the base encoder, all-MiniLM-L6-v2, on real data, against reference scores.

    python -m benchmarks.baselines --xquad DIR --afriqa DIR

The exit code is 1 if a score differs from its reference by more than .001. The references were measured by other code
on all of XQuAD. There are none for its test split, nor for AfriQA with this pool.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from benchmarks.machine import measured_with
from clear_ir.data.output_files import write_json
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.xquad import load_xquad
from clear_ir.report.tables import Table

OUT = Path(__file__).parent / "results" / "baselines.json"
#: nDCG@10 and R@10.
REFERENCE = {
    ("xquad-de, all", "q-en.p-en"): (0.9433, 0.9899),
    ("xquad-de, all", "q-de.p-en"): (0.5091, 0.6613),
    ("xquad-de, all", "q-en.p-de"): (0.6872, 0.8597),
    ("xquad-de, all", "q-de.p-de"): (0.7040, 0.8395),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xquad", type=Path, required=True, help="folder with xquad.en.json and xquad.de.json")
    parser.add_argument("--afriqa", type=Path, required=True, help="folder with the gold passages of AfriQA")
    given = parser.parse_args()
    encoder = load_encoder("minilm")
    cells: list[dict[str, Any]] = []
    largest_difference = 0.0
    collections = (
        load_xquad(given.xquad, ["de"], "all").collection,
        load_xquad(given.xquad, ["de"], "test").collection,
        load_afriqa(given.afriqa, ["ha"]).collection,
        load_afriqa(given.afriqa, ["sw"]).collection,
    )
    with tempfile.TemporaryDirectory() as cache:  # the collections share passages
        for collection in collections:
            assert collection is not None
            name = f"{collection.name}, {collection.split}"
            for direction, result in evaluate_directions(TextEncoder(encoder, cache=Path(cache)), collection).items():
                scores = {measure: round(result.mean(measure), 6) for measure in result.measures}
                cell: dict[str, Any] = {"data": name, "direction": direction, "queries": len(result.per_query)}
                cell |= {"pool": result.num_passages, "scores": scores}
                if (name, direction) in REFERENCE:
                    cell["reference"] = dict(zip(("nDCG@10", "R@10"), REFERENCE[name, direction], strict=True))
                    differences = (abs(scores[m] - value) for m, value in cell["reference"].items())
                    largest_difference = max(largest_difference, *differences)
                cells.append(cell)
    write_json(
        OUT,
        {
            "cells": cells,
            "largest difference": round(largest_difference, 6),
            "weights_hash": weights_hash(encoder),
            **measured_with("sentence-transformers"),
        },
    )
    rows = [
        [
            c["data"], c["direction"], f"{c['scores']['nDCG@10']:.4f}", str(c.get("reference", {}).get("nDCG@10", ""))
        ]
        for c in cells
    ]  # fmt: skip
    print(Table(["data", "direction", "nDCG@10", "reference"], rows, num_names=2).markdown())
    print(f"Largest difference from a reference: {largest_difference:.6f}. Wrote {OUT}")
    return int(largest_difference > 0.001)


if __name__ == "__main__":
    sys.exit(main())
