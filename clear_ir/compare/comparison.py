"""Is one model better than another? Paired differences with intervals and corrected p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clear_ir.compare.resampling import PairedTest, QuestionScores, Statistic, interval
from clear_ir.data.directions import parse_direction
from clear_ir.data.files import InputError
from clear_ir.evaluate.results import DirectionResult, Results

ENGLISH = "q-en.p-en"
WORST = "worst direction"
#: Room under the ceiling below which a share of it would say nothing.
LEAST_ROOM = 0.05


@dataclass(frozen=True)
class Difference:
    """One model against the base in one direction.

    Args:
        model: The model's name.
        direction: Such as ``q-de.p-en``, or the name of a summary.
        measure: Such as ``nDCG@10``.
        base: The base's mean.
        value: The model's mean.
        low: Lower end of the 95 % bootstrap interval of the difference, over questions.
        high: Its upper end.
        p: Two-sided p-value of the paired permutation test.
        p_holm: The same, corrected by Holm over all differences of the comparison.
        num_queries: Queries compared; for a summary, questions.
    """

    model: str
    direction: str
    measure: str
    base: float
    value: float
    low: float
    high: float
    p: float
    num_queries: int
    p_holm: float = 1.0

    @property
    def change(self) -> float:
        """Value minus base."""
        return self.value - self.base

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below .05."""
        return self.p_holm < 0.05


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method (Holm 1979), which bounds the family-wise error.

    Args:
        p_values: Uncorrected.

    Returns:
        Corrected, in the same order: the k-th smallest times (m - k + 1), made monotone and cut at 1.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for k, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - k) * p_values[i]))
        corrected[i] = highest
    return corrected


def check_same_data(base: Results, other: Results) -> None:
    """Refuse to compare what was not measured on the same data.

    Args:
        base: Results of one model.
        other: Results of another.

    Raises:
        InputError: If collections, directions or queries differ.
    """
    if other.data_hash != base.data_hash:
        raise InputError(
            f"{other.model} was evaluated on other data ({other.data}) than {base.model} ({base.data}); "
            "evaluate both on the same collection."
        )
    theirs = dict(other.all_directions)
    for direction, result in base.all_directions:
        if direction not in theirs:
            raise InputError(f"The results of {other.model} lack the direction {direction}; evaluate it again.")
        if theirs[direction].per_query.keys() != result.per_query.keys():
            raise InputError(f"{other.model} and {base.model} have other queries in {direction}; evaluate again.")


def compare_results(
    base: Results, others: Sequence[Results], measure: str = "nDCG@10", seed: int = 0, mixed: bool = False
) -> list[Difference]:
    """Compare models with a base, question by question, in every direction.

    Args:
        base: The reference.
        others: Models evaluated on the same data.
        measure: One of :data:`clear_ir.evaluate.measures.MEASURES`.
        seed: Of the resampling.
        mixed: Compare the pools in several languages instead.

    Returns:
        One difference for each model and direction; p-values of a paired permutation test, corrected over all of
        them.

    Raises:
        InputError: If the data differ.
    """
    chosen = base.mixed if mixed else base.directions
    statistics = {name: _direction(i) for i, name in enumerate(chosen)}
    sizes = {name: len(result.per_query) for name, result in chosen.items()}
    return _compare(base, others, measure, seed, statistics, sizes, mixed)


def compare_summaries(
    base: Results, others: Sequence[Results], measure: str = "nDCG@10", seed: int = 0
) -> list[Difference]:
    """Compare models with a base by what a person asks for first.

    Args:
        base: The reference.
        others: Models evaluated on the same data.
        measure: One of :data:`clear_ir.evaluate.measures.MEASURES`.
        seed: Of the resampling.

    Returns:
        One difference for each model and summary, see :func:`summary_statistics`; p-values corrected over all of
        them.

    Raises:
        InputError: If the data differ.
    """
    return _compare(base, others, measure, seed, summary_statistics(list(base.directions)), {}, False)


def _compare(
    base: Results,
    others: Sequence[Results],
    measure: str,
    seed: int,
    statistics: Mapping[str, Statistic],
    sizes: Mapping[str, int],
    mixed: bool,
) -> list[Difference]:
    found: list[Difference] = []
    for other in others if statistics else []:
        check_same_data(base, other)
        before, after = (
            QuestionScores(results.mixed if mixed else results.directions, base.questions, measure)
            for results in (base, other)
        )
        drawn_before, drawn_after = before.bootstrap(seed), after.bootstrap(seed)
        test = PairedTest(before, after, seed)
        for name, statistic in statistics.items():
            low, high = interval(statistic(drawn_after) - statistic(drawn_before))
            value, reference = float(statistic(after.means)), float(statistic(before.means))
            size = sizes.get(name, len(before.sums))
            p = test.p_value(statistic)
            found.append(Difference(other.model, name, measure, reference, value, low, high, p, size))
    corrected = holm([difference.p for difference in found])
    return [replace(difference, p_holm=p) for difference, p in zip(found, corrected, strict=True)]


