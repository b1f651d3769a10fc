"""Seconds until the demo's page has an answer, with two models and 100,000 passages.

    python -m benchmarks.demo_speed --encoder E5

The models are all-MiniLM-L6-v2 and multilingual-e5-small. Both really encode the questions. The vectors of the passages
are random and lie in the cache, where earlier encoding would have left them. Questions are sent over HTTP as the page
sends them, one after the other, half of them in the pool of English passages and half in that of all. A time goes from
sending the question to having the whole answer. The demo has one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import measured_with
from benchmarks.running_demo import running_demo
from clear_ir.data.collection import Text, make_collection
from clear_ir.data.collection_files import write_collection
from clear_ir.data.output_files import write_json
from clear_ir.encode.cache import EmbeddingCache
from clear_ir.encode.model_loading import load_encoder, weights_hash

OUT = Path(__file__).parent / "results" / "demo-speed.json"
WORDS = ("river", "desert", "moon", "bread", "bank", "court", "drum", "tree", "bird", "metal", "light", "sound")
LANGS = ("en", "de", "sw", "hi")


def make_texts(count: int, rng: np.random.Generator) -> list[Text]:
    """Passages of 80 words in four languages."""
    words = np.array(WORDS)[rng.integers(len(WORDS), size=(count, 80))]
    return [Text(f"p{i}", f"{i} {' '.join(row)}", LANGS[i % len(LANGS)]) for i, row in enumerate(words)]


def keep_vectors(cache: Path, model_name: str, passages: list[Text], rng: np.random.Generator) -> None:
    """Put random unit vectors of the passages into the cache, as if the model had encoded them."""
    model = load_encoder(model_name)
    dim = model.get_embedding_dimension() or 0
    vectors = rng.standard_normal((len(passages), dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [passage.full_text for passage in passages]
    EmbeddingCache(cache, weights_hash(model), "passage", "fp32").add(texts, vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="folder of multilingual-e5-small")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the demo's process
    rng = np.random.default_rng(0)
    passages = make_texts(given.passages, rng)
    questions = [
        (f"q{i}", f"p{i}", {"en": f"{' '.join(rng.choice(WORDS, 8))} {i}?"}) for i in range(max(1000, given.questions))
    ]
    seconds: dict[str, list[float]] = {"en": [], "all": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_collection(folder / "data", make_collection("many", passages, questions))
        models = ["minilm", given.encoder]
        for model in models:
            keep_vectors(folder / "cache", model, passages, rng)
        given_models = [part for model in models for part in ("--model", model)]
        start = time.perf_counter()
        with running_demo(folder, *given_models, "--data", folder / "data", "--cache", folder / "cache") as demo:
            ready = time.perf_counter() - start
            if "Encoding" in (folder / "output.txt").read_text():
                raise RuntimeError("The passages were encoded; they should come from the cache.")
            for i in range(given.questions + 2):  # the first two are not counted
                pool = list(seconds)[i % 2]
                begun = time.perf_counter()
                status, stream = demo.call([questions[i][2]["en"], pool, False], f"session{i}")
                took = time.perf_counter() - begun
                if status != 200 or b'"success":true' not in stream:
                    raise RuntimeError(f"The demo gave no answer: {status} {stream[-500:]!r}")
                if i > 1:
                    seconds[pool].append(took)
    document: dict[str, Any] = {
        "passages": given.passages,
        "languages": len(LANGS),
        "models": ["all-MiniLM-L6-v2", "multilingual-e5-small"],
        "seconds_to_start": ready,
        "seconds": seconds,
        "median": {pool: median(times) for pool, times in seconds.items()},
        "slowest": {pool: max(times) for pool, times in seconds.items()},
        **measured_with("gradio", "numpy"),
    }
    write_json(given.out, document)
    print(json.dumps({key: document[key] for key in ("seconds_to_start", "median", "slowest")}))
    print(f"Wrote {given.out}")


if __name__ == "__main__":
    main()
