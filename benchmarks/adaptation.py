"""Add one language to an encoder: InfoNCE baselines and CLEAR against the base, with the same data, steps and seed.

    python -m benchmarks.adaptation afriqa --data DIR --lang ha --out benchmarks/results/afriqa-ha.json
    python -m benchmarks.adaptation xquad --data DIR --lang de --out benchmarks/results/xquad-de.json

The model and the results of each objective stay in `runs/`, so a run that was stopped goes on with the next one.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from benchmarks.machine import measured_with
from clear_ir.compare.comparison import compare_results
from clear_ir.data.output_files import write_json, write_jsonl
from clear_ir.data.training_rows import read_training_rows
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.results import Results, read_results, write_results
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.xquad import load_xquad
from clear_ir.recipes.recipe import load_recipe
from clear_ir.train.run import train_model

#: The settings of the recipe `small` that are not in the paper, switched off.
PLAIN = {"guard": 0.0, "divergence": "kl"}
#: Objectives by name: the settings that differ from the recipe.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "infonce": {"loss": "infonce", **PLAIN},
    "infonce-both": {"loss": "infonce-both", **PLAIN},
    "clear": {"loss": "clear", "alpha": 0.4, "beta": 0.2, "gamma": 0.0, **PLAIN},
    "clear + cross": {"loss": "clear", "alpha": 0.3, "beta": 0.1, "gamma": 0.3, **PLAIN},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=["afriqa", "xquad"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lang", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=list(OBJECTIVES))
    given = parser.parse_args()

    load = {"afriqa": load_afriqa, "xquad": load_xquad}[given.dataset]
    prepared = load(given.data, [given.lang])
    recipe = load_recipe("small")
    collection, base_model = prepared.collection, recipe.model
    assert collection is not None
    assert base_model is not None
    folder = given.runs / f"{given.dataset}-{given.lang}-{given.seed}"
    encoder = load_encoder(base_model)
    rows_file = folder / "train.jsonl"
    if not rows_file.exists():
        write_jsonl(rows_file, mine_hard_negatives(TextEncoder(encoder), prepared.rows, recipe.mine).records)
    rows = read_training_rows(rows_file)

    def evaluated(name: str, model_folder: Path | None) -> Results:
        results = folder / "results" / name.replace(" ", "")
        if not results.exists():
            model = encoder if model_folder is None else load_encoder(str(model_folder))
            log = model_folder / "train_log.jsonl" if model_folder else None
            write_results(results, evaluate_model(TextEncoder(model), collection, name), train_log=log)
        return read_results(results)

    base = evaluated("base", None)
    others: list[Results] = []
    settings: dict[str, dict[str, Any]] = {}
    for name in given.objectives:
        changes = OBJECTIVES[name]
        model_folder = folder / "models" / name.replace(" ", "")
        chosen = recipe.train.model_copy(update={**changes, "dev_share": 0.0, "seed": given.seed})
        settings[name] = chosen.model_dump()
        if not model_folder.exists():
            train_model(base_model, rows, chosen, model_folder)
        others.append(evaluated(name, model_folder))
    differences = compare_results(base, others)
    write_json(
        given.out,
        {
            "dataset": given.dataset,
            "lang": given.lang,
            "data_hash": base.data_hash,
            "seed": given.seed,
            "rows": len(rows.records),
            "queries": {name: len(result.per_query) for name, result in base.directions.items()},
            "pool": {name: result.num_passages for name, result in base.directions.items()},
            "scores": {
                result.model: {
                    name: {measure: round(direction.mean(measure), 6) for measure in direction.measures}
                    for name, direction in result.directions.items()
                }
                for result in [base, *others]
            },
            "differences": [vars(difference) for difference in differences],
            "settings": settings,
            "mining": recipe.mine.model_dump(),
            **measured_with("sentence-transformers"),
        },
    )
    print(f"Wrote {given.out}")


if __name__ == "__main__":
    main()
