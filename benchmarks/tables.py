"""Rewrite the benchmarks' tables and the quickstart's figure in README and docs from the committed JSON.

python -m benchmarks.tables
python -m benchmarks.tables --check
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import generated
from clear_ir.cli.datasets import data_sets_table
from clear_ir.report.figures import bar_chart
from clear_ir.report.tables import Table, definitions_table

RESULTS = generated.ROOT / "benchmarks" / "results"


def load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def value_and_change(difference: dict[str, Any]) -> str:
    """``38.4 (+11.0*)``: a score, its change against the base, and a star if it is significant."""
    value, base = difference["value"], difference["base"]
    return f"{100 * value:.1f} ({100 * (value - base):+.1f}{'*' if difference['p_holm'] < 0.05 else ''})"


def quickstart_table() -> str:
    data = load("quickstart")
    base, *_ = data["runs"][0]["scores"]
    rows = []
    for i, difference in enumerate(data["runs"][0]["differences"]):
        changes = [value_and_change(run["differences"][i]) for run in data["runs"]]
        rows.append([difference["direction"], f"{100 * difference['base']:.1f}", *changes])
    head = ["direction", base, *(f"+ CLEAR, seed {run['seed']}" for run in data["runs"])]
    seconds = ", ".join(f"{run['seconds']:.0f}" for run in data["runs"])
    queries = data["runs"][0]["differences"][0]["num_queries"]
    return (
        f"{Table(head, rows).markdown()}\n"
        f"nDCG@10 x 100 on {queries} test questions per language and 50 passages; * p < .05 (paired permutation test, "
        f"Holm). All stages took {seconds} s on {data['machine']}."
    )


def adaptation_table(name: str) -> str:
    data = load(name)
    differences = {(d["model"], d["direction"]): d for d in data["differences"]}
    directions = list(data["queries"])
    base, *_ = data["scores"]
    rows = []
    for model, scores in data["scores"].items():
        if model == base:
            rows.append([model, *(f"{100 * scores[direction]['nDCG@10']:.1f}" for direction in directions)])
        else:
            rows.append([model, *(value_and_change(differences[model, direction]) for direction in directions)])
    pools = ", ".join(f"{d}: {data['queries'][d]} queries, {data['pool'][d]} passages" for d in directions)
    return (
        f"{Table(['model', *directions], rows).markdown()}\n"
        f"nDCG@10 x 100; {pools}. {data['rows']} training rows, seed {data['seed']}, {data['machine']}; * p < .05 "
        "against the base (paired permutation test, Holm)."
    )


def atlas_table() -> str:
    data = load("atlas")
    directions = list(data["scores"]["MiniLM"])
    models = list(data["scores"])
    rows = [
        [
            direction,
            *(f"{100 * data['scores'][m][direction]:.1f}" if direction in data["scores"][m] else "" for m in models),
        ]
        for direction in directions
    ]
    return f"{Table(['direction', *models], rows).markdown()}\nnDCG@10 x 100, test split, pool of 50 passages."


def baselines_table() -> str:
    data = load("baselines")
    rows = [
        [
            cell["data"],
            cell["direction"],
            str(cell["queries"]),
            str(cell["pool"]),
            *(f"{100 * cell['scores'][measure]:.2f}" for measure in ("nDCG@10", "R@10")),
            *(f"{100 * cell['reference'][m]:.2f}" if "reference" in cell else "" for m in ("nDCG@10", "R@10")),
        ]
        for cell in data["cells"]
    ]
    head = ["data", "direction", "queries", "pool", "nDCG@10", "R@10", "reference nDCG@10", "reference R@10"]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        f"x 100; largest difference from a reference: {100 * data['largest difference']:.3f}."
    )


def mteb_table() -> str:
    data = load("mteb-speed")
    clear_ir_seconds, mteb_seconds = data["seconds"].values()
    part = ", ".join(data["measured_with_mteb"])
    num_rounds = len(data["rounds"])
    rounds = "1 round" if num_rounds == 1 else f"Medians of {num_rounds} rounds"
    return (
        f"{data['directions']} directions of XQuAD in {data['languages']} languages, all-MiniLM-L6-v2, batches of "
        f"{data['batch_size']}: clear-ir {clear_ir_seconds:.0f} s, mteb {mteb_seconds:.0f} s (scaled up from {part}), "
        f"ratio {data['ratio']:.1f}. {rounds} on {data['machine']}. Largest difference in nDCG@10: "
        f"{data['largest_difference']['nDCG@10']:.6f}."
    )


def step_table() -> str:
    data = load("training-step")
    head = ["variant", "seconds", "rows/s", "speed relative to columns", "peak MiB"]
    rows = [
        [
            name,
            f"{seconds:.1f}",
            f"{data['rows_per_second'][name]:.2f}",
            f"{data['times_columns'][name]:.2f}",
            f"{data['peak_mib'][name]:.0f}",
        ]
        for name, seconds in data["median"].items()
    ]
    same = data["equality"]
    sentences = [
        f"Batch size {data['batch_size']}, {data['negatives']} negatives: {data['texts']} texts, of which "
        f"{data['distinct_texts']} are distinct and have {data['distinct_tokens']} tokens. Medians of "
        f"{len(data['seconds']['packed'])} steps; the processes take turns, on {data['machine']}.",
        f"Packed against columns, without dropout, on {same['rows']} rows: relative difference of the loss "
        f"{same['relative_difference_of_loss']:.1e}, cosine of the gradients {same['gradient_cosine']:.9f}.",
    ]
    for name, peak in data["matmul_peak"].items():
        sentences.append(
            f"{name}: matrix products with weights, padding not counted, reach {100 * peak['share']:.0f} % of the "
            f"{peak['gflops']:.0f} GFLOP/s of a large matrix product."
        )
    if "gradient_cosine_packed bf16" in same:
        sentences.append(f"Cosine of the gradients in bf16 and float32: {same['gradient_cosine_packed bf16']:.4f}.")
    return f"{Table(head, rows).markdown()}\n{' '.join(sentences)}"


def grid_table() -> str:
    data = load("training-step")
    head = ["n", "B", "rows/s", "peak MiB"]
    cells = [(n, size, cost) for n, sizes in data["by_batch_size"].items() for size, cost in sizes.items()]
    rows = [[n, size, f"{int(size) / cost['seconds']:.2f}", f"{cost['step_mib']:.0f}"] for n, size, cost in cells]
    return (
        f"{Table(head, rows).markdown()}\n"
        f"n: negatives; B: batch size. {data['num_tokens']:,} tokens at once, on {data['machine']}. Each line is the "
        "first step of a new process; the memory is that of the process, with libraries and weights."
    )


def search_table() -> str:
    data = load("search-speed")
    rows = [
        [name, f"{seconds:.1f}", f"{data['mib_beyond_embeddings'][name]}", f"{100 * data['same_top_k'][name]:.2f}"]
        for name, seconds in data["median"].items()
    ]
    return (
        f"{Table(['search', 'seconds', 'MiB without the embeddings', '% same top k as clear-ir'], rows).markdown()}\n"
        f"{data['queries']} queries, {data['passages']} passages of {data['dim']} dimensions, k = {data['k']}. Medians "
        f"of {len(data['seconds']['clear-ir'])} runs in which all take turns, on {data['machine']}."
    )


def mining_table() -> str:
    data = load("mining-speed")
    rows = [
        [name, str(work["rows"]), *(f"{seconds:.1f}" for seconds in work["median"].values()), f"{work['ratio']:.1f}"]
        for name, work in data.items()
        if isinstance(work, dict) and "ratio" in work
    ]
    return (
        f"{Table(['work', 'rows', 'clear-ir, s', 'sentence-transformers, s', 'ratio'], rows).markdown()}\n"
        f"{data['machine']}."
    )


def encoding_table() -> str:
    data = load("encoding-speed")
    rows = [
        [
            kind,
            str(data[kind]["texts"]),
            *(f"{s:.1f}" for s in data[kind]["median"].values()),
            f"{data[kind]['ratio']:.2f}",
        ]
        for kind in ("passages", "queries")
    ]
    head = ["texts", "number", "clear-ir, s", "SentenceTransformer.encode, s", "from the cache, s", "ratio"]
    return f"{Table(head, rows).markdown()}\n{data['machine']}."


#: The tables by their name in the Markdown files. Names that begin with ``study-`` are those of the study.
TABLES: dict[str, Callable[[], str]] = {
    "data-sets": data_sets_table,
    "training-step": step_table,
    "step-grid": grid_table,
    "search-speed": search_table,
    "mining-speed": mining_table,
    "encoding-speed": encoding_table,
    "baselines": baselines_table,
    "mteb-speed": mteb_table,
    "quickstart": quickstart_table,
    "afriqa-hau": lambda: adaptation_table("afriqa-hau"),
    "atlas": atlas_table,
    "measures": lambda: definitions_table(mixed=False).markdown(padded=False),
    "measures-mixed": lambda: definitions_table(mixed=True).markdown(padded=False),
}


def figure() -> str:
    run = load("quickstart")["runs"][0]
    return bar_chart({model: {d: tuple(v) for d, v in scores.items()} for model, scores in run["scores"].items()})


def main() -> int:
    """Rewrite or check the tables and the figure."""
    figures = {"docs/quickstart.svg": figure}
    return generated.main(__doc__ or "", TABLES, figures, lambda name: not name.startswith("study-"))


if __name__ == "__main__":
    sys.exit(main())
