"""The quickstart: every stage on Atlas with MiniLM, no network needed."""

from __future__ import annotations

import time
from pathlib import Path

from clear_ir.compare.comparison import Difference, score_intervals
from clear_ir.data.collection_files import write_collection
from clear_ir.data.output_files import new_folder, write_json, write_jsonl
from clear_ir.data.rows import write_parallel_rows
from clear_ir.data.training_rows import read_training_rows
from clear_ir.encode.model_loading import MINILM, load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.results import read_train_log, write_results
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.prepare.atlas import DEFAULT_LANGS, load_atlas
from clear_ir.recipes.recipe import load_recipe
from clear_ir.report.page import REPORT_FILE, render_report
from clear_ir.report.tables import comparison_table
from clear_ir.train.run import train_model

#: The file that marks a quickstart's folder. It holds scores, differences and the time that it took.
SUMMARY_FILE = "summary.json"


def run_quickstart(
    out: Path, langs: list[str] | None = None, seed: int = 0, overwrite: bool = False
) -> list[Difference]:
    """Run all stages: prepare, mine, train, evaluate before and after, compare, report. Print the results.

    Args:
        out: The folder to make.
        langs: Languages to add. None: German and Swahili.
        seed: Seed of mining and training.
        overwrite: Replace an earlier quickstart.

    Returns:
        The differences from the base encoder.

    Raises:
        InputError: If MiniLM is missing or not the official file, a language is unknown, or `out` is taken.
    """
    start = time.perf_counter()
    recipe = load_recipe("quickstart", {"mine": {"seed": seed}, "train": {"seed": seed}})
    prepared = load_atlas(langs or DEFAULT_LANGS)
    assert prepared.collection is not None
    encoder = TextEncoder(load_encoder(MINILM))
    with new_folder(out, SUMMARY_FILE, overwrite) as folder:
        _print_stage(
            1, f"Atlas: {len(prepared.rows)} rows to train on, {len(prepared.collection.queries)} test queries"
        )
        write_parallel_rows(folder / "rows.jsonl", prepared.rows)
        write_collection(folder / "collection", prepared.collection)

        count = recipe.mine.num_negatives
        _print_stage(2, f"Mining hard negatives for each row: passages ({count}) and queries ({count})")
        mined = mine_hard_negatives(encoder, prepared.rows, recipe.mine)
        write_jsonl(folder / "train.jsonl", mined.records)

        _print_stage(3, "Evaluating the base encoder")
        base = evaluate_model(encoder, prepared.collection, MINILM)
        base.origin = {"model": MINILM, "data": str(out / "collection")}
        write_results(folder / "results" / "base", base)

        _print_stage(4, "Training with the CLEAR loss")
        train_model(MINILM, read_training_rows(folder / "train.jsonl"), recipe.train, folder / "model")

        _print_stage(5, "Evaluating the trained encoder")
        trained = encoder.with_model(load_encoder(str(folder / "model")))
        after = evaluate_model(trained, prepared.collection, f"{MINILM} + CLEAR")
        after.origin = base.origin | {
            "model": str(out / "model"),
            "base": MINILM,
            "made_by": f"trained with the loss {recipe.train.loss}",
            "recipe": {"train": recipe.train.model_dump(mode="json")},
        }
        write_results(folder / "results" / "clear", after, train_log=folder / "model" / "train_log.jsonl")

        _print_stage(6, "Comparing and reporting")
        logs = {after.model: read_train_log(folder / "results" / "clear")}
        differences = render_report(folder / "report", base, [after], logs, collection=prepared.collection)
        seconds = time.perf_counter() - start
        summary = {
            "seed": seed,
            "seconds": round(seconds, 1),
            "scores": {
                results.model: score_intervals(results.directions, results.questions) for results in (base, after)
            },
            "differences": [vars(difference) for difference in differences],
        }
        write_json(folder / SUMMARY_FILE, summary)
    print(f"\n{comparison_table(base, [after], differences).markdown()}")
    print("nDCG@10 x 100; in brackets the change; * marks p < .05 (paired permutation test, Holm).")
    print(f"Report: {out / 'report' / REPORT_FILE} (the quickstart took {seconds:.0f} s)")
    print(f"Model: {out / 'model'} (load it with SentenceTransformer)")
    print("Next, your own data: clear-ir prepare rows --rows FILE --map query=COLUMN --out DIR")
    return differences


def _print_stage(number: int, title: str) -> None:
    print(f"[{number}/6] {title}", flush=True)
