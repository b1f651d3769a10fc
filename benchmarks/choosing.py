"""Tables of docs/choosing.md: what training took where it was measured, and by formula for larger encoders on GPUs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from benchmarks import generated
from clear_ir.report.tables import Table

#: Encoder and folder of the study, with the trainings to show and what they are called on the page. Not those on a GPU:
#: ten of them ran on it at once.
TRAININGS = (
    ("minilm", "all-MiniLM-L6-v2", {"clear + cross + guard, KL detached": "clear, both sides"}),
    (
        "e5-small",
        "multilingual-e5-small",
        {
            "align: auto": "align, without training",
            "infonce": "infonce, both sides",
            "queries alone": "queries alone",
        },
    ),
)
#: Steps whose memory was measured: the JSON, the encoder, the step.
STEPS = (
    ("training-step", "all-MiniLM-L6-v2", "packed bf16"),
    ("training-step-e5-small", "multilingual-e5-small", "packed used bf16"),
    ("training-step-e5-small-b64", "multilingual-e5-small", "packed used bf16"),
)
#: Dense peak in bf16 (T4: fp16) in TFLOP/s, and GiB of memory, from NVIDIA's data sheets.
GPUS = {"T4": (65, 16), "A100": (312, 80), "H100": (989, 80)}
#: The share of the peak that a step is assumed to reach.
SHARE = 0.25
ROWS, EPOCHS = 10_000, 5
#: Libraries, activations of one mini-batch and the GPU's context, in GiB.
REST_GIB = 2.0


@dataclass(frozen=True)
class Size:
    """Parameters of an encoder, in millions, and its width.

    Args:
        body: Without the embedding table.
        table: Of the embedding table.
        width: Numbers of an embedding.
    """

    body: float
    table: float
    width: int

    def step_flops(self, tokens: float) -> float:
        """Operations of training on so many tokens: 2 forward, 4 backward, 2 for the gradient cache, each parameter."""
        return 8 * self.body * 1e6 * tokens

    def gib(self, pieces: int) -> float:
        """Memory in float32: weights, gradient and AdamW's two moments; of the table only `pieces` rows are trained."""
        return (16 * (self.body * 1e6 + pieces * self.width) + 4 * self.table * 1e6) / 2**30 + REST_GIB


E5_SMALL = Size(21.3, 96, 384)
SIZES = {
    "multilingual-e5-base": Size(86, 192, 768),
    "bge-m3, multilingual-e5-large": Size(312, 256, 1024),
}


def measured_table() -> str:
    """Minutes of training in the study."""
    rows = []
    for folder, encoder, trainings in TRAININGS:
        path = generated.ROOT / "study" / "results" / folder / "test-afriqa.json"
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for name, title in trainings.items():
            cell = cells[f"{name}, seed 0"]
            seconds = cell.get("train_processor_seconds", cell.get("train_seconds"))
            rows.append([encoder, title, cell["machine"], f"{cell['rows']:,}", f"{seconds / 60:.1f}"])
    return (
        f"{Table(['encoder', 'training', 'machine', 'rows', 'minutes'], rows, 3).markdown()}\n"
        "AfriQA, questions in four languages, seed 0. Minutes of one processor; for all-MiniLM-L6-v2 on the clock."
    )


def memory_table() -> str:
    """Peak memory and speed of steps of training that were measured."""
    rows = []
    for name, encoder, step in STEPS:
        data = _load(name)
        size, negatives = data["batch_size"], data["negatives"]
        cost = [f"{data['rows_per_second'][step]:.1f}", f"{data['peak_mib'][step] / 1024:.1f}"]
        rows.append([encoder, str(size), str(negatives), *cost, data["machine"]])
    head = ["encoder", "rows a batch", "negatives a side", "rows a second", "peak GiB", "machine"]
    return f"{Table(head, rows).markdown()}\nThe loss clear on both sides in bf16 (docs/performance.md)."


def estimated_table() -> str:
    """Minutes and memory of larger encoders on GPUs, by formula."""
    step = _load("training-step-e5-small")
    tokens = step["distinct_tokens"] / step["batch_size"]
    rows = []
    for encoder, size in SIZES.items():
        gib = size.gib(step["distinct_pieces"])
        for gpu, (tflops, memory) in GPUS.items():
            minutes = size.step_flops(ROWS * EPOCHS * tokens) / (SHARE * tflops * 1e12) / 60
            rows.append([encoder, gpu, f"{minutes:.1f}", f"{gib:.0f} of {memory}"])
    return (
        f"{Table(['encoder', 'GPU', 'minutes at least, estimated', 'GiB, estimated'], rows, 2).markdown()}\n"
        f"**Estimated, not measured.** {ROWS:,} rows, {EPOCHS} epochs, {tokens:.0f} tokens a row, {SHARE:.0%} of the "
        f"GPU's peak, {step['distinct_pieces']:,} pieces of the vocabulary. The same formula gives "
        f"{_checked():.1f} s for a step of multilingual-e5-small on the CPU above at its measured share of the peak; "
        f"{step['median']['packed used bf16']:.1f} s were measured. A small encoder lets a GPU wait most of the time, "
        "so the minutes are the least that it can take."
    )


def _checked() -> float:
    """Seconds that the formula gives for a step that was measured."""
    step = _load("training-step-e5-small")
    peak = step["matmul_peak"]["packed used bf16"]
    flops = E5_SMALL.step_flops(step["distinct_tokens"])
    return float(flops / (peak["share"] * peak["gflops"] * 1e9))


def _load(name: str) -> Any:
    path = generated.ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))
