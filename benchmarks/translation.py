"""Translated rows against human ones: what an encoder learns from each, on Atlas in Spanish.

    apt-get install apertium apertium-eng-spa dict-freedict-eng-spa
    python -m benchmarks.translation --runs runs/translation

The same English questions come with Spanish ones from four sources: the human translations of Atlas, Apertium (a
translator made of rules, which is far from the best one), code-switching by FreeDict's word list, and none: the English
question again, which shows what training gives without any Spanish. Results stay in `--runs`, so a run that was stopped
goes on.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np

from benchmarks.machine import measured_with
from clear_ir.align.alignment import AlignmentTexts, align_model
from clear_ir.align.settings import AlignSettings
from clear_ir.compare.comparison import compare_results
from clear_ir.data.collection import Collection
from clear_ir.data.output_files import write_json, write_jsonl
from clear_ir.data.rows import ParallelRow
from clear_ir.data.training_rows import TrainingRows, read_training_rows
from clear_ir.encode.model_loading import MINILM, load_encoder
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.results import DirectionResult, Results, read_results, write_results
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings
from clear_ir.prepare.atlas import load_atlas
from clear_ir.recipes.recipe import load_recipe
from clear_ir.train.run import train_model
from clear_ir.translate.command import CommandTranslator
from clear_ir.translate.dictionary import DictionaryTranslator
from clear_ir.translate.english_rows import EnglishRow
from clear_ir.translate.judges import judge_for
from clear_ir.translate.store import TranslationStore
from clear_ir.translate.translation import translate_rows
from clear_ir.translate.translator import Choice, Translator
from clear_ir.translate.word_list import read_word_list

LANG = "es"
HUMAN, NONE = "human", "none, English again"
WORD_LIST = Path("/usr/share/dictd/freedict-eng-spa.index")
OUT = Path(__file__).parent / "results" / "translation.json"
DIRECTIONS = ["q-es.p-en", "q-en.p-en"]
#: Ways to train: what differs from the quickstart's settings.
TRAININGS: dict[str, dict[str, Any]] = {
    "queries alone": {
        "side": "queries", "loss": "infonce", "distil": 5.0, "guard": 5.0, "scale": 30.0,
    },
    "both sides": {},
}  # fmt: skip


def translated(rows: Sequence[ParallelRow], translator: Translator) -> tuple[list[ParallelRow], dict[str, Any]]:
    """The rows with their queries translated and judged, as `clear-ir translate` does it; and counts."""
    english = [EnglishRow(row.id, row.query, row.passage, row.passage_id) for row in rows]
    store = TranslationStore(None)
    made = translate_rows(english, [LANG], translator, store, judge_for(Choice(), translator, store))
    return made.rows, made.counts()[LANG]


def mean_over_seeds(results: Sequence[Results], name: str) -> Results:
    """Results in which every query has its mean score."""
    directions = {
        direction: DirectionResult(
            {
                query: {
                    "nDCG@10": float(np.mean([of.directions[direction].per_query[query]["nDCG@10"] for of in results]))
                }
                for query in results[0].directions[direction].per_query
            },
            results[0].directions[direction].num_passages,
        )
        for direction in DIRECTIONS
    }
    return replace(results[0], model=name, directions=directions, mixed={}, folder=None)


def scores_of(results: Results) -> dict[str, float]:
    return {direction: results.directions[direction].mean("nDCG@10") for direction in DIRECTIONS}


def with_english_passages(collection: Collection) -> Collection:
    """The collection with English passages alone."""
    passages = {key: text for key, text in collection.passages.items() if text.lang == "en"}
    qrels = {query: {p: r for p, r in judged.items() if p in passages} for query, judged in collection.qrels.items()}
    return replace(collection, passages=passages, qrels=qrels)


class Trials:
    """Trains and evaluates; what is in the folder already is not done again.

    Args:
        runs: The folder.
        collection: What to evaluate on.
    """

    def __init__(self, runs: Path, collection: Collection) -> None:
        self.runs, self.collection = runs, collection
        self.encoder = TextEncoder(load_encoder(MINILM))

    def base(self) -> Results:
        """The results of the encoder as it is."""
        return self._evaluated(self.runs / "base", "base", None)

    def trained(self, training: str, source: str, rows: list[ParallelRow], seed: int) -> Results:
        """The results after training."""
        recipe = load_recipe("quickstart", {"mine": {"seed": seed}, "train": {"seed": seed, **TRAININGS[training]}})
        folder = self._folder(f"{training} {source}", str(seed))

        def make(model: Path) -> None:
            train_model(MINILM, self._mined(folder, rows, recipe.mine), recipe.train, model)

        return self._evaluated(folder, f"{source}, seed {seed}", make)

    def aligned(self, source: str, rows: list[ParallelRow]) -> Results:
        """The results with the queries mapped in closed form."""
        folder = self._folder(source, "align")

        def make(model: Path) -> None:
            texts = AlignmentTexts(self._mined(folder, rows, load_recipe("quickstart").mine))
            align_model(MINILM, texts, AlignSettings(method="map"), EncodingSettings(), model)

        return self._evaluated(folder, f"{source}, align", make)

    def _folder(self, source: str, suffix: str) -> Path:
        folder = self.runs / f"{'-'.join(re.findall('[a-z]+', source.lower()))}-{suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _mined(self, folder: Path, rows: list[ParallelRow], settings: MiningSettings) -> TrainingRows:
        write_jsonl(folder / "train.jsonl", mine_hard_negatives(self.encoder, rows, settings).records)
        return read_training_rows(folder / "train.jsonl")

    def _evaluated(self, folder: Path, name: str, make: Callable[[Path], None] | None) -> Results:
        if not (folder / "results").exists():
            if make and not (folder / "model").exists():
                make(folder / "model")
            model = load_encoder(str(folder / "model")) if make else self.encoder.model
            write_results(folder / "results", evaluate_model(self.encoder.with_model(model), self.collection, name))
        return read_results(folder / "results")


def main() -> None:
    """Translate, train, evaluate, and write the results after each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/translation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trainings", nargs="+", choices=list(TRAININGS), default=list(TRAININGS))
    parser.add_argument("--word-list", type=Path, default=WORD_LIST)
    given = parser.parse_args()

    prepared = load_atlas([LANG])
    assert prepared.collection is not None
    words = read_word_list(given.word_list)
    sources = {
        HUMAN: (prepared.rows, {}),
        "Apertium": translated(prepared.rows, CommandTranslator("apertium -u eng-spa")),
        "code-switching": translated(prepared.rows, DictionaryTranslator(given.word_list.name, words)),
        NONE: ([replace(row, cross_query=row.query) for row in prepared.rows], {}),
    }
    trials = Trials(given.runs, with_english_passages(prepared.collection))
    base = trials.base()
    by_map = {name: trials.aligned(name, rows) for name, (rows, _) in sources.items()}
    apertium = subprocess.run(["apertium", "-V"], capture_output=True, text=True, check=False).stdout
    trained: dict[str, dict[str, list[Results]]] = {
        training: {name: [] for name in sources} for training in given.trainings
    }
    for training, seed in product(given.trainings, given.seeds):
        for name, (rows, _) in sources.items():
            trained[training][name].append(trials.trained(training, name, rows, seed))
            print(training, name, seed, scores_of(trained[training][name][-1]), flush=True)
        document = {
            "lang": LANG,
            "encoder": MINILM,
            "data_hash": base.data_hash,
            "queries": {d: len(base.directions[d].per_query) for d in DIRECTIONS},
            "pool": {d: base.directions[d].num_passages for d in DIRECTIONS},
            "apertium": apertium.split("\n")[0],
            "word list": {"name": given.word_list.name, "phrases": len(words)},
            "base": scores_of(base),
            "sources": {
                name: {
                    "rows": len(rows),
                    "left out": counts.get("left out", {}),
                    "sample": rows[0].cross_query,
                    "align": scores_of(by_map[name]),
                }
                for name, (rows, counts) in sources.items()
            },
            "english sample": prepared.rows[0].query,
            "trainings": {
                name: compared(base, of_sources) for name, of_sources in trained.items() if all(of_sources.values())
            },
        }
        write_json(OUT, document | measured_with("sentence-transformers"))
        print(f"Wrote {OUT}", flush=True)


def compared(base: Results, trained: Mapping[str, Sequence[Results]]) -> dict[str, Any]:
    """The scores of one way to train by source and seed; their means against the base, and against human rows."""
    human, *others = (mean_over_seeds(results, name) for name, results in trained.items())
    reference = mean_over_seeds([base], "base")
    return {
        "scores": {name: [scores_of(each) for each in results] for name, results in trained.items()},
        "against base": [vars(d) for d in compare_results(reference, [human, *others])],
        "against human": [vars(d) for d in compare_results(human, others)],
    }


if __name__ == "__main__":
    main()
