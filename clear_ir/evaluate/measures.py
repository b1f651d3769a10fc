"""The measures, each said once: its name, how people read it, where it applies, and how it is computed.

To add a measure, add a `Measure` to `MEASURES`. Results files, tables, the report and docs/measures.md
are made from there. Results that were written before show a blank cell.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from clear_ir.data.collection import Collection, Qrels
from clear_ir.encode.search import Run

if TYPE_CHECKING:
    import ir_measures

#: Passages of each query that measures see, at least, where the pool has as many.
DEPTH = 100

Better = Literal["higher", "lower", "neither"]
PerQuery = dict[str, dict[str, float]]
#: `{query id: {passage id: rank from 1}}` for every relevant passage, in the pool and not only in the run.
Ranks = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Ranking:
    """What a measure sees of one query.

    Args:
        query: The query's id.
        scores: `{passage id: score}`, best first; at least `DEPTH` passages where the pool has as many.
        judged: `{passage id: relevance}`.
        collection: Tells the languages.
        find_ranks: Gives `Ranks`; called only if a measure asks for `ranks`, since that takes a second
            pass over the pool.
    """

    query: str
    scores: Mapping[str, float]
    judged: Mapping[str, int]
    collection: Collection
    find_ranks: Callable[[], Ranks]

    @property
    def query_lang(self) -> str:
        """The query's language."""
        return self.collection.queries[self.query].lang

    def lang_of(self, passage: str) -> str:
        """A passage's language."""
        return self.collection.passages[passage].lang

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """Rank in the pool, from 1, of every relevant passage."""
        return self.find_ranks()[self.query]

    @cached_property
    def relevant(self) -> list[str]:
        """The relevant passages, best rank first."""
        passages = [passage for passage, relevance in self.judged.items() if relevance > 0]
        return sorted(passages, key=self.ranks.__getitem__)

    @cached_property
    def relevant_langs(self) -> list[str]:
        """The languages of `relevant`, in the same order."""
        return [self.lang_of(passage) for passage in self.relevant]


@dataclass(frozen=True)
class TrecEval:
    """A value that pytrec_eval computes for all queries at once.

    Args:
        measure: Its name in ir_measures, such as `nDCG@10`.
        convert: What is done with each value; None keeps it.
    """

    measure: str
    convert: Callable[[float], float] | None = None


@dataclass(frozen=True)
class Measure:
    """One measure.

    Args:
        name: In files, such as `last_rank`.
        label: For people, such as `last rank`.
        definition: What it is for one query, for docs/measures.md.
        compute: `TrecEval`, or a function of one query's ranking; None means that the query has no value.
        pools: Where it applies: in every pool, or only in pools of one language, or of several.
        unit: `share`, from 0 to 1 and shown times 100, or `rank`, shown as it is.
        better: Which values are good.
        meaning: A few words for the note on the report's table; empty for a measure that is known by its name.
        source: Where it comes from, for docs/measures.md.
        mteb: Its name in mteb's results; empty leaves it out of the table of mteb's scores.
    """

    name: str
    label: str
    definition: str
    compute: TrecEval | Callable[[Ranking], float | None]
    pools: Literal["all", "one language", "several languages"] = "all"
    unit: Literal["share", "rank"] = "share"
    better: Better = "higher"
    meaning: str = ""
    source: str = ""
    mteb: str = ""

    def applies(self, mixed: bool) -> bool:
        """Whether it is computed for pools of several languages (`mixed`), or else of one."""
        return self.pools in ("all", "several languages" if mixed else "one language")

    @property
    def heading(self) -> str:
        """Heading of its column in tables."""
        return f"{self.label}, mean" if self.unit == "rank" else self.label

    def format(self, value: float, sign: str = "") -> str:
        """A value, or with `sign="+"` a difference, as tables show it."""
        return f"{100 * value if self.unit == 'share' else value:{sign}.1f}"