def summary_statistics(directions: Sequence[str]) -> dict[str, Statistic]:
    """The summaries that a list of directions allows.

    Args:
        directions: Names such as ``q-de.p-en``.

    Returns:
        By name, functions of the means by direction: ``mean monolingual`` and ``mean cross-lingual``, means over
        the directions whose sides share or do not share a language; ``worst direction``, the lowest; ``English``,
        q-en.p-en.
    """
    crosses = np.array([parse_direction(name).crosses for name in directions])
    found: dict[str, Statistic] = {}
    if np.count_nonzero(~crosses) > 1:
        found["mean monolingual"] = lambda means: means[..., ~crosses].mean(axis=-1)
    if crosses.any():
        found["mean cross-lingual"] = lambda means: means[..., crosses].mean(axis=-1)
    if len(directions) > 1:
        found[WORST] = lambda means: means.min(axis=-1)
    if ENGLISH in directions:
        found["English"] = _direction(list(directions).index(ENGLISH))
    return found


def summary_intervals(results: Results, measure: str = "nDCG@10") -> dict[str, tuple[float, float, float]]:
    """A model's summaries with their 95 % bootstrap intervals over questions.

    Args:
        results: Of one model.
        measure: One of :data:`clear_ir.evaluate.measures.MEASURES`.

    Returns:
        By name: value, lower and upper end. The interval of the worst direction is that of the direction which is
        worst over all questions.
    """
    scores = QuestionScores(results.directions, results.questions, measure)
    statistics = summary_statistics(list(results.directions))
    if WORST in statistics:
        statistics[WORST] = _direction(int(scores.means.argmin()))
    return _intervals(scores, statistics)


def score_intervals(
    directions: Mapping[str, DirectionResult], questions: Mapping[str, str], measure: str = "nDCG@10"
) -> dict[str, tuple[float, float, float]]:
    """Each direction's mean with its 95 % bootstrap interval over questions.

    Args:
        directions: Results by direction.
        questions: ``{query id: parallel_id}``.
        measure: One of :data:`clear_ir.evaluate.measures.MEASURES`.

    Returns:
        By direction: value, lower and upper end.
    """
    scores = QuestionScores(directions, questions, measure)
    return _intervals(scores, {name: _direction(i) for i, name in enumerate(directions)})


def _intervals(scores: QuestionScores, statistics: Mapping[str, Statistic]) -> dict[str, tuple[float, float, float]]:
    drawn = scores.bootstrap()
    return {name: (float(of(scores.means)), *interval(of(drawn))) for name, of in statistics.items()}


def _direction(i: int) -> Statistic:
    return lambda means: means[..., i]


def gap_closed(base: Results, other: Results, direction: str, measure: str = "nDCG@10") -> float | None:
    """How much of the way from the base to perfect translation of the queries a model has gone.

    Args:
        base: The reference.
        other: The model.
        direction: One whose sides differ in language, such as ``q-de.p-en``.
        measure: One of :data:`clear_ir.evaluate.measures.MEASURES`.

    Returns:
        (value - base) / (ceiling - base), with as ceiling the base's score on the same questions asked in the
        passages' language (for q-de.p-en: q-en.p-en); below 0 where the model lost, above 1 where it passed the
        ceiling. None where that cannot be told: the direction does not cross languages, not every question exists
        in the passages' language, or the base is within :data:`LEAST_ROOM` of the ceiling already.
    """
    parsed = parse_direction(direction)
    ceiling = base.directions.get(f"q-{parsed.passage_lang}.p-{parsed.passage_lang}")
    if not parsed.crosses or ceiling is None:
        return None
    translated = {base.questions.get(query, query): values[measure] for query, values in ceiling.per_query.items()}
    asked = [base.questions.get(query, query) for query in base.directions[direction].per_query]
    if any(question not in translated for question in asked):
        return None
    before, after = (results.directions[direction].mean(measure) for results in (base, other))
    room = float(np.mean([translated[question] for question in asked])) - before
    return (after - before) / room if room >= LEAST_ROOM else None
