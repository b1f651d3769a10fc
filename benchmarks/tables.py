"""Rewrite the benchmarks' tables and the quickstart's figure in README and docs from the committed JSON.

python -m benchmarks.tables
python -m benchmarks.tables --check
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import choosing, generated, scale_tables
from clear_ir.cli.datasets import data_sets_table
from clear_ir.cli.recipe import recipes_table
from clear_ir.data.settings import Settings, describe_settings
from clear_ir.loss.terms import TERMS
from clear_ir.recipes.recipe import STAGES
from clear_ir.report.figures import bar_chart
from clear_ir.report.tables import Table, definitions_table
from clear_ir.translate.quality import CHECKS

RESULTS = generated.ROOT / "benchmarks" / "results"


def load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def taken(num_runs: int) -> str:
    """Which runs a time stands for."""
    return "one run" if num_runs == 1 else f"median of {num_runs} runs that take turns"


def value_and_change(difference: dict[str, Any]) -> str:
    """`38.4 (+11.0*)`: a score, its change against the base, and a star if it is significant."""
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
    pools = "; ".join(f"{d}: {data['queries'][d]} queries, {data['pool'][d]} passages" for d in directions)
    return (
        f"{Table(['model', *directions], rows).markdown()}\n"
        f"nDCG@10 x 100, the change from the base in brackets; * p < .05 (paired permutation test, Holm). {pools}. "
        f"{data['rows']} training rows, seed {data['seed']}, on {data['machine']}."
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
            *(with_reference(cell, measure) for measure in ("nDCG@10", "R@10")),
        ]
        for cell in data["cells"]
    ]
    head = ["data", "direction", "queries", "pool", "nDCG@10", "R@10"]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        "Scores are times 100, the reference in brackets. Largest difference from a reference: "
        f"{100 * data['largest difference']:.3f}."
    )


def with_reference(cell: dict[str, Any], measure: str) -> str:
    """A score, and in brackets what other code measured, where it did."""
    reference = f" ({100 * cell['reference'][measure]:.2f})" if "reference" in cell else ""
    return f"{100 * cell['scores'][measure]:.2f}{reference}"


def mteb_table() -> str:
    data = load("mteb-speed")
    ours, theirs = data["seconds"].values()
    part = data["measured_with_mteb"]
    rows = [["clear-ir", f"{ours:.0f}", "1.0"], ["mteb", f"{theirs:.0f}", f"{data['ratio']:.1f}"]]
    return (
        f"{Table(['evaluation', 'seconds', 'times clear-ir'], rows).markdown()}\n"
        f"{data['directions']} directions of XQuAD in {data['languages']} languages with all-MiniLM-L6-v2, "
        f"{data['batch_size']} texts a batch, {taken(len(data['rounds']))}, on {data['machine']}. mteb was measured on "
        f"{len(part)} directions ({', '.join(part)}), and its time scaled up to all. Largest difference in nDCG@10: "
        f"{data['largest_difference']['nDCG@10']:.6f}."
    )


def step_table(name: str = "training-step") -> str:
    data = load(name)
    head = ["step", "seconds", "rows a second", "speed-up", "peak MiB"]
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
    negatives = "negative" if data["negatives"] == 1 else "negatives"
    paragraph = (
        f"{data['batch_size']} rows with {data['negatives']} {negatives} a side: {data['texts']} texts, "
        f"{data['distinct_texts']} of them distinct, {data['distinct_tokens']:,} tokens. One step of the training, "
        f"{taken(len(data['seconds']['columns']))}, on {data['machine']}."
    )
    if data.get("optimizer"):
        paragraph = paragraph.replace(
            "One step of the training", f"One step of {data['encoder']} with clipping and AdamW"
        )
        paragraph += f" The rows to train on use {data['distinct_pieces']:,} pieces of the vocabulary."
    sentences = [
        f"Same result: without dropout, on {same['rows']} rows, packed and columns differ in the loss by a share of "
        f"{same['relative_difference_of_loss']:.1e}, and the cosine of their gradients is "
        f"{same['gradient_cosine']:.9f}.",
    ]
    if "gradient_cosine_packed bf16" in same:
        cosine = same["gradient_cosine_packed bf16"]
        sentences.append(f"The cosine of the gradients in bf16 and in float32 is {cosine:.4f}.")
    for name, peak in data["matmul_peak"].items():
        sentences.append(
            f"The matrix products of {name}, without those of padding, run at {100 * peak['share']:.0f} % of the "
            f"{peak['gflops']:.0f} GFLOP/s that a large matrix product reaches."
        )
    return f"{Table(head, rows).markdown()}\n{paragraph}\n\n{' '.join(sentences)}"


def grid_table() -> str:
    data = load("training-step")
    head = ["negatives a side", "rows a batch", "rows a second", "peak MiB"]
    cells = [(n, size, cost) for n, sizes in data["by_batch_size"].items() for size, cost in sizes.items()]
    rows = [[n, size, f"{int(size) / cost['seconds']:.2f}", f"{cost['step_mib']:.0f}"] for n, size, cost in cells]
    return (
        f"{Table(head, rows).markdown()}\n"
        f"{data['num_tokens']:,} tokens at once, {data['machine']}. Each line is the first step of a new process; its "
        "memory includes libraries and weights."
    )


def search_table() -> str:
    data = load("search-speed")
    rows = [
        [name, f"{seconds:.1f}", f"{data['mib_beyond_embeddings'][name]}", f"{100 * data['same_top_k'][name]:.2f}"]
        for name, seconds in data["median"].items()
    ]
    return (
        f"{Table(['search', 'seconds', 'MiB beyond the embeddings', 'same top k, %'], rows).markdown()}\n"
        f"The best {data['k']} of {data['passages']:,} passages for {data['queries']:,} queries, {data['dim']} "
        f"dimensions, {taken(len(data['seconds']['clear-ir']))}, on {data['machine']}."
    )


def demo_table() -> str:
    data = load("demo-speed")
    names = {"en": f"English, {data['passages'] // data['languages']:,} passages", "all": f"all, {data['passages']:,}"}
    rows = [[names[pool], f"{value:.2f}", f"{data['slowest'][pool]:.2f}"] for pool, value in data["median"].items()]
    asked = sum(map(len, data["seconds"].values()))
    return (
        f"{Table(['pool', 'seconds, median', 'slowest'], rows).markdown()}\n"
        f"From sending a question to having the answer of both models: {asked} questions, "
        f"{' and '.join(data['models'])}, one thread on {data['machine']}. "
        f"From the command to the page: {data['seconds_to_start']:.0f} s, with the embeddings in the cache."
    )


def mining_table() -> str:
    data = load("mining-speed")
    works = {name: work for name, work in data.items() if isinstance(work, dict) and "ratio" in work}
    rows = [
        [name, str(work["rows"]), *(f"{seconds:.1f}" for seconds in work["median"].values()), f"{work['ratio']:.1f}"]
        for name, work in works.items()
    ]
    runs = "; ".join(f"{name}: {taken(len(work['seconds']['clear-ir']))}" for name, work in works.items())
    return (
        f"{Table(['work', 'rows', 'clear-ir, s', 'sentence-transformers, s', 'ratio'], rows).markdown()}\n"
        f"Ratio: seconds of sentence-transformers divided by those of clear-ir. {runs}. On {data['machine']}."
    )


def alignment_table(name: str) -> str:
    document = load("alignment")
    data = document["data"][name]
    head = [column for column, score in data["methods"][0]["test"].items() if score is not None]
    unseen = "unseen" in data["test_questions"]
    rows = []
    for method in data["methods"]:
        chosen = ", ".join(f"{setting.replace('_', ' ')} {value:g}" for setting, value in method["settings"].items())
        values = [method["test"][column] for column in head] + ([method["unseen"]["q-L.p-en"]] if unseen else [])
        is_best = " *" if method["method"] == data["chosen"] else ""
        rows.append([f"{method['method']}{is_best}", chosen, *(f"{100 * value:.1f}" for value in values)])
    table = Table(["method", "settings", *head, *(["unseen language"] if unseen else [])], rows, num_names=2)
    seconds = data["seconds"]
    sentences = [
        f"nDCG@10 x 100 with {document['encoder']} ({document['note']}).",
        f"{data['rows']:,} rows, {data['dev_questions']:,} dev questions, {data['test_questions']['test']:,} test "
        "questions; * the choice of `auto`.",
        "The last row has a map of queries for each language; English queries and passages stay.",
        "The last column is Swahili, of which nothing was fitted on." if unseen else "",
        f"After the texts were encoded, choosing the settings took {seconds['choosing']:.0f} s of processor time, and "
        f"fitting all maps {seconds['fitting all']:.1f} s.",
    ]
    return f"{table.markdown()}\n{' '.join(filter(None, sentences))}"


def transfer_table() -> str:
    """What models that were adapted on one data set give on another."""
    data = load("transfer")
    by_direction = {(difference["model"], difference["direction"]): difference for difference in data["differences"]}
    directions = list(dict.fromkeys(direction for _, direction in by_direction))
    rows = []
    for model, pools in data["pools"].items():
        pooled = [
            f"{100 * sum(scores[measure] for scores in pools.values()) / len(pools):.1f}"
            for measure in next(iter(pools.values()))
        ]
        if model == "base":
            scores = [f"{100 * by_direction['align', direction]['base']:.1f}" for direction in directions]
        else:
            scores = [value_and_change(by_direction[model, direction]) for direction in directions]
        written = model.replace("project", "align --method project")
        commands = ", then ".join(f"`clear-ir {name}`" for name in written.split(" and "))
        rows.append([model if model == "base" else commands, *scores, *pooled])
    return (
        f"{Table(['method', *directions, 'Complete@10', 'own language first'], rows).markdown()}\n"
        f"nDCG@10 x 100 on {data['questions']} questions and {data['passages']} passages a language; * p < .05 (paired "
        "permutation test, Holm). The last two are of the pool with both languages, in per cent, the mean of English "
        f"and German questions. multilingual-e5-small ({data['note']}) was adapted on {data['rows']:,} rows of XQuAD, "
        f"{', '.join(data['langs'])}."
    )


def checks_table() -> str:
    """What each check looks for, and the share of human translations that it rejects."""
    data = load("translation-checks")["data"]
    rows = []
    for check in CHECKS:
        shares = [f"{100 * of['rejected'][check.name]:.2f}" for of in data.values()]
        rows.append([check.name, check.meaning, *shares])
    rows.append(["all", "", *(f"{100 * sum(of['rejected'].values()):.2f}" for of in data.values())])
    worst, name, lang = max(
        (share, name, lang)
        for of in data.values()
        for lang, shares in of["rejected by language"].items()
        for name, share in shares.items()
    )
    counts = ", ".join(f"{of['translations']:,} of {name}" for name, of in data.items())
    return (
        f"{Table(['check', 'a translation is left out if', *(f'{name}, %' for name in data)], rows, 2).markdown()}\n"
        f"Human translations that a check rejects: {counts}. The most that one check rejects of one language is "
        f"{100 * worst:.1f} % ({name}, {lang})."
    )


def faults_table() -> str:
    """The share of faults made on purpose that the checks find."""
    data = load("translation-checks")["data"]
    faults = next(iter(data.values()))["faults found"]
    rows = [[fault, *(f"{100 * of['faults found'][fault]:.0f}" for of in data.values())] for fault in faults]
    return (
        f"{Table(['instead of the translation', *(f'{name}, %' for name in data)], rows).markdown()}\n"
        "Share that the checks find. Numbers of one digit are not compared, as they are often written as words."
    )


def agreement_table() -> str:
    """The share of human translations that an encoder finds not similar to their queries, by language."""
    document = load("translation-checks")
    data = document["agreement"]
    langs = sorted({lang for shares in data.values() for lang in shares})

    def cell(shares: dict[str, float | None], lang: str) -> str:
        if lang not in shares:
            return ""
        share = shares[lang]
        return "refused" if share is None else f"{100 * share:.1f}"

    rows = [[lang, *(cell(shares, lang) for shares in data.values())] for lang in langs]
    return (
        f"{Table(['language', *(f'{name}, %' for name in data)], rows).markdown()}\n"
        f"Human translations that multilingual-e5-small ({document['note']}) finds no more similar to their question "
        "than 95 % of those of other questions."
    )


def translation_table() -> str:
    """What an encoder learns from translated rows, and from human ones."""
    data = load("translation")
    foreign, english = data["queries"]
    head = [
        "rows",
        *(f"{training}, {d}" for training in data["trainings"] for d in (foreign, english)),
        f"align, {foreign}",
    ]
    base = data["base"]
    rows = [["base", *(f"{100 * base[d]:.1f}" for _ in data["trainings"] for d in (foreign, english)), ""]]
    for source, of in data["sources"].items():
        cells = []
        for training in data["trainings"].values():
            differences = {(d["model"], d["direction"]): d for d in training["against base"]}
            cells += [value_and_change(differences[source, direction]) for direction in (foreign, english)]
        rows.append([source, *cells, f"{100 * of['align'][foreign]:.1f}"])
    samples = [["English", data["english sample"]], *([name, of["sample"]] for name, of in data["sources"].items())]
    seeds = "; ".join(
        f"{training}: {len(next(iter(of['scores'].values())))}" for training, of in data["trainings"].items()
    )
    against = [
        f"{d['model']} {100 * (d['value'] - d['base']):+.1f} (p {d['p_holm']:.3f}, {training})"
        for training, of in data["trainings"].items()
        for d in of["against human"]
        if d["direction"] == foreign
    ]
    return (
        f"{Table(head, rows).markdown()}\n"
        f"nDCG@10 x 100, means over seeds ({seeds}), the change from the base in brackets; * p < .05 (paired "
        f"permutation test over questions, Holm). {data['queries'][foreign]} test questions, {data['pool'][foreign]} "
        f"passages, {data['sources']['human']['rows']} rows. {data['apertium']}; {data['word list']['name']}, "
        f"{data['word list']['phrases']:,} phrases. On {data['machine']}.\n\n"
        f"Against human rows, {foreign}: {'; '.join(against)}.\n\n"
        f"{Table(['rows', 'the first question'], samples, 2).markdown()}"
    )


def passage_languages_table() -> str:
    data = load("passage-languages")
    base, english, *others = data["scores"]
    differences = {(d["model"], d["direction"]): d for d in data["differences"]}
    rows = [
        [
            direction,
            *(f"{100 * data['scores'][model][direction]:.1f}" for model in (base, english)),
            *(value_and_change(differences[model, direction]) for model in others),
        ]
        for direction in data["scores"][base]
    ]
    return (
        f"{Table(['direction', base, english, *others], rows).markdown()}\n"
        f"nDCG@10 x 100, the change from `english` in brackets; * p < .05 (paired permutation test, Holm). "
        f"{data['queries']} test questions per language, {data['pool']} passages, {data['rows']} training rows, seed "
        f"{data['seed']}, on {data['machine']}."
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
    runs = taken(len(data["passages"]["seconds"]["clear-ir"]))
    return (
        f"{Table(head, rows).markdown()}\n"
        f"Ratio: seconds of SentenceTransformer.encode divided by those of clear-ir. Time: {runs}, on "
        f"{data['machine']}."
    )


def kills_table() -> str:
    data = load("reliability")["soak"]
    names = list(data["finished"])
    counts = [[data[what].get(name, 0) for what in ("kills", "restarts", "finished")] for name in names]
    rows = [[f"`clear-ir {name}`", *map(str, row)] for name, row in zip(names, counts, strict=True)]
    rows.append(["all", *(str(sum(column)) for column in zip(*counts, strict=True))])
    head = ["command", "kills", "restarts after a kill", "ended with the files of a calm run"]
    return (
        f"{Table(head, rows).markdown()}\n"
        f"{data['replacing']} kills came while there was an earlier output to replace. {data['resumed']} trainings "
        "were resumed."
    )


def translation_kills_table() -> str:
    data = load("translation-kills")["soak"]
    ways = {"command": "`--command`", "model": "`--model`, a tiny Marian model"}
    names = ("kills", "restarts", "texts", "asked", "repeated", "finished")
    rows = [[title, *(str(data[name].get(way, 0)) for name in names)] for way, title in ways.items()]
    head = [
        "what translates",
        "kills",
        "restarts",
        "texts",
        "asked for",
        "asked for though kept",
        "same files at the end",
    ]
    return (
        f"{Table(head, rows).markdown()}\n"
        "SIGKILL at random moments, then the same command again. A kill loses what is on its way, at most one batch; "
        "such texts are asked for once more."
    )


def ray_kills_table() -> str:
    data = load("ray-kills")["soak"]
    titles = {
        "worker": "a worker",
        "machine": "all processes of a machine",
        "command": "the command, which is started again",
    }
    rows = [
        [title, str(data["kills"].get(kind, 0)), str(data["in_a_batch"].get(kind, 0)) if kind != "command" else ""]
        for kind, title in titles.items()
    ]
    rows.append(["all", str(sum(data["kills"].values())), str(sum(data["in_a_batch"].values()))])
    return (
        f"{Table(['killed', 'kills', 'in the middle of a batch'], rows).markdown()}\n"
        f"{data['equal']} of {data['episodes']} runs ended with the rows of one process, byte for byte. After kills of "
        f"the command {data['damaged_files']} files of its cache were cut short."
    )


def ray_overhead_table() -> str:
    data = load("ray-overhead")
    rows = [
        [name, f"{data['median'][name]:.1f}", f"{processor:.2f}"]
        for name, processor in data["median_processor"].items()
    ]
    equal = "equal bit for bit" if data["equal_bit_for_bit"] else "not equal bit for bit"
    return (
        f"{Table(['encoding', 'seconds', 'processor seconds'], rows).markdown()}\n"
        f"{data['texts']} passages by all-MiniLM-L6-v2, one thread, {taken(len(data['seconds']['Ray']))}, on "
        f"{data['machine']}, where {data['load']:.0f} other processes wanted to run. So look at the processor seconds, "
        f"of all processes and Ray's own too. The vectors are {equal}. Starting Ray, and a worker that imports the "
        "libraries and gets the encoder, comes once and is not counted."
    )


def bad_inputs_table() -> str:
    data = load("reliability")["bad_inputs"]
    rows = [
        [name, str(sum(counts.values())), str(counts.get("refused", 0)), str(counts.get("still valid", 0))]
        for name, counts in data.items()
    ]
    return Table(["input", "damaged", "one sentence, exit code 2", "still valid"], rows).markdown()


def settings_table(model: type[Settings]) -> str:
    """A table for each group of a stage's settings."""
    groups: dict[str, list[list[str]]] = {}
    for setting in describe_settings(model):
        values = ", ".join(setting.choices) or setting.type.__name__.lower()
        row = [f"`{setting.name}`", f"`{setting.flag}`", values, setting.default_text, setting.description]
        groups.setdefault(setting.group, []).append([cell.replace("|", "\\|") for cell in row])
    head = ["setting", "flag", "values", "default", "what"]
    tables = (f"**{group}**\n\n{Table(head, rows, 5).markdown(padded=False)}" for group, rows in groups.items())
    return "\n".join(tables)


