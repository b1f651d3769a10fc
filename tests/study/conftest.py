"""A tiny study: AfriQA's files with words in place of questions, a matrix, and the arguments that run it."""

import json
import random

import pytest
import yaml
from tiny import WORDS

from study.experiment import Experiment
from study.matrix import read_matrix
from study.results import ResultFiles

OBJECTIVES = {
    "infonce": {"loss": "infonce"},
    "infonce-both": {"loss": "infonce-both"},
    "clear + cross + guard": {"loss": "clear", "alpha": 0.3, "beta": 0.1, "gamma": 0.3, "guard": 0.5},
    "queries alone": {"loss": "infonce", "side": "queries", "distil": 1.0},
    "align": {"align": "map"},
    "align, then queries alone": {"align": "map", "loss": "infonce", "side": "queries"},
    "distil on queries": {"distil_on": "queries"},
    "distil on NTREX": {"distil_on": "ntrex"},
    "distil on queries, then clear": {"distil_on": "queries", "loss": "clear"},
    "distil on NTREX, then infonce, 2x the steps": {"distil_on": "ntrex", "loss": "infonce", "times_the_steps": 2},
}


def words(*seed):
    return " ".join(random.Random(str(seed)).choices(WORDS, k=6))


class TinyStudy:
    """A matrix file and the files of its data, all in one folder."""

    def __init__(self, folder, model):
        self.folder = folder
        self.matrix = {
            "model": str(model),
            "mine": {"num_negatives": 1, "range_min": 0, "range_max": 5},
            "train": {"batch_size": 8, "max_seq_length": 16, "dev_share": 0.0, "precision": "fp32"},
            "evaluation_max_seq_length": 32,
            "distil_steps": 3,
            "merging_weights": [0.5, 1.0],
            "max_english_loss": 100,
            "level": 0.5,
            "default": "clear + cross + guard",
            "figure": list(OBJECTIVES),
            "objectives": OBJECTIVES,
            "data": {
                "afriqa-ha": {"title": "Hausa", "dataset": "afriqa", "langs": ["ha"], "max_steps": 2, "dev_steps": 2}
            },
            "stages": [
                {"name": "dev", "data": ["afriqa-ha"], "seeds": [0], "learning_rates": [1e-3, 1e-2]},
                {"name": "test", "data": ["afriqa-ha"], "seeds": [0, 1]},
            ],
        }
        for stage in self.matrix["stages"]:
            stage["objectives"] = list(OBJECTIVES)

    def experiment(self, results="results"):
        """Write the matrix; give it with its results."""
        path = self.folder / "matrix.yaml"
        path.write_text(yaml.safe_dump(self.matrix))
        return Experiment(read_matrix(path), ResultFiles(self.folder / results))

    def arguments(self, results="results"):
        """The command line that runs it."""
        folders = [f"--{name}={self.folder}" for name in ("afriqa", "xquad", "ntrex")]
        folders += [f"--runs={self.folder / 'runs'}", f"--results={self.folder / results}"]
        return [*folders, f"--matrix={self.folder / 'matrix.yaml'}", "--jobs=1"]


@pytest.fixture
def study(tmp_path, tiny_folder):
    for number, (split, count) in enumerate([("train", 24), ("dev", 12), ("test", 12)]):
        records = [
            {
                "id": i,
                "question_lang": words(i, number, 1),
                "question_translated": words(i, number, 2),
                "context": words(i, number, 3),
            }
            for i in range(count)
        ]
        path = tmp_path / f"gold_span_passages.afriqa.hau.en.{split}.json"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    for name in ("newstest2019-src.eng.txt", "newstest2019-ref.hau.txt"):
        (tmp_path / name).write_text("".join(words(i, len(name)) + "\n" for i in range(20)))
    return TinyStudy(tmp_path, tiny_folder)
