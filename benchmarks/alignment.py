"""What `clear-ir align` gives on real data: the base against every map. Settings are chosen on dev, test is seen once.

    python -m benchmarks.alignment --model MULTILINGUAL-E5-SMALL --afriqa DIR --xquad DIR [--ntrex DIR]

On AfriQA maps are fitted on Hausa, Igbo, Kinyarwanda and Zulu together; Swahili is tested, but not fitted on.
With `--ntrex` the maps are also fitted on its news sentences. Vectors are cached, so that a second run takes minutes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np

from benchmarks.machine import measured_with
from clear_ir.align.by_language import fit_by_language
from clear_ir.align.dev_scores import DevQuestions, DevScores
from clear_ir.align.fitting import Fold, choose_maps, refit
from clear_ir.align.maps import SideMaps
from clear_ir.align.settings import AlignSettings
from clear_ir.align.texts import FittingVectors, encode_for_fitting
from clear_ir.data.collection import Collection
from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction
from clear_ir.data.output_files import write_json
from clear_ir.data.rows import Translation
from clear_ir.encode.cache import default_cache
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.ntrex import load_ntrex
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.xquad import load_xquad

#: One map of queries for each language, for whoever knows the language of a query.
LABELLED = "map of the query's language"
OUT = Path(__file__).parent / "results" / "alignment.json"
AFRIQA, UNSEEN = ["ha", "ig", "rw", "zu"], ["sw"]
XQUAD = ["ar", "de", "es", "hi", "ru", "vi", "zh"]


def summaries(of: DevScores) -> dict[str, float | None]:
    """The summaries of one encoder on one collection, from 0 to 1."""
    into_english = [
        score
        for name, score in of.directions.items()
        if parse_direction(name).passage_lang == "en" and name != ENGLISH_DIRECTION
    ]
    return {
        "English": of.english,
        "q-L.p-en": float(np.mean(into_english)),
        "monolingual": of.monolingual,
        "cross-lingual": of.cross_lingual,
        "worst": of.worst,
        "Complete@10": of.complete,
        "own language first": of.own_first,
    }


def measure(
    encoder: TextEncoder, load: Callable[[str], Prepared], extra: list[Translation], tests: dict[str, Collection]
) -> dict[str, Any]:
    """Choose the settings of every method on dev, fit again on all rows, and score the test questions once."""

    def fitting(prepared: Prepared) -> FittingVectors:
        pairs = [Translation(row.query, row.cross_query, row.lang) for row in prepared.rows]
        return encode_for_fitting(encoder, [*pairs, *extra], passages=[row.passage for row in prepared.rows])

    dev, test = load("dev"), load("test")
    assert dev.collection is not None
    assert test.collection is not None
    start = time.process_time()
    of_dev, dev_questions = fitting(dev), DevQuestions(encoder, dev.collection)
    folds = [Fold(of_dev, dev_questions)]
    choice = choose_maps(of_dev, folds, AlignSettings())
    labelled = fit_by_language(of_dev, folds, AlignSettings())
    assert labelled is not None
    seconds = {"choosing": time.process_time() - start}
    vectors = fitting(test)
    questions = {
        name: DevQuestions(encoder, collection) for name, collection in {"test": test.collection, **tests}.items()
    }
    start = time.process_time()
    maps = {fit.method: refit(fit, vectors) for fit in choice.tried}
    by_language = fit_by_language(vectors, folds, AlignSettings(strength=labelled.strength))
    assert by_language is not None
    seconds["fitting all"] = time.process_time() - start
    rows = [
        {
            "method": fit.method,
            "settings": fit.chosen,
            "dev": {
                "aim": fit.scores.aim,
                "keeps English": fit.scores.keeps(choice.base.scores, AlignSettings().max_loss),
            },
            **{name: summaries(of.score(maps.get(fit.method, SideMaps()))) for name, of in questions.items()},
        }
        for fit in (choice.base, *choice.tried)
    ]
    rows.append(
        {
            "method": LABELLED,
            "settings": {"strength": labelled.strength},
            "dev": {"aim": labelled.scores.aim, "keeps English": True},
            **{name: summaries(of.score_by_language(by_language.maps)) for name, of in questions.items()},
        }
    )
    return {
        "chosen": choice.best.method,
        "rows": len(test.rows),
        "dev_questions": dev_questions.num_questions,
        "test_questions": {name: of.num_questions for name, of in questions.items()},
        "methods": rows,
        "seconds": seconds,
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of multilingual-e5-small, or its name on the hub")
    parser.add_argument("--afriqa", type=Path, help="folder with the gold passages of AfriQA")
    parser.add_argument("--xquad", type=Path, help="folder with xquad.en.json and one file a language")
    parser.add_argument("--ntrex", type=Path, help="folder with NTREX; leave it out to fit on rows alone")
    parser.add_argument("--note", default="", help="what is to be said of the encoder beside its name")
    given = parser.parse_args()
    encoder = TextEncoder(load_encoder(given.model), cache=default_cache())
    data: dict[str, Any] = {}
    for news in [False, True] if given.ntrex else [False]:
        suffix = " with NTREX" if news else ""
        if given.afriqa:
            unseen = load_afriqa(given.afriqa, UNSEEN).collection
            assert unseen is not None
            data[f"AfriQA{suffix}"] = measure(
                encoder,
                lambda judge: load_afriqa(given.afriqa, AFRIQA, judge),  # type: ignore[arg-type]
                load_ntrex(given.ntrex, AFRIQA).translations if news else [],
                {"unseen": unseen},
            )
        if given.xquad:
            data[f"XQuAD{suffix}"] = measure(
                encoder,
                lambda judge: load_xquad(given.xquad, XQUAD, judge),  # type: ignore[arg-type]
                load_ntrex(given.ntrex, XQUAD).translations if news else [],
                {},
            )
        write_json(
            OUT,
            {"encoder": "multilingual-e5-small", "note": given.note, "weights_hash": encoder.weights_hash, "data": data}
            | measured_with("sentence-transformers"),
        )  # fmt: skip


if __name__ == "__main__":
    main()
