"""The default objective of `clear-ir train` against the base and the baselines: in short, and in full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.report.tables import Table
from study.cells import BASE, Cell
from study.dev_tables import NOT_RUN
from study.directions import TO_ENGLISH
from study.experiment import Experiment
from study.scores import LENGTHS, SEEDS, ModelScores, PairedDifference, model_scores

#: Baselines that the default is compared with; `merged` stands for the weight that dev chose.
OPPONENTS = ("infonce-both", "infonce-both, 3e-4", "infonce-both, 3e-4, merged", "infonce")


@dataclass(frozen=True)
class DefaultModel:
    """One model of the default objective on one test set, and how it compares.

    Args:
        data: Name of the data set.
        length: How long it was trained, one of `LENGTHS`.
        name: The model's name.
        scores: The models of the test set.
        opponents: Names of the models that were trained as long, by their name in `OPPONENTS`.
        differences: By the other model's name and the heading, p-values corrected over all of them.
    """

    data: str
    length: str
    name: str
    scores: ModelScores
    opponents: dict[str, str]
    differences: dict[tuple[str, str], PairedDifference]

    def lead(self, opponent: str) -> str:
        """The difference in the mean to English passages from one of `OPPONENTS`; empty if it was not run."""
        name = self.opponents.get(opponent)
        return self.differences[name, TO_ENGLISH].points() if name else ""

    def english_change(self) -> str:
        """The difference in English from the base."""
        return self.differences[BASE, ENGLISH_DIRECTION].points()


def summary_table(experiment: Experiment) -> str:
    """What a reader asks first: how far ahead the default is, how sure that is, and what it costs."""
    rows = []
    for model in _default_models(experiment):
        if model.name != experiment.matrix.default + model.length:
            continue  # merged
        crossing = model.scores.columns[TO_ENGLISH]
        before_and_after = [f"{100 * model.scores.mean(name, crossing):.1f}" for name in (BASE, model.name)]
        leads = [model.lead(opponent) for opponent in ("infonce-both", "infonce")]
        title = experiment.matrix.data[model.data].title + model.length
        rows.append([title, *before_and_after, *leads, model.english_change(), _time_ratio(experiment, model)])
    if not rows:
        return NOT_RUN
    head = ["trained on", "base", "default", "default over infonce-both", "default over infonce"]
    head += ["English, default over base", "training time"]
    return (
        f"{Table(head, rows).markdown()}\n"
        f"nDCG@10 x 100 on test questions; {experiment.matrix.default} is the default. base, default and the next two "
        f"columns: {TO_ENGLISH}, the mean over questions in the trained languages to English passages. In brackets: "
        "95 % bootstrap intervals over questions, and p-values of paired permutation tests, corrected by Holm for all "
        "tests of the row in the full table of the default. Training time: relative to infonce-both; other cells ran "
        "on the same machine, so it is a rough guide."
    )


def default_table(experiment: Experiment) -> str:
    """The default objective against the base, the paper's baseline and infonce-both, on every test set."""
    rows = []
    for model in _default_models(experiment):
        leads = [model.lead(opponent) for opponent in OPPONENTS]
        infonce = f"infonce{model.length}"
        gains = {
            direction: model.scores.mean(model.name, column) / model.scores.mean(infonce, column) - 1
            for direction, column in model.scores.to_english.items()
        }
        best = max(gains, key=lambda direction: gains[direction])
        largest_gain = f"{100 * gains[best]:+.1f} % ({best})"
        rows.append([model.data, model.name, *leads, model.english_change(), largest_gain])
    if not rows:
        return NOT_RUN
    head = ["data", "model", *(f"{TO_ENGLISH}, over {opponent}" for opponent in OPPONENTS)]
    head += [f"{ENGLISH_DIRECTION}, over base", "largest gain over infonce"]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        "Differences in points of nDCG@10 x 100 with 95 % bootstrap intervals over questions and p-values of paired "
        "permutation tests, corrected by Holm within a row: over q-en.p-en and q-L.p-en against each opponent and the "
        "base. A merged model has the weight that dev chose for it. The last column is the gain over infonce in the "
        "direction where it is largest, as a share of infonce's score."
    )


def _default_models(experiment: Experiment) -> Iterator[DefaultModel]:
    """The default's models, merged and as trained, wherever the base and the two main baselines have been run."""
    default = experiment.matrix.default
    for data in experiment.matrix.data:
        scores = model_scores(experiment, data)
        for length in LENGTHS:
            needed = {BASE, f"infonce{length}", f"infonce-both{length}", f"{default}{length}"}
            if needed <= scores.by_model.keys():
                yield from _compared_models(scores, data, default, length)


def _compared_models(scores: ModelScores, data: str, default: str, length: str) -> Iterator[DefaultModel]:
    opponents = {}
    for opponent in OPPONENTS:
        baseline, merged, _ = opponent.partition(", merged")
        name = _model_named(scores, f"{baseline}{length}{merged}")
        if name:
            opponents[opponent] = name
    columns = {heading: scores.columns[heading] for heading in (ENGLISH_DIRECTION, TO_ENGLISH)}
    for model in scores.variants(default + length):
        differences = scores.compare([(model, other) for other in [*opponents.values(), BASE]], columns)
        by_opponent = {(other, heading): difference for (_, other, heading), difference in differences.items()}
        yield DefaultModel(data, length, model, scores, opponents, by_opponent)


def _model_named(scores: ModelScores, name: str) -> str:
    """The model of this name; for a merged one whatever its weight is. Empty if there is none."""
    return next((model for model in scores.by_model if model == name or model.startswith(f"{name} ")), "")


def _time_ratio(experiment: Experiment, model: DefaultModel) -> str:
    """Seconds of training against infonce-both; of each the fastest seed, the one that was disturbed least.

    Empty where all seeds of one were resumed, so that their times are not known.
    """
    results = experiment.results
    fastest = []
    for objective in (experiment.matrix.default, "infonce-both"):
        cells = [Cell("test", model.data, objective + model.length, seed) for seed in SEEDS]
        runs = [results.read(cell) for cell in cells if results.has(cell)]
        fastest += (
            [min(seconds)] if (seconds := [run["train_seconds"] for run in runs if "train_seconds" in run]) else []
        )
    return f"x {fastest[0] / fastest[1]:.1f}" if len(fastest) == 2 else ""
