"""Time and memory of one training step: forward and backward of one batch.

    python -m benchmarks.training_step --afriqa DIR

The data are mined rows of AfriQA, the model is all-MiniLM-L6-v2, or the one of --encoder. The variants:

- columns: the same loss through sentence-transformers' CachedLossMixin: column after column, with padding and repeats,
- mnrl: CachedMultipleNegativesRankingLoss of sentence-transformers, on the columns that it reads,
- packed: CachedCLEARLoss, with fast_dropout as in clear-ir train,
- packed plain dropout: the same without fast_dropout, as in a script that only replaces the loss,
- one pass: CLEARLoss, without the gradient cache; only on request, since it needs 14 GB and more,
- used: with used_vocabulary, as in clear-ir train; for encoders with a large vocabulary,
- bf16: under autocast, if the machine has bf16.

With --optimizer, a step also clips the gradient and runs AdamW. `make bench E5=FOLDER` compares a multilingual encoder
so.

Each variant runs in a separate process, so that none profits from memory that another has allocated. The first step of
each is not counted. Then the processes take turns, and medians are compared; the variants with one pass come last, one
at a time. Memory is the highest resident memory of each process.

The grid over batch sizes and numbers of negatives has one token budget. Each cell is the first step of a new process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

from benchmarks.machine import measured_with, peak_memory
from clear_ir import CachedCLEARLoss, CLEARLoss, used_vocabulary
from clear_ir.data.output_files import write_json, write_jsonl
from clear_ir.data.training_rows import TrainingRows, read_training_rows, training_columns
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.precision import cpu_has_bf16
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.loss.clear_loss import PackedBatch
from clear_ir.loss.columns import lay_out
from clear_ir.loss.dropout import fast_dropout
from clear_ir.loss.packing import Group, PackedColumns, pack_columns, text_keys
from clear_ir.loss.token_budget import NUM_TOKENS, for_device
from clear_ir.loss.vocabulary import used_rows_of
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings
from clear_ir.prepare.afriqa import load_afriqa

OUT = Path(__file__).parent / "results" / "training-step.json"
#: Texts per mini-batch of the losses that count texts.
TEXTS_AT_ONCE = 32
#: Rows of the batch on which loss and gradients are compared.
EQUALITY_ROWS = 16
VARIANTS = ("columns", "mnrl", "packed plain dropout", "packed", "packed bf16")


class ColumnByColumn(CachedCLEARLoss):
    """The CLEAR loss, but the columns are embedded as in the cached losses of sentence-transformers."""

    def _pack(self, features: list[dict[str, Any]], labels: torch.Tensor | None = None) -> PackedBatch:
        columns = lay_out(len(features), self.weights, self.num_negatives)
        used = {column: features[column] for column in columns.used}
        places = {column: (i, torch.arange(len(f["input_ids"]))) for i, (column, f) in enumerate(used.items())}
        keys = {column: text_keys(f) for column, f in used.items()}
        return PackedBatch(columns, keys, PackedColumns([Group(f, None) for f in used.values()], places))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--afriqa", type=Path, required=True, help="folder with the gold passages of AfriQA")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the mined rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 64, 256, 1024], help="batch sizes of the grid")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), help="others: one pass, one pass bf16")
    parser.add_argument("--encoder", default="minilm", help="name of the encoder, or a folder of that name")
    parser.add_argument("--max-seq-length", type=int, help="tokens of a text, at most; default: the encoder's")
    parser.add_argument("--optimizer", action="store_true", help="a step includes clipping and AdamW")
    parser.add_argument("--rows-negatives", type=int, default=5, help="negatives a side where variants are compared")
    parser.add_argument("--negatives", type=int, nargs="*", default=[1, 5], help="numbers of negatives of the grid")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--grid-only", action="store_true", help="add the missing cells of the grid to --out")
    parser.add_argument("--worker", nargs=3, metavar=("VARIANT", "B", "N"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        name, size, negatives = given.worker[0], *map(int, given.worker[1:])
        bench = Bench(given, size, negatives)
        before = peak_memory()
        for _ in sys.stdin:  # each line asks for one step
            measured = {"seconds": bench.step(name), "step_mib": peak_memory(), "before_mib": before}
            print(json.dumps(measured), flush=True)
        return

    for negatives in {given.rows_negatives, *given.negatives}:
        mined_rows(given, negatives)  # here, since the memory of the other processes is measured
    document = json.loads(given.out.read_text()) if given.grid_only else measure_time(given)
    # Written after each cell: the grid takes an hour on two cores.
    write_json(given.out, document)
    grid = document.setdefault("by_batch_size", {})
    for negatives in given.negatives:
        cells = grid.setdefault(str(negatives), {})
        for size in given.sizes:
            if str(size) not in cells:
                with Worker(given, "packed", size, negatives) as worker:
                    cells[str(size)] = worker.step()
                write_json(given.out, document)
    print(f"Wrote {given.out}")


def measure_time(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds and memory of each variant, the equality of losses and gradients, and the share of the machine's peak."""
    negatives = given.rows_negatives
    document = measured_with("sentence-transformers") | {"batch_size": given.batch_size, "negatives": negatives}
    document |= {"encoder": Path(given.encoder).name, "optimizer": given.optimizer}
    document["equality"] = Bench(given, EQUALITY_ROWS, negatives).compare() | {"rows": EQUALITY_ROWS}
    print(json.dumps(document["equality"]), flush=True)

    names = [name for name in given.variants if cpu_has_bf16() or not name.endswith("bf16")]
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    # The variants with one pass keep all activations. They come last, one at a time: each needs most of the memory.
    one_pass = [[name] for name in names if name.startswith("one pass")]
    for group in ([name for name in names if [name] not in one_pass], *one_pass):
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(given, name, given.batch_size, negatives)) for name in group}
            for worker in workers.values():
                worker.step()
            for _ in range(given.rounds):
                for name, worker in workers.items():
                    steps[name].append(worker.step())
    medians = {name: median(step["seconds"] for step in measured) for name, measured in steps.items()}
    bench = Bench(given, given.batch_size, negatives)
    tokens = bench.distinct_tokens()
    shares = {}
    for name, seconds in medians.items():
        kind = torch.bfloat16 if name.endswith("bf16") else torch.float32
        # A backward pass counts as two passes; packed has two forward passes.
        passes = {"packed": 4, "packed used": 4, "one pass": 3}.get(name.removesuffix(" bf16"))
        if passes:
            peak = matmul_peak(kind)
            work = passes * tokens * bench.flops_per_token
            shares[name] = {"gflops": round(peak / 1e9, 1), "share": round(work / seconds / peak, 3)}
    return document | {
        "texts": bench.texts,
        "distinct_texts": bench.distinct,
        "distinct_tokens": tokens,
        "num_tokens": for_device(NUM_TOKENS, bench.model.device),
        "seconds": {name: [step["seconds"] for step in measured] for name, measured in steps.items()},
        "median": medians,
        "rows_per_second": {name: round(given.batch_size / seconds, 3) for name, seconds in medians.items()},
        "distinct_pieces": bench.distinct_pieces(),
        "times_columns": {name: round(medians["columns"] / seconds, 2) for name, seconds in medians.items()},
        "peak_mib": {name: max(step["step_mib"] for step in measured) for name, measured in steps.items()},
        "matmul_peak": shares,
    }


