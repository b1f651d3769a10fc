"""Speed of encoding: clear-ir against SentenceTransformer.encode, and a second time from the cache.

    python -m benchmarks.encoding_speed --afriqa DIR

The model is all-MiniLM-L6-v2, the texts are 600 passages and 1,200 questions of AfriQA, each once. clear-ir sorts texts
by tokens and cuts batches of equal tokens. `encode` sorts by characters and cuts batches of 32 texts, its default.
Times are medians of runs that take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Literal

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np

from benchmarks.machine import measured_with
from clear_ir.data.output_files import write_json
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.prepare.afriqa import load_afriqa

OUT = Path(__file__).parent / "results" / "encoding-speed.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--afriqa", type=Path, required=True, help="folder with the gold passages of AfriQA")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    encoder = load_encoder("minilm")
    rows = load_afriqa(given.afriqa, ["ha", "ig", "rw", "zu"]).rows
    texts = {
        "passages": list(dict.fromkeys(row.passage for row in rows))[:600],
        "queries": list(dict.fromkeys(text for row in rows for text in (row.query, row.cross_query)))[:1200],
    }
    document: dict[str, Any] = {}
    for kind, chosen in texts.items():
        seconds: dict[str, list[float]] = {"clear-ir": [], "encode": [], "from the cache": []}
        vectors: dict[str, np.ndarray] = {}
        side: Literal["query", "passage"] = "passage" if kind == "passages" else "query"
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for name in seconds:
                    start = time.perf_counter()
                    if name == "encode":
                        vectors[name] = encoder.encode(chosen, normalize_embeddings=True, show_progress_bar=False)
                    else:
                        text_encoder = TextEncoder(encoder, cache=Path(folder), show_progress=False)
                        vectors[name] = text_encoder.encode(chosen, side)
                    seconds[name].append(time.perf_counter() - start)
        medians = {name: median(times) for name, times in seconds.items()}
        document[kind] = {
            "texts": len(chosen),
            "seconds": seconds,
            "median": medians,
            "ratio": round(medians["encode"] / medians["clear-ir"], 2),
            "largest_difference": float(np.abs(vectors["clear-ir"] - vectors["encode"]).max()),
        }
        print(kind, json.dumps(medians), flush=True)
    write_json(given.out, {**document, **measured_with("sentence-transformers")})
    print(f"Wrote {given.out}")


if __name__ == "__main__":
    main()
