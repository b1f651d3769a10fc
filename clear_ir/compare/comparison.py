"""Is one model better than another? Paired differences with intervals and corrected p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction
from clear_ir.data.files import InputError
from clear_ir.evaluate.measures import MAIN_MEASURE, MAIN_MIXED_MEASURE
from clear_ir.evaluate.resampling import PairedTest, QuestionScores, Statistic, interval
from clear_ir.evaluate.results import DirectionResult, Results
from clear_ir.evaluate.selection import mean_cross_lingual

# The names of the summaries.
MONOLINGUAL, CROSS_LINGUAL, WORST, ENGLISH = "mean monolingual", "mean cross-lingual", "worst direction", "English"
#: Where the base is nearer to the ceiling than this, a share of the rest would say nothing.
LEAST_ROOM = 0.05

#: A value with the lower and upper end of its interval.
Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Difference:
    """One model against the base in one direction.

    Args:
        model: The model's name.
        direction: Such as `q-de.p-en`, or the name of a summary.
        measure: Such as `nDCG@10`.
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


@dataclass(frozen=True)
class Comparison:
    """Models compared with a base in all that tables and reports show.

    Args:
        base: The reference.
        others: The models.
        directions: Differences in nDCG@10, one for each model and direction with one language a side.
        summaries: The same for each model and summary, see `summary_statistics`.
        mixed: Differences in nDCG@10, then in Complete@10, for each model and pool in several languages.
    """

    base: Results
    others: list[Results]
    directions: list[Difference]
    summaries: list[Difference]
    mixed: list[Difference]

    @property
    def models(self) -> list[Results]:
        """The base, then the others."""
        return [self.base, *self.others]


def compare_models(base: Results, others: Sequence[Results]) -> Comparison:
    """Compare models with a base in every direction, summary and pool in several languages.

    Args:
        base: The reference.
        others: Models evaluated on the same data; none describes the base alone.

    Returns:
        The differences. P-values are corrected within each of the three lists, which are a table each. A measure that
        the results of any model lack, as older ones may, is left out of `mixed`.

    Raises:
        InputError: If two models have one name, or the data differ.
    """
    check_comparable([base, *others])
    mixed = []
    for measure in (MAIN_MEASURE, MAIN_MIXED_MEASURE):
        if all(measure in pool.measures for results in (base, *others) for pool in results.mixed.values()):
            mixed += compare_results(base, others, measure, mixed=True)
    summaries = compare_summaries(base, others)
    return Comparison(base, list(others), compare_results(base, others), summaries, _corrected(mixed))


def check_comparable(results: Sequence[Results]) -> None:
    """Refuse results that one table cannot hold.

    Args:
        results: Those of the base, and of other models.

    Raises:
        InputError: If a folder is given twice, they are of different data, or two models have one name.
    """
    folders = [result.folder.resolve() for result in results if result.folder]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise InputError(f"The results in {twice} are given twice; give those of another model.")
    for other in results[1:]:
        check_same_data(results[0], other)
    names = [result.model for result in results]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"Two results are named {double!r}; evaluate one of the models again under another name.")


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method (Holm 1979), which bounds the chance of any false alarm.

    Args:
        p_values: m p-values, not corrected.

    Returns:
        The corrected ones, in the same order. The k-th smallest is multiplied by m - k + 1; none is smaller than
        that of a smaller p-value, and none larger than 1.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for k, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - k) * p_values[i]))
        corrected[i] = highest
    return corrected


def check_same_data(base: Results, other: Results) -> None:
    """Refuse to compare results on different data.

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
    of_other = dict(other.all_directions)
    for direction, result in base.all_directions:
        if direction not in of_other:
            raise InputError(f"The results of {other.model} lack the direction {direction}; evaluate it again.")
        if of_other[direction].per_query.keys() != result.per_query.keys():
            raise InputError(f"{other.model} and {base.model} have other queries in {direction}; evaluate both again.")


def compare_results(
    base: Results, others: Sequence[Results], measure: str = MAIN_MEASURE, seed: int = 0, mixed: bool = False
) -> list[Difference]:
    """Compare models with a base, question by question, in every direction.

    Args:
        base: The reference.
        others: Models evaluated on the same data.
        measure: Name of a measure that every query has.
        seed: Of the resampling.
        mixed: Compare the pools in several languages instead.

    Returns:
        One difference for each model and direction; p-values of a paired permutation test, corrected over all of
        them.

    Raises:
        InputError: If the data differ, or a query lacks the measure.
    """
    statistics = {name: _score_of(i) for i, name in enumerate(base.mixed if mixed else base.directions)}
    return _differences(base, others, measure, seed, statistics, mixed)


def compare_summaries(
    base: Results, others: Sequence[Results], measure: str = MAIN_MEASURE, seed: int = 0
) -> list[Difference]:
    """Compare models with a base by their summaries: what a reader asks for first.

    Args:
        base: The reference.
        others: Models evaluated on the same data.
        measure: Name of a measure that every query has.
        seed: Of the resampling.

    Returns:
        One difference for each model and summary, see `summary_statistics`; p-values corrected over all of
        them.

    Raises:
        InputError: If the data differ, or a query lacks the measure.
    """
    return _differences(base, others, measure, seed, summary_statistics(list(base.directions)))


def _differences(
    base: Results,
    others: Sequence[Results],
    measure: str,
    seed: int,
    statistics: Mapping[str, Statistic],
    mixed: bool = False,
) -> list[Difference]:
    """The differences in some statistics of the means by direction, corrected over all of them."""
    differences: list[Difference] = []
    for other in others if statistics else []:
        check_same_data(base, other)
        before, after = (_question_scores(results, base.questions, measure, mixed) for results in (base, other))
        drawn_before, drawn_after = before.bootstrap(seed), after.bootstrap(seed)
        test = PairedTest(before, after, seed)
        directions = base.mixed if mixed else base.directions
        for name, statistic in statistics.items():
            low, high = interval(statistic(drawn_after) - statistic(drawn_before))
            value, reference = float(statistic(after.means)), float(statistic(before.means))
            size = len(directions[name].per_query) if name in directions else len(before.sums)
            p = test.p_value(statistic)
            differences.append(Difference(other.model, name, measure, reference, value, low, high, p, size))
    return _corrected(differences)


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Differences of one table, their p-values corrected over all of them."""
    corrected = holm([difference.p for difference in differences])
    return [replace(difference, p_holm=p) for difference, p in zip(differences, corrected, strict=True)]