class Bench:
    """One batch, and the losses of the variants."""

    def __init__(self, given: argparse.Namespace, size: int, negatives: int) -> None:
        self.model = load_encoder(given.encoder).train()
        if given.max_seq_length:
            self.model.max_seq_length = given.max_seq_length
        self.all_rows = mined_rows(given, negatives).records
        rows = self.all_rows[:size]
        if len(rows) < size:
            raise SystemExit(f"There are only {len(rows)} mined rows, fewer than the batch size {size}.")
        columns = training_columns(negatives, negatives)
        texts = [[row[column] for row in rows] for column in columns]
        # A dict of tensors, as from the trainer. The tokenizer's output also holds records three times as large.
        self.features = [dict(self.model.preprocess(column)) for column in texts]
        self.texts, self.distinct = sum(map(len, texts)), len({text for column in texts for text in column})
        transformer: Any = self.model[0].auto_model
        self.flops_per_token = 2 * sum(p.numel() for p in transformer.encoder.parameters())
        # The columns that mnrl reads: the target-language query and the passages.
        self.baseline_columns = [2 + negatives, *range(1, 2 + negatives)]
        self.columns, self.optimizer = columns, given.optimizer
        self.context = ExitStack()
        self.steps: Callable[[], None] | None = None
        self.losses: dict[str, torch.nn.Module] = {
            "columns": ColumnByColumn(self.model, mini_batch_size=TEXTS_AT_ONCE, deduplicate=False),
            "mnrl": CachedMultipleNegativesRankingLoss(self.model, mini_batch_size=TEXTS_AT_ONCE),
            "packed": CachedCLEARLoss(self.model),
            "one pass": CLEARLoss(self.model),
        }

    def distinct_tokens(self) -> int:
        """Tokens of the batch, each distinct text once, without padding."""
        columns = dict(enumerate(self.features))
        packed = pack_columns(columns, {column: text_keys(features) for column, features in columns.items()})
        return sum(int(group.lengths.sum()) for group in packed.groups)

    def step(self, name: str) -> float:
        """Seconds of one step."""
        kind = name.removesuffix(" bf16").removesuffix(" used").removesuffix(" plain dropout")
        if self.steps is None:
            self.steps = self._prepare(name)
        with_fast_dropout = kind in ("packed", "one pass") and not name.endswith("plain dropout")
        chosen = self.baseline_columns if kind == "mnrl" else range(len(self.features))
        features = [dict(self.features[column]) for column in chosen]
        self.model.zero_grad()
        torch.manual_seed(0)
        start = time.perf_counter()
        with fast_dropout() if with_fast_dropout else nullcontext():
            with torch.autocast("cpu", torch.bfloat16, enabled=name.endswith("bf16")):
                self.value = self.losses[kind](features, None)
            self.value.backward()
            self.steps()
        return time.perf_counter() - start

    def _prepare(self, name: str) -> Callable[[], None]:
        """Put the used rows in place if the variant has them; what follows the backward pass in each step."""
        if " used" in name:
            texts = {column: [row[column] for row in self.all_rows] for column in self.columns}
            self.context.enter_context(used_vocabulary(self.model, texts))
        if not self.optimizer:
            return lambda: None
        # So small that the texts' lengths, and not the steps before, decide the time.
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-9, weight_decay=0, fused=True)

        def steps() -> None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()

        return steps

    def distinct_pieces(self) -> int:
        """Pieces of the vocabulary that the texts of all rows use."""
        texts = {column: [row[column] for row in self.all_rows] for column in self.columns}
        with used_vocabulary(self.model, texts):
            return sum(len(table.used) for table in used_rows_of(self.model))

    def compare(self) -> dict[str, float]:
        """Loss and gradient of `packed` against `columns`, and of bf16 against float32, without dropout."""
        outcomes: dict[str, tuple[float, torch.Tensor]] = {}
        self.model.eval()
        names = ["columns", "packed", *(["packed bf16"] if cpu_has_bf16() else [])]
        for name in names:
            self.step(name)
            gradient = torch.cat([p.grad.flatten() for p in self.model.parameters() if p.grad is not None])
            outcomes[name] = self.value.item(), gradient.double()
        self.model.train()
        (first, g), (second, h) = outcomes["columns"], outcomes["packed"]
        return {
            "loss": second,
            "relative_difference_of_loss": abs(first - second) / abs(first),
            "gradient_cosine": cosine(g, h),
            "gradient_norm": float(h.norm()),
            **{f"gradient_cosine_{name}": cosine(g, outcomes[name][1]) for name in names[2:]},
        }


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


