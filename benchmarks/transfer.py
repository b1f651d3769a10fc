"""Do adapted encoders keep their gains on other data? Align and train on one data set, test on Belebele's German.

    python -m benchmarks.transfer --model MULTILINGUAL-E5-SMALL --rows ROWS --belebele DIR

ROWS are what `clear-ir prepare xquad` and `clear-ir mine` make. Nothing is fitted, trained or chosen on Belebele. The
models stay in `--runs`, so a run that was stopped goes on with the next one.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from benchmarks.machine import measured_with
from clear_ir.align.alignment import AlignmentTexts, align_model
from clear_ir.align.dev_scores import OWN_FIRST
from clear_ir.align.settings import AlignSettings
from clear_ir.compare.comparison import compare_results
from clear_ir.data.output_files import write_json
from clear_ir.data.training_rows import read_training_rows
from clear_ir.encode.cache import default_cache
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.measures import MAIN_MEASURE, MAIN_MIXED_MEASURE
from clear_ir.evaluate.results import Results
from clear_ir.prepare.belebele import load_belebele
from clear_ir.train.corpus import PassageSource
from clear_ir.train.run import train_model
from clear_ir.train.settings import TrainingSettings

OUT = Path(__file__).parent / "results" / "transfer.json"
LANG = "de"
#: Of the pool with the passages of both languages.
POOL_MEASURES = (MAIN_MIXED_MEASURE, OWN_FIRST)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of multilingual-e5-small, or its name on the hub")
    parser.add_argument("--rows", type=Path, required=True, help="training rows")
    parser.add_argument("--belebele", type=Path, required=True, help="folder with eng_Latn.jsonl and deu_Latn.jsonl")
    parser.add_argument("--runs", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--note", default="", help="what is to be said of the encoder beside its name")
    given = parser.parse_args()
    collection = load_belebele(given.belebele, [LANG]).collection
    assert collection is not None
    rows = read_training_rows(given.rows)

    def evaluated(name: str, model: str) -> Results:
        encoder = TextEncoder(load_encoder(model), cache=default_cache())
        return evaluate_model(encoder, collection, name)

    base = evaluated("base", given.model)
    models = {name: given.runs / name.replace(" ", "-") for name in ("align", "project", "train", "project and train")}
    for name, settings in {"align": AlignSettings(), "project": AlignSettings(method="project")}.items():
        if not models[name].exists():
            align_model(given.model, AlignmentTexts(rows), settings, EncodingSettings(), models[name])
    for name, start in {"train": given.model, "project and train": str(models["project"])}.items():
        if not models[name].exists():
            source = PassageSource(cache=default_cache())
            train_model(start, rows, TrainingSettings(), models[name], passages=source)
    others = [evaluated(name, str(folder)) for name, folder in models.items()]
    write_json(
        OUT,
        {
            "note": given.note,
            "rows": len(rows.records),
            "langs": sorted({record["lang"] for record in rows.records}),
            "questions": base.num_questions,
            "passages": next(iter(base.directions.values())).num_passages,
            "differences": [vars(difference) for difference in compare_results(base, others, MAIN_MEASURE)],
            "pools": {
                results.model: {
                    pool: {measure: result.mean(measure) for measure in POOL_MEASURES}
                    for pool, result in results.mixed.items()
                }
                for results in (base, *others)
            },
            "data_hash": collection.data_hash,
            **measured_with("sentence-transformers"),
        },
    )
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
