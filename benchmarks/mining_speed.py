"""Speed of mining hard negatives on both sides: clear-ir against mine_hard_negatives of sentence-transformers.

    python -m benchmarks.mining_speed                  # with ready embeddings
    python -m benchmarks.mining_speed --afriqa DIR     # also with encoding, on real rows

The ready embeddings are random unit vectors of 10,000 rows, which both look up by text. One call of
sentence-transformers mines one side, so it is called twice: passages for queries, queries for passages. Both skip the
best 10 ranks, use ranks up to 60 and draw five negatives at random. Times are medians of runs that take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from pathlib import Path
from statistics import median
from typing import Any, cast

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives as st_mine

from benchmarks.machine import measured_with
from benchmarks.timing import time_in_turns
from clear_ir.data.output_files import write_json
from clear_ir.data.rows import ParallelRow
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings
from clear_ir.prepare.afriqa import load_afriqa

OUT = Path(__file__).parent / "results" / "mining-speed.json"
SETTINGS = MiningSettings(num_negatives=5, range_min=10, range_max=60)


class LookUpEncoder:
    """An encoder that looks up its embeddings by text, so that encoding takes no time."""

    similarity_fn_name = "cosine"
    device = torch.device("cpu")
    max_seq_length = 256
    default_prompt_name = None

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self.vectors = vectors
        self.prompts: dict[str, str] = {}

    def encode(self, texts: list[str], convert_to_tensor: bool = False, **_: Any) -> np.ndarray | torch.Tensor:
        vectors = np.stack([self.vectors[text] for text in texts])
        return torch.from_numpy(vectors) if convert_to_tensor else vectors

    encode_query = encode_document = encode

    @staticmethod
    def similarity(first: np.ndarray | torch.Tensor, second: np.ndarray | torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(first) @ torch.as_tensor(second).T

    @staticmethod
    def similarity_pairwise(first: np.ndarray | torch.Tensor, second: np.ndarray | torch.Tensor) -> torch.Tensor:
        return (torch.as_tensor(first) * torch.as_tensor(second)).sum(dim=-1)


def mine_with_sentence_transformers(model: SentenceTransformer, rows: list[ParallelRow]) -> int:
    """Mine both sides; returns the number of rows, each side counted."""
    pairs = {
        "queries": ([row.query for row in rows], [row.passage for row in rows]),
        "passages": ([row.passage for row in rows], [row.cross_query for row in rows]),
    }
    num_mined = 0
    for anchors, positives in pairs.values():
        with contextlib.redirect_stdout(io.StringIO()):
            mined = st_mine(
                Dataset.from_dict({"anchor": anchors, "positive": positives}),
                model,
                range_min=SETTINGS.range_min,
                range_max=SETTINGS.range_max,
                num_negatives=SETTINGS.num_negatives,
                sampling_strategy="random",
                output_format="n-tuple",
                verbose=False,
            )
        num_mined += len(mined)
    return num_mined


def mine_with_clear_ir(model: SentenceTransformer, rows: list[ParallelRow]) -> int:
    """Mine both sides; returns the number of rows, each side counted."""
    return 2 * len(mine_hard_negatives(TextEncoder(model, show_progress=False), rows, SETTINGS).records)


def compare(model: SentenceTransformer, rows: list[ParallelRow], rounds: int) -> dict[str, Any]:
    functions = {
        "clear-ir": lambda: mine_with_clear_ir(model, rows),
        "sentence-transformers": lambda: mine_with_sentence_transformers(model, rows),
    }
    seconds, num_mined = time_in_turns(functions, rounds)
    medians = {name: median(times) for name, times in seconds.items()}
    ratio = round(medians["sentence-transformers"] / medians["clear-ir"], 2)
    return {"rows": len(rows), "mined": num_mined, "seconds": seconds, "median": medians, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--afriqa", type=Path, help="folder with the gold passages of AfriQA")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = [ParallelRow(f"{i}", f"q{i}", f"p{i}", f"p{i}", f"c{i}", "xx") for i in range(given.rows)]
    vectors = rng.standard_normal((3, given.rows, 384), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    encoder = LookUpEncoder({f"{side}{i}": vectors[s, i] for s, side in enumerate("qpc") for i in range(given.rows)})
    model = cast(SentenceTransformer, encoder)  # it has all attributes of an encoder that mining uses
    document = {"embeddings given": compare(model, rows, given.rounds)}
    if given.afriqa:
        real = load_afriqa(given.afriqa, ["ha", "ig"]).rows
        document["with encoding, AfriQA ha and ig"] = compare(load_encoder("minilm"), real, max(1, given.rounds // 2))
    settings = SETTINGS.model_dump(include={"num_negatives", "range_min", "range_max"})
    write_json(given.out, {**document, "settings": settings, **measured_with("sentence-transformers")})
    print(json.dumps({name: figures["ratio"] for name, figures in document.items()}))
    print(f"Wrote {given.out}")


if __name__ == "__main__":
    main()
