"""Tables of docs/scale.md: what each part of mining costs, indexes, and a formula for 100 million passages."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks import generated
from benchmarks.choosing import E5_SMALL, GPUS, SHARE, SIZES
from clear_ir.encode.vectors import MAPPED_FROM
from clear_ir.report.tables import Table

#: The parts of mining, and what each is.
PARTS = {
    "read": "read the corpus, find repeated texts",
    "vectors": "keep the vectors in the cache",
    "search": "search and choose",
    "write": "write the rows",
}
#: What is estimated: passages, rows to mine for, tokens of a passage, GPUs.
PASSAGES, ROWS, TOKENS, NUM_GPUS = 10**8, 10**6, 100, 8
#: Peak of an H100 in float32, without its tensor cores, in TFLOP/s, from NVIDIA's data sheet.
FP32_TFLOPS = 67


def parts_table() -> str:
    """Processor seconds of each part of mining by size of the corpus."""
    data = _load()
    mine, again = data["works"]["mine"], data["works"]["again"]
    sizes = sorted(mine, key=int)
    rows = [[title, *_seconds(mine, part, sizes)] for part, title in PARTS.items()]
    rows.append(["vectors, read from the cache", *_seconds(again, "vectors", sizes)])
    for title, name in (("peak MiB", "peak_mib"), ("peak MiB without mapped files", "peak_mib_without_files")):
        highest = {size: max(mine[size][name], again.get(size, mine[size])[name]) for size in sizes}
        rows.append([title, *(f"{value:.0f}" for value in highest.values()), ""])
    head = ["part", *(f"{int(size):,}" for size in sizes), "slope"]
    encode = data["encode"]
    return (
        f"{Table(head, rows).markdown()}\n"
        f"Processor seconds of one thread for {data['rows']:,} rows, {data['dim']} dimensions, on {data['machine']}. "
        "Slope: the power of the number of passages with which the time grows from the middle size to the largest. "
        f"Encoding comes on top: all-MiniLM-L6-v2 encoded {encode['texts']} of these texts at "
        f"{encode['texts'] / encode['seconds']:.0f} a second, which makes "
        f"{10**6 * encode['seconds'] / encode['texts'] / 3600:.0f} processor hours for a million."
    )


def indexes_table() -> str:
    """What it takes to make and to search each index, and its recall."""
    data = _load()
    exact = data["works"]["exact"]
    rows = []
    for name in ("exact", "flat", "ivf", "hnsw"):
        for size, of in data["works"].get(name, {}).items():
            if size not in data["works"]["ivf"]:
                continue
            row = 1000 * of["search"] / data["rows"]
            exact_row = 1000 * exact[size]["search"] / data["rows"]
            is_index = "window" in of
            found = [f"{100 * of['window']:.1f}", _pays_off(of["make"], exact_row - row)] if is_index else ["100.0", ""]
            memory = f"{of['peak_mib_without_files']:.0f}"
            made = f"{of['make']:.0f}" if is_index else ""
            rows.append([name, f"{int(size):,}", made, f"{row:.1f}", memory, *found])
    head = ["index", "passages", "made in, s", "a row, ms", "MiB", "of the window, %", "pays off from rows"]
    return (
        f"{Table(head, rows).markdown()}\n"
        "Processor time of one thread, the best 101 passages. MiB: peak without mapped files, which hold the vectors. "
        f"To make an index includes to measure its recall. On {data['machine']}."
    )


def _pays_off(made: float, saved: float) -> str:
    """From how many rows an index takes less time than to score all, by its seconds and what it saves a row in ms."""
    return f"{1000 * made / saved:,.0f}" if saved > 0 else "never"


def estimate_table() -> str:
    """Hours and memory for 100 million passages, by formula."""
    data = _load()
    mine = data["works"]["mine"]
    middle, largest = sorted(mine, key=int)[-2:]
    growth = PASSAGES / int(largest)
    peak = GPUS["H100"][0] * 1e12 * SHARE * NUM_GPUS
    gpus = f"{NUM_GPUS} H100, {SHARE:.0%} of the peak"
    encoders = {"multilingual-e5-small": E5_SMALL, **SIZES}
    rows = []
    for part in ("read", "vectors"):
        seconds = mine[largest][part] * growth ** _slope(mine, part, [middle, largest])
        rows.append([PARTS[part], "one process, by the slope", _duration(seconds)])
    for name, size in encoders.items():
        seconds = 2 * size.body * 1e6 * TOKENS * PASSAGES / peak
        rows.append([f"encode, {name}", f"{gpus} in bf16", _duration(seconds)])
    seconds = 2 * data["dim"] * PASSAGES * ROWS / (FP32_TFLOPS * 1e12 * SHARE * NUM_GPUS)
    rows.append([f"search for {ROWS:,} rows", f"{gpus} in float32", _duration(seconds)])
    exact = data["works"]["exact"]
    measured = max(exact, key=int)
    core = exact[measured]["search"] / data["rows"] * ROWS * PASSAGES / int(measured)
    rows.append(["the same", f"one core, by what {int(measured):,} took", _duration(core)])
    rows.append(["write", "one process", _duration(mine[largest]["write"] / data["rows"] * ROWS)])
    texts = (_texts_mib(data, largest) - _texts_mib(data, middle)) / (int(largest) - int(middle))
    return (
        f"{Table(['part', 'where', 'time'], rows, 2).markdown()}\n"
        f"**Estimated, not measured.** {PASSAGES:,} passages of {TOKENS} tokens, {data['dim']} numbers each. Peaks are "
        f"those of NVIDIA's data sheets: {GPUS['H100'][0]} TFLOP/s in bf16, {FP32_TFLOPS} in float32. Embeddings take "
        f"{PASSAGES * data['dim'] * 4 / 1e9:.0f} GB on disk, twice that with the cache. Texts and their keys take "
        f"{texts * PASSAGES / 1024:.0f} GiB of memory, by the slope."
    )


def _texts_mib(data: dict[str, Any], size: str) -> float:
    """The peak without what grows only as long as it is too small for a mapped file: the vectors."""
    vectors = int(size) * data["dim"] * 4
    peak: float = data["works"]["mine"][size]["peak_mib_without_files"]
    return peak - (vectors / 2**20 if vectors < MAPPED_FROM else 0)


def _seconds(works: dict[str, Any], part: str, sizes: list[str]) -> list[str]:
    cells = [f"{works[size][part]:.1f}" if size in works else "" for size in sizes]
    known = [size for size in sizes if size in works]
    # To write depends on the rows alone.
    has_slope = part != "write" and len(known) > 1
    return [*cells, f"{_slope(works, part, known[-2:]):.2f}" if has_slope else ""]


def _slope(works: dict[str, Any], part: str, sizes: list[str]) -> float:
    """The power of the size with which a part's time grows."""
    first, last = (works[size][part] for size in sizes)
    return float(np.log(last / first) / np.log(int(sizes[1]) / int(sizes[0])))


def _duration(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def _load() -> Any:
    path = generated.ROOT / "benchmarks" / "results" / "scale.json"
    return json.loads(path.read_text(encoding="utf-8"))
