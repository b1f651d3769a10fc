"""What one change of the objective does: pairs of models that differ in it alone."""

from __future__ import annotations

from clear_ir.compare.comparison import holm
from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.report.tables import Table
from study.dev_tables import NOT_RUN
from study.directions import TO_ENGLISH
from study.experiment import Experiment
from study.scores import PairedDifference, model_scores

_DEFAULT = "clear + cross + guard, KL detached"
_DISTILLED = f"distil on queries, then {_DEFAULT}"
_LONG = ", 3x the steps"
#: Data sets, model, and the model that it is compared with.
PAIRS = (
    ("afriqa xquad-de xquad", "clear", "infonce"),
    ("afriqa xquad-de xquad", "clear + cross", "clear"),
    ("afriqa", "clear + cross + guard", "clear + cross"),
    ("afriqa", _DEFAULT, "clear + cross + guard"),
    ("afriqa", "clear, KL detached", "clear"),
    ("afriqa", "infonce-both + guard", "infonce-both"),
    ("afriqa afriqa-ha afriqa-zu xquad-de", _DISTILLED, _DEFAULT),
    ("afriqa", "distil on queries, then infonce", "infonce"),
    ("afriqa", _DEFAULT + _LONG, _DEFAULT),
    ("afriqa", "infonce" + _LONG, "infonce"),
    ("afriqa", "infonce-both" + _LONG, "infonce-both"),
    ("afriqa", _DISTILLED, _DEFAULT + _LONG),
    ("afriqa", _DISTILLED + _LONG, _DEFAULT + _LONG),
)


def pair_table(experiment: Experiment) -> str:
    """The differences of all pairs whose models have been run, p-values corrected over the table: Markdown."""
    rows: list[list[str]] = []
    differences: list[PairedDifference] = []
    for names, after, before in PAIRS:
        for data in names.split():
            if data not in experiment.matrix.data:
                continue
            scores = model_scores(experiment, data)
            if not {after, before} <= scores.by_model.keys():
                continue
            rows.append([data, after, before])
            columns = {heading: scores.columns[heading] for heading in (ENGLISH_DIRECTION, TO_ENGLISH)}
            # One test a call: the p-values are not corrected yet.
            for heading, directions in columns.items():
                differences += scores.compare([(after, before)], {heading: directions}).values()
    if not rows:
        return NOT_RUN
    corrected = holm([difference.p for difference in differences])
    cells = [difference._replace(p=p).points() for difference, p in zip(differences, corrected, strict=True)]
    rows = [[*row, *cells[2 * number : 2 * number + 2]] for number, row in enumerate(rows)]
    return (
        f"{Table(['data', 'model', 'compared with', ENGLISH_DIRECTION, TO_ENGLISH], rows, num_names=3).markdown()}\n"
        "Differences on test in points of nDCG@10 x 100, models as trained, with 95 % bootstrap intervals over "
        "questions and p-values of paired permutation tests, corrected by Holm over this table."
    )