@dataclass(frozen=True)
class MeasureFamily:
    """One measure for each language of the relevant passages; all of them stand in one table.

    Args:
        name: In files, where `(L)` follows for language L: `one_target_AP(de)`.
        label: For people, with L for the language.
        title: Of the family's table.
        meaning: What the table shows, in a sentence.
        definition: What it is for one query, for docs/measures.md.
        compute: The value of one query's ranking for one language, which a relevant passage is in.
        source: Where it comes from, for docs/measures.md.
        better: Which values are good.
    """

    name: str
    label: str
    title: str
    meaning: str
    definition: str
    compute: Callable[[Ranking, str], float]
    source: str = ""
    better: Better = "higher"

    def name_for(self, lang: str) -> str:
        """The name in files of the measure for one language."""
        return f"{self.name}({lang})"

    def lang_in(self, name: str) -> str | None:
        """The language of a measure's name; None if the measure is not of this family."""
        prefix = f"{self.name}("
        return name[len(prefix) : -1] if name.startswith(prefix) and name.endswith(")") else None

    def measure(self, lang: str) -> Measure:
        """The measure for one language."""
        return Measure(
            name=self.name_for(lang),
            label=f"p-{lang}",
            definition=self.definition,
            compute=lambda ranking: self.compute(ranking, lang),
            pools="several languages",
            better=self.better,
        )


def _recall(depth: int, mteb: str = "") -> Measure:
    name = f"R@{depth}"
    definition = f"relevant passages up to rank {depth}, divided by R"
    return Measure(name, name, definition, TrecEval(name), mteb=mteb)


def _complete(ranking: Ranking) -> float:
    return float(ranking.ranks[ranking.relevant[-1]] <= 10)


def _last_rank(ranking: Ranking) -> float:
    return float(ranking.ranks[ranking.relevant[-1]])


def _own_language_first(ranking: Ranking) -> float | None:
    if ranking.query_lang not in ranking.relevant_langs:
        return None
    return float(ranking.relevant_langs[0] == ranking.query_lang)


def _english_irrelevant(ranking: Ranking) -> float | None:
    irrelevant = [passage for passage in list(ranking.scores)[:10] if ranking.judged.get(passage, 0) <= 0]
    if not irrelevant:
        return None
    return sum(ranking.lang_of(passage) == "en" for passage in irrelevant) / len(irrelevant)


def _one_target_ap(ranking: Ranking, lang: str) -> float:
    precisions: list[float] = []
    others = 0
    for passage, its_lang in zip(ranking.relevant, ranking.relevant_langs, strict=True):
        if its_lang == lang:
            # Relevant passages in other languages are out of the ranking, so those before this one do not count.
            precisions.append((len(precisions) + 1) / (ranking.ranks[passage] - others))
        else:
            others += 1
    return sum(precisions) / len(precisions)


#: The measure of summaries, differences and the choice of checkpoints; results without it are refused.
MAIN_MEASURE = "nDCG@10"
#: What is compared besides in pools of several languages.
MAIN_MIXED_MEASURE = "Complete@10"

#: Every measure by name, in the order of the tables.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            MAIN_MEASURE,
            MAIN_MEASURE,
            "sum over i <= 10 of rel(i) / log2(i + 1), divided by the same sum for the best possible order",
            TrecEval(MAIN_MEASURE),
            source="Järvelin and Kekäläinen 2002",
            mteb="ndcg_at_10",
        ),
        _recall(1),
        _recall(10, mteb="recall_at_10"),
        _recall(100, mteb="recall_at_100"),
        Measure(
            "RR@10",
            "RR@10",
            "1 / rank of the first relevant passage; 0 if that is beyond 10",
            # ir_measures would give RR@10 to a provider with another tie rule. RR goes to pytrec_eval; cut here, it
            # is exact.
            TrecEval("RR", lambda value: value if value >= 1 / 10 else 0.0),
            source="Voorhees 1999",
        ),
        Measure(
            "AP@100",
            "AP@100",
            "sum over relevant passages at rank i <= 100 of (relevant among the first i) / i, divided by R",
            TrecEval("AP@100"),
            source="Buckley and Voorhees 2000",
        ),
        Measure(
            MAIN_MIXED_MEASURE,
            MAIN_MIXED_MEASURE,
            "1 if all relevant passages are among the first ten, else 0; so 0 where there are more than ten",
            _complete,
            "several languages",
            meaning="whether all relevant passages are among the first ten",
        ),
        Measure(
            "last_rank",
            "last rank",
            "rank in the pool of the relevant passage that stands last; tables show mean and median over queries",
            _last_rank,
            "several languages",
            unit="rank",
            better="lower",
            meaning="rank of the last relevant passage",
        ),
        Measure(
            "own_language_first",
            "own language first",
            "1 if the first relevant passage is in the query's language, else 0; no value where no relevant passage "
            "is in it",
            _own_language_first,
            "several languages",
            better="neither",
            meaning="whether the first relevant passage is in the query's language",
            source="related: the language preference rate of MLAIRE, arXiv 2605.07249",
        ),
        Measure(
            "english_irrelevant@10",
            "English of irrelevant",
            "of the irrelevant passages among the first ten, the English share; no value where there are none",
            _english_irrelevant,
            "several languages",
            better="neither",
            meaning="English share of the irrelevant passages among the first ten",
        ),
    )
}