def terms_table() -> str:
    rows = [
        [f"`{term.name}`", f"`{term.weight}`" if term.weight else "the rest of 1", term.teaches]
        for term in TERMS.values()
    ]
    return Table(["term", "weight", "what it teaches"], rows, 3).markdown(padded=False)


#: The tables by their name in the Markdown files. Names that begin with `study-` are those of the study.
TABLES: dict[str, Callable[[], str]] = {
    "data-sets": data_sets_table,
    "recipes": recipes_table,
    "training-step": step_table,
    "training-step-e5-small": partial(step_table, "training-step-e5-small"),
    "training-step-e5-small-b64": partial(step_table, "training-step-e5-small-b64"),
    "step-grid": grid_table,
    "search-speed": search_table,
    "demo-speed": demo_table,
    "mining-speed": mining_table,
    "scale-parts": scale_tables.parts_table,
    "scale-indexes": scale_tables.indexes_table,
    "scale-estimate": scale_tables.estimate_table,
    "encoding-speed": encoding_table,
    "alignment-afriqa": partial(alignment_table, "AfriQA"),
    "alignment-xquad": partial(alignment_table, "XQuAD"),
    "transfer": transfer_table,
    "translation": translation_table,
    "translation-checks": checks_table,
    "translation-faults": faults_table,
    "translation-agreement": agreement_table,
    "passage-languages": passage_languages_table,
    "baselines": baselines_table,
    "mteb-speed": mteb_table,
    "quickstart": quickstart_table,
    "choosing-measured": choosing.measured_table,
    "choosing-memory": choosing.memory_table,
    "choosing-estimated": choosing.estimated_table,
    "afriqa-ha": lambda: adaptation_table("afriqa-ha"),
    "atlas": atlas_table,
    "kills": kills_table,
    "translation-kills": translation_kills_table,
    "ray-kills": ray_kills_table,
    "ray-overhead": ray_overhead_table,
    "bad-inputs": bad_inputs_table,
    "terms": terms_table,
    **{f"settings-{stage}": partial(settings_table, model) for stage, model in STAGES.items()},
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
