"""Measures of a run, per query: pytrec_eval's through ir_measures, and our own for mixed-language pools.

docs/measures.md gives each with formula and source.
"""

from __future__ import annotations

from collections.abc import Mapping

from clear_ir.data.collection import Collection, Qrels
from clear_ir.encode.search import Run

MEASURES = ("nDCG@10", "R@1", "R@10", "R@100", "RR@10", "AP@100")
#: What is measured besides in mixed pools; one-target AP adds one of :func:`one_target` for each language.
MIXED_MEASURES = ("Complete@10", "last_rank", "own_language_first", "english_irrelevant@10")
#: Passages that a run must hold for MEASURES.
DEPTH = 100

PerQuery = dict[str, dict[str, float]]


def one_target(lang: str) -> str:
    """The name of one-target average precision for passages in ``lang``."""
    return f"one_target_AP({lang})"


def score_run(run: Run, qrels: Qrels) -> PerQuery:
    """Score a run with :data:`MEASURES`, per query, by pytrec_eval's rules (ties: higher passage id first).

    Args:
        run: ``{query id: {passage id: score}}``.
        qrels: ``{query id: {passage id: relevance}}``; queries without relevant passages do not count.

    Returns:
        ``{query id: {measure: value}}`` for each judged query; 0 where nothing was found.
    """
    import ir_measures
    from ir_measures import AP, RR, R, nDCG

    # ir_measures would send RR@10 to a provider with another tie rule; RR to pytrec_eval, cut here, is exact.
    measures = [nDCG @ 10, R @ 1, R @ 10, R @ 100, RR, AP @ 100]
    scores: PerQuery = {query: dict.fromkeys(MEASURES, 0.0) for query in qrels}
    for metric in ir_measures.pytrec_eval.iter_calc(measures, qrels, run):
        if metric.measure == RR:
            scores[metric.query_id]["RR@10"] = metric.value if metric.value >= 1 / 10 else 0.0
        else:
            scores[metric.query_id][str(metric.measure)] = metric.value
    return scores


def score_mixed_run(run: Run, qrels: Qrels, ranks: Mapping[str, Mapping[str, int]], collection: Collection) -> PerQuery:
    """Score a run over a pool in several languages.

    Args:
        run: At least ten passages a query, where the pool has them.
        qrels: The judgments of the pool.
        ranks: Rank of every relevant passage in the whole pool.
        collection: Tells the languages.

    Returns:
        ``{query id: {measure: value}}`` with, for each query,

        - ``Complete@10``: 1 if every relevant passage is among the first ten;
        - ``last_rank``: rank of the relevant passage found last;
        - ``own_language_first``: 1 if the first relevant passage is in the query's language; absent where no
            relevant one is in it;
        - ``english_irrelevant@10``: English share of the irrelevant passages among the first ten; absent where
            there are none;
        - ``one_target_AP(L)``: average precision over the relevant passages in language L, the relevant ones in
            other languages taken out of the ranking.
    """
    scores: PerQuery = {}
    for query, judged in qrels.items():
        relevant = {passage for passage, relevance in judged.items() if relevance > 0}
        rank = ranks[query]
        found = sorted(relevant, key=lambda passage: rank[passage])
        lang = {passage: collection.passages[passage].lang for passage in found}
        values = {
            "Complete@10": float(rank[found[-1]] <= 10),
            "last_rank": float(rank[found[-1]]),
        }
        own = collection.queries[query].lang
        if own in lang.values():
            values["own_language_first"] = float(lang[found[0]] == own)
        # Runs are best first.
        irrelevant = [passage for passage in list(run[query])[:10] if passage not in relevant]
        if irrelevant:
            english = sum(collection.passages[passage].lang == "en" for passage in irrelevant)
            values["english_irrelevant@10"] = english / len(irrelevant)
        for target in sorted(set(lang.values())):
            precisions: list[float] = []
            others = 0
            for passage in found:
                if lang[passage] == target:
                    precisions.append((len(precisions) + 1) / (rank[passage] - others))
                else:
                    others += 1
            values[one_target(target)] = sum(precisions) / len(precisions)
        scores[query] = values
    return scores