ONE_TARGET_AP = MeasureFamily(
    name="one_target_AP",
    label="one-target AP, p-L",
    title="One target language in mixed pools",
    meaning="How high do the relevant passages in one language stand among all languages? Average precision times 100, "
    "after the relevant passages in other languages are taken out of the ranking.",
    definition="average precision of the relevant passages in L, after the relevant ones in other languages are taken "
    "out of the ranking; irrelevant ones in every language stay",
    compute=_one_target_ap,
    source="as in LAReQA, Roy et al. 2020, arXiv 2004.05484, where one target stays in the pool of all languages",
)
#: Every family by name; all are of pools in several languages.
FAMILIES: dict[str, MeasureFamily] = {ONE_TARGET_AP.name: ONE_TARGET_AP}


def find_measure(name: str) -> Measure | None:
    """The measure of a name in files; None if there is none, as in results of a newer version."""
    if name in MEASURES:
        return MEASURES[name]
    for family in FAMILIES.values():
        if lang := family.lang_in(name):
            return family.measure(lang)
    return None


def mteb_measures() -> dict[str, str]:
    """Names in mteb's results of those measures that its table shows, by our names."""
    return {measure.name: measure.mteb for measure in MEASURES.values() if measure.mteb}


def score_run(run: Run, qrels: Qrels, mixed: bool = False, only: Container[str] | None = None) -> PerQuery:
    """Score a run with the measures of pytrec_eval, by its rules (of equal scores the higher passage id stands first).

    Args:
        run: `{query id: {passage id: score}}`.
        qrels: `{query id: {passage id: relevance}}`; queries without relevant passages do not count.
        mixed: Whether the pool holds several languages.
        only: Names of the measures to compute. None: all that apply.

    Returns:
        `{query id: {measure: value}}` for each judged query; 0 where no passage was retrieved.
    """
    from ir_measures import pytrec_eval

    # Two of our measures may be made from one value of pytrec_eval's.
    wanted: dict[ir_measures.Measure, list[tuple[str, Callable[[float], float] | None]]] = {}
    for measure in MEASURES.values():
        if _is_wanted(measure, mixed, only) and isinstance(measure.compute, TrecEval):
            wanted.setdefault(_parsed(measure.compute.measure), []).append((measure.name, measure.compute.convert))
    zeros = {name: 0.0 for names in wanted.values() for name, _ in names}
    scores: PerQuery = {query: dict(zeros) for query in qrels}
    for metric in pytrec_eval.iter_calc(list(wanted), qrels, run):
        for name, convert in wanted[metric.measure]:
            scores[metric.query_id][name] = metric.value if convert is None else convert(metric.value)
    return scores


def _is_wanted(measure: Measure, mixed: bool, only: Container[str] | None) -> bool:
    return measure.applies(mixed) and (only is None or measure.name in only)


@lru_cache
def _parsed(measure: str) -> ir_measures.Measure:
    import ir_measures

    return ir_measures.parse_measure(measure)


def score_rankings(
    run: Run,
    qrels: Qrels,
    find_ranks: Callable[[], Ranks],
    collection: Collection,
    mixed: bool = True,
    only: Container[str] | None = None,
) -> PerQuery:
    """Score a run with the measures that are functions of one query's ranking, and with the families.

    Args:
        run: At least ten passages a query, best first, where the pool has them.
        qrels: The judgments of the pool.
        find_ranks: Gives the rank in the pool of every relevant passage, see `Ranking`.
        collection: Tells the languages.
        mixed: Whether the pool holds several languages.
        only: Names of the measures to compute. None: all that apply, and the families.

    Returns:
        `{query id: {measure: value}}` for each judged query; a measure is absent where the query has no value.
    """
    functions = [
        (measure.name, measure.compute)
        for measure in MEASURES.values()
        if _is_wanted(measure, mixed, only) and not isinstance(measure.compute, TrecEval)
    ]
    families = list(FAMILIES.values()) if mixed and only is None else []
    scores: PerQuery = {}
    for query, judged in qrels.items():
        ranking = Ranking(query, run[query], judged, collection, find_ranks)
        values = ((name, compute(ranking)) for name, compute in functions)
        scores[query] = {name: value for name, value in values if value is not None}
        for family in families:
            for lang in sorted(set(ranking.relevant_langs)):
                scores[query][family.name_for(lang)] = family.compute(ranking, lang)
    return scores
