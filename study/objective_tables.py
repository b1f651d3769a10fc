"""Tables of one test set with every objective, and of what bf16 changes."""

from __future__ import annotations

from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.report.tables import Table
from study.dev_tables import NOT_RUN
from study.directions import TO_ENGLISH
from study.experiment import Experiment
from study.scores import ModelScores, model_scores

#: The objective that was trained in both precisions; its name with `, fp32` is the other cell.
PRECISION_OBJECTIVE = "clear + cross"


def objective_table(experiment: Experiment, data: str) -> str:
    """Every objective on one test set, merged and as trained, against the strongest baseline.

    Args:
        experiment: Plan and results.
        data: Name of the data set.

    Returns:
        Markdown.
    """
    scores = _scores_with_baseline(experiment, data)
    if scores is None:
        return NOT_RUN
    differences = scores.compare_with_strongest(
        {name: scores.columns[name] for name in (ENGLISH_DIRECTION, TO_ENGLISH)}
    )
    rows = []
    for name in scores.by_model:
        row = [name, str(scores.seeds[name])]
        for heading, directions in scores.columns.items():
            text = f"{100 * scores.mean(name, directions):.1f}"
            if (name, heading) in differences:
                change, low, high, p = differences[name, heading]
                text += f" ({100 * change:+.1f}, {100 * low:+.1f} to {100 * high:+.1f}; p {p:.3f})"
            row.append(text)
        rows.append(row)
    return (
        f"{Table(['objective', 'seeds', *scores.columns], rows).markdown()}\n"
        "nDCG@10 x 100, each question's score averaged over seeds. In brackets: the difference from "
        f"{scores.strongest}, the strongest baseline on dev, with its 95 % bootstrap interval over questions and the "
        "p-value of a paired permutation test, corrected by Holm over this table."
    )


def _scores_with_baseline(experiment: Experiment, data: str) -> ModelScores | None:
    """The scores on a test set; None until there is a baseline and something to hold against it."""
    scores = model_scores(experiment, data)
    return scores if len(scores.by_model) >= 3 and scores.strongest else None


def language_table(experiment: Experiment, data: str) -> str:
    """The directions to English passages one by one.

    Args:
        experiment: Plan and results.
        data: Name of the data set.

    Returns:
        Markdown.
    """
    scores = _scores_with_baseline(experiment, data)
    if scores is None:
        return NOT_RUN
    differences = scores.compare_with_strongest(scores.to_english)
    rows = []
    for name in scores.by_model:
        row = [name]
        for heading, directions in scores.to_english.items():
            significant = (name, heading) in differences and differences[name, heading].p < 0.05
            row.append(f"{100 * scores.mean(name, directions):.1f}{'*' if significant else ''}")
        rows.append(row)
    return (
        f"{Table(['objective', *scores.to_english], rows).markdown()}\n"
        f"nDCG@10 x 100; * p < .05 against {scores.strongest}, corrected by Holm over this table."
    )


def precision_table(experiment: Experiment) -> str:
    """What bf16 does to the scores after training, against float32: Markdown."""
    bf16, float32 = PRECISION_OBJECTIVE, f"{PRECISION_OBJECTIVE}, fp32"
    rows, seeds = [], 0
    for data in experiment.matrix.data:
        scores = model_scores(experiment, data)
        if not {bf16, float32} <= scores.by_model.keys():
            continue
        seeds = scores.seeds[float32]
        columns = {heading: scores.columns[heading] for heading in (ENGLISH_DIRECTION, TO_ENGLISH)}
        differences = scores.compare([(bf16, float32)], columns)
        for heading, directions in columns.items():
            change, low, high, p = differences[bf16, float32, heading]
            means = [f"{100 * scores.mean(name, directions):.2f}" for name in (float32, bf16)]
            difference = f"{100 * change:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}; p {p:.2f})"
            rows.append([data, heading, *means, difference])
    if not rows:
        return NOT_RUN
    return (
        f"{Table(['data', 'direction', 'float32', 'bf16', 'difference'], rows, num_names=2).markdown()}\n"
        f"nDCG@10 x 100 of {bf16}, trained and evaluated in float32 or bf16, {seeds} seeds. difference: bf16 minus "
        "float32, with 95 % bootstrap intervals over questions and p-values of paired permutation tests."
    )