def _question_scores(results: Results, questions: Mapping[str, str], measure: str, mixed: bool) -> QuestionScores:
    directions = results.mixed if mixed else results.directions
    for name, result in directions.items():
        for query, values in result.per_query.items():
            if measure not in values:
                raise InputError(
                    f"The results of {results.model} have no {measure} for the query {query} in {name}; "
                    "choose a measure that every query has, or evaluate the model again."
                )
    return QuestionScores(directions, questions, measure)


def summary_statistics(directions: Sequence[str]) -> dict[str, Statistic]:
    """The summaries that a list of directions allows.

    Args:
        directions: Names such as `q-de.p-en`.

    Returns:
        By name, functions of the means by direction:

        - `mean monolingual`: mean over the directions with one language on both sides, if there are two or more;
        - `mean cross-lingual`: mean over the directions whose sides differ in language, if there are any;
        - `worst direction`: the lowest, if there are two directions or more;
        - `English`: q-en.p-en, if it is there.
    """
    monolingual = np.array([not parse_direction(name).crosses for name in directions])
    statistics: dict[str, Statistic] = {}
    if np.count_nonzero(monolingual) > 1:
        statistics[MONOLINGUAL] = lambda means: means[..., monolingual].mean(axis=-1)
    if not monolingual.all():
        statistics[CROSS_LINGUAL] = lambda means: mean_cross_lingual(
            {name: means[..., i] for i, name in enumerate(directions)}
        )
    if len(directions) > 1:
        statistics[WORST] = lambda means: means.min(axis=-1)
    if ENGLISH_DIRECTION in directions:
        statistics[ENGLISH] = _score_of(list(directions).index(ENGLISH_DIRECTION))
    return statistics


def summary_intervals(results: Results, measure: str = MAIN_MEASURE) -> dict[str, Interval]:
    """A model's summaries with their 95 % bootstrap intervals over questions.

    Args:
        results: Of one model.
        measure: Name of a measure that every query has.

    Returns:
        By name: value, lower and upper end. The interval of the worst direction is that of the direction which is
        worst over all questions.
    """
    scores = _question_scores(results, results.questions, measure, mixed=False)
    statistics = summary_statistics(list(results.directions))
    if WORST in statistics:
        statistics[WORST] = _score_of(int(scores.means.argmin()))
    return _intervals(scores, statistics)


def score_intervals(
    directions: Mapping[str, DirectionResult], questions: Mapping[str, str], measure: str = MAIN_MEASURE
) -> dict[str, Interval]:
    """Each direction's mean with its 95 % bootstrap interval over questions.

    Args:
        directions: Results by direction.
        questions: `{query id: parallel_id}`.
        measure: Name of a measure that every query has.

    Returns:
        By direction: value, lower and upper end.
    """
    scores = QuestionScores(directions, questions, measure)
    return _intervals(scores, {name: _score_of(i) for i, name in enumerate(directions)})


def _intervals(scores: QuestionScores, statistics: Mapping[str, Statistic]) -> dict[str, Interval]:
    drawn = scores.bootstrap()
    return {
        name: (float(statistic(scores.means)), *interval(statistic(drawn))) for name, statistic in statistics.items()
    }


def _score_of(i: int) -> Statistic:
    """The score of the i-th direction, as a statistic of the means by direction."""
    return lambda means: means[..., i]


def gap_closed(base: Results, other: Results, direction: str, measure: str = MAIN_MEASURE) -> float | None:
    """The share that a model has closed of the gap between the base and perfectly translated queries.

    Args:
        base: The reference.
        other: The model.
        direction: One whose sides differ in language, such as `q-de.p-en`.
        measure: Name of a measure that every query has.

    Returns:
        (value - base) / (ceiling - base). The ceiling is the base's score on the same questions asked in the
        passages' language (for q-de.p-en: q-en.p-en). The share is below 0 where the model lost, above 1 where it
        passed the ceiling. It is None if the direction does not cross languages, if a question does not exist in
        the passages' language, or if the base is less than `LEAST_ROOM` below the ceiling.
    """
    parsed = parse_direction(direction)
    ceiling = base.directions.get(f"q-{parsed.passage_lang}.p-{parsed.passage_lang}")
    if not parsed.crosses or ceiling is None:
        return None
    translated = {base.questions.get(query, query): values[measure] for query, values in ceiling.per_query.items()}
    questions = [base.questions.get(query, query) for query in base.directions[direction].per_query]
    if any(question not in translated for question in questions):
        return None
    before, after = (results.directions[direction].mean(measure) for results in (base, other))
    room = float(np.mean([translated[question] for question in questions])) - before
    return (after - before) / room if room >= LEAST_ROOM else None