def mined_rows(given: argparse.Namespace, negatives: int) -> TrainingRows:
    """Rows of all languages. They are mined once, by all-MiniLM-L6-v2, and stored in the folder of the runs."""
    path = given.runs / f"afriqa-step-n{negatives}.jsonl"
    if not path.exists():
        rows = load_afriqa(given.afriqa, ["ha", "ig", "rw", "zu"]).rows
        settings = MiningSettings(num_negatives=negatives, range_min=10, range_max=60)
        write_jsonl(path, mine_hard_negatives(TextEncoder(load_encoder("minilm")), rows, settings).records)
    return read_training_rows(path)


class Worker:
    """A process that makes steps of one variant, one for each call of `step`."""

    def __init__(self, given: argparse.Namespace, name: str, size: int, negatives: int) -> None:
        self.label = f"{name}, B {size}, n {negatives}"
        command = [sys.executable, "-m", "benchmarks.training_step"]
        command += ["--afriqa", str(given.afriqa), "--runs", str(given.runs)]
        command += ["--encoder", given.encoder, *(["--optimizer"] if given.optimizer else [])]
        command += ["--max-seq-length", str(given.max_seq_length)] if given.max_seq_length else []
        command += ["--worker", name, str(size), str(negatives)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def step(self) -> dict[str, float]:
        """Seconds of a step, and peak memory of the process before and after it in MiB."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.label}: the process has stopped; is there enough memory?")
        measured: dict[str, float] = json.loads(line)
        print(f"{self.label}: {measured['seconds']:.1f} s, {measured['step_mib']:.0f} MiB", flush=True)
        return measured


def matmul_peak(kind: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product, the best of five."""
    a, best = torch.randn(2048, 2048).to(kind), 0.0
    for _ in range(5):
        start = time.perf_counter()
        _ = a @ a
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main()
