"""What training on passages in both languages gives: `passage_languages` english against both, on Atlas.

    python -m benchmarks.passage_languages

The settings are those of the quickstart: German and Swahili, all-MiniLM-L6-v2. Models stay in the folder of the runs,
so a run that was stopped goes on with the next one.
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
from clear_ir.encode.model_loading import MINILM, load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.results import Results
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.prepare.atlas import DEFAULT_LANGS, load_atlas
from clear_ir.recipes.recipe import load_recipe
from clear_ir.train.run import train_model

OUT = Path(__file__).parent / "results" / "passage-languages.json"
#: By name, the settings that differ from those of the quickstart. The first is what the others are compared with.
VARIANTS: dict[str, dict[str, Any]] = {
    "english": {},
    "english, guard": {"guard": 0.5},
    "both": {"passage_languages": "both"},
    "both, guard": {"passage_languages": "both", "guard": 0.5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/passage-languages"))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    prepared = load_atlas(DEFAULT_LANGS)
    collection = prepared.collection
    assert collection is not None
    encoder = load_encoder(MINILM)
    recipe = load_recipe("quickstart", {"mine": {"seed": given.seed}, "train": {"seed": given.seed}})
    rows_file = given.runs / f"train-{given.seed}.jsonl"
    if not rows_file.exists():
        write_jsonl(rows_file, mine_hard_negatives(TextEncoder(encoder), prepared.rows, recipe.mine).records)
    rows = read_training_rows(rows_file)
    base = evaluate_model(TextEncoder(encoder), collection, "base")
    trained = []
    for name, changes in VARIANTS.items():
        model = given.runs / f"{name.replace(', ', '-')}-{given.seed}"
        if not model.exists():
            train_model(MINILM, rows, recipe.train.model_copy(update=changes), model)
        trained.append(evaluate_model(TextEncoder(load_encoder(str(model))), collection, name))
    write_json(
        given.out,
        {
            "scores": {results.model: scores_of(results) for results in (base, *trained)},
            "differences": [vars(difference) for difference in compare_results(trained[0], trained[1:])],
            "seed": given.seed,
            "rows": len(rows.records),
            "queries": len(next(iter(base.directions.values())).per_query),
            "pool": next(iter(base.directions.values())).num_passages,
            "data_hash": collection.data_hash,
            "settings": VARIANTS,
            "quickstart": recipe.train.model_dump(),
            **measured_with("sentence-transformers"),
        },
    )
    print(f"Wrote {given.out}")


def scores_of(results: Results) -> dict[str, float]:
    """nDCG@10 of every direction."""
    return {direction: round(of.mean("nDCG@10"), 6) for direction, of in results.directions.items()}


if __name__ == "__main__":
    main()
