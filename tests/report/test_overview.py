"""The top of the report: headline, tiles and examples, against numbers worked out by hand."""

import numpy as np
import pytest

from clear_ir.compare.comparison import compare_models
from clear_ir.data.collection import Collection, Text
from clear_ir.evaluate.results import DirectionResult, Results
from clear_ir.report.overview import examples, headline, tiles
from clear_ir.report.page import render_report
from clear_ir.report.reported import Reported

NUMBER = 40


def result(first, ndcg, **more):
    """So many queries of 40 with the right passage first, and an nDCG@10 for all."""
    return DirectionResult(
        {
            f"q{i}": {"nDCG@10": ndcg, "RR@10": 1.0 if i < first else 0.5, **{name: v[i] for name, v in more.items()}}
            for i in range(NUMBER)
        },
        100,
    )


def results(model, directions, mixed=None):
    return Results(model, "w", "data", "d", "test", directions, mixed or {})


def reported(base, *others):
    return Reported(compare_models(base, others))


BASE = results("base", {"q-en.p-en": result(32, 0.8), "q-de.p-en": result(9, 0.4)})


def test_one_language_is_named_with_its_shares():
    model = results("m", {"q-en.p-en": result(32, 0.8), "q-de.p-en": result(14, 0.6)})
    [sentences] = headline(reported(BASE, model))
    assert sentences == (
        "German questions find the right English passage first: 22 % → 35 % of the time. "
        "English unchanged: 80 % of the time."
    )
    across, weakest, english = tiles(reported(BASE, model))
    assert (across.title, across.number) == ("Across languages", "40.0 → 60.0")
    assert (across.verdict, across.interval) == ("better", "+20.0, 95 % interval +20.0 to +20.0")
    assert across.detail == weakest.detail == "German questions, English passages"
    assert (english.number, english.verdict) == ("80.0 → 80.0", "no clear change")


def test_a_change_that_may_be_chance_is_not_called_a_gain_and_a_loss_is_named():
    noisy, lower = result(10, 0.4), result(20, 0.5)
    noisy.per_query["q0"]["nDCG@10"] = 0.5
    [sentence] = headline(reported(BASE, results("m", {"q-en.p-en": lower, "q-de.p-en": noisy})))
    assert sentence == (
        "German questions find the right English passage first: 22 % → 25 % of the time, no clear change. "
        "In English: 80 % → 50 % of the time, worse."
    )


@pytest.mark.parametrize(
    ("names", "begin"),
    [
        (["q-ha.p-en", "q-zu.p-en"], "Questions in Hausa and Zulu find the right English passage first: 50 % → 50 %"),
        (
            ["q-ha.p-en", "q-zu.p-en", "q-ig.p-en", "q-sw.p-en", "q-rw.p-en"],
            "Questions in 5 languages find the right English passage first: 50 % → 50 %",
        ),
        (["q-de.p-en", "q-en.p-de"], "Across 2 languages, the right passage comes first: 50 % → 50 %"),
    ],
)
def test_several_directions(names, begin):
    made = [results(model, {name: result(20, 0.5) for name in names}) for model in ("base", "m")]
    [sentence] = headline(reported(*made))
    assert sentence.startswith(begin)
    assert sentence.endswith("no clear change.")


def test_several_models_have_a_sentence_each_and_the_best_has_the_tiles(tmp_path):
    models = [
        results(name, {"q-en.p-en": result(32, 0.8), "q-de.p-en": result(10, ndcg)})
        for name, ndcg in (("fair", 0.5), ("good", 0.7), ("bad", 0.3))
    ]
    about = reported(BASE, *models)
    assert [sentence.split(":")[0] for sentence in headline(about)] == ["fair", "good", "bad"]
    assert tiles(about)[0].number == "40.0 → 70.0"
    render_report(tmp_path / "r", BASE, models)
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "below are of good, the best across languages." in page
    assert "good minus base</caption>" in page[: page.index("<h2>Details</h2>")]


def test_results_without_rr_show_the_main_measure():
    older = results("m", {"q-de.p-en": result(14, 0.6), "q-en.p-en": result(32, 0.8)})
    for values in older.directions["q-de.p-en"].per_query.values():
        del values["RR@10"]
    [sentence] = headline(reported(BASE, older))
    assert sentence.startswith("German questions find the right English passage first: nDCG@10 × 100 is 40.0 → 60.0.")


def test_one_direction_that_is_not_english_alone():
    made = [results(name, {"q-de.p-de": result(10, ndcg)}) for name, ndcg in (("base", 0.3), ("m", 0.5))]
    assert headline(reported(*made)) == [
        "German questions find the right German passage first: 25 % → 25 % of the time, better."
    ]
    [tile] = tiles(reported(*made))
    assert (tile.title, tile.number) == ("German questions, German passages", "30.0 → 50.0")
    [tile, bias] = tiles(reported(made[0]))
    assert (tile.number, bias.unit) == ("30.0", "not measured")


def test_a_model_alone_gets_a_verdict():
    own = np.repeat([1.0, 0.0], [30, 10])
    pools = {
        "q-de.p-en+de": result(20, 0.5, own_language_first=own),
        "q-en.p-en+de": result(20, 0.5, own_language_first=np.ones(NUMBER)),
        "q-de.p-all": result(20, 0.5, own_language_first=np.zeros(NUMBER)),  # more than two languages
        "q-de.p-en+sw": result(20, 0.5),  # nothing in the question's language
    }
    alone = results(
        "m", {"q-en.p-en": result(32, 0.8), "q-de.p-en": result(10, 0.4), "q-de.p-de": result(9, 0.6)}, pools
    )
    assert headline(reported(alone)) == [
        "German questions find the right English passage first: 25 % of the time. In English: 80 % of the time."
    ]
    strongest, weakest, bias = tiles(reported(alone))
    assert (strongest.number, strongest.detail) == ("80.0", "English questions, English passages")
    assert (weakest.number, weakest.detail) == ("40.0", "German questions, English passages")
    assert bias.number == "88 %"  # the mean of 30 / 40 and 40 / 40
    assert bias.verdict == "prefers the question's language"
    low, high = (float(end) for end in bias.interval.removeprefix("95 % interval ").split(" to "))
    # A question has one weight in both pools. By the normal approximation: 1.96 * 50 * sqrt(.75 * .25 / 40).
    assert 87.5 - low == pytest.approx(6.7, abs=1.5)
    assert high - 87.5 == pytest.approx(6.7, abs=1.5)


def test_three_examples_two_directions_and_a_loss(tmp_path):
    """Titles stand apart from texts, and only the right passage is marked."""
    texts = {f"p{i}": Text(f"p{i}", f"text {i}", "en", f"Title {i}") for i in range(3)}
    queries = {f"q{i}@{lang}": Text(f"q{i}@{lang}", f"{lang} {i}?", lang, parallel_id=f"q{i}")
               for i in range(4) for lang in ("en", "de", "sw")}  # fmt: skip
    collection = Collection("c", texts, queries, {query: {"p0": 1} for query in queries})

    def made(model, ndcg, order):
        directions = {}
        for lang in ("en", "de", "sw"):
            ids = [f"q{i}@{lang}" for i in range(4)]
            values = {query: {"nDCG@10": ndcg(i, lang), "RR@10": 1.0} for i, query in enumerate(ids)}
            run = {query: {passage: 1.0 - rank for rank, passage in enumerate(order)} for query in ids}
            directions[f"q-{lang}.p-en"] = DirectionResult(values, 3, run)
        questions = {query: text.parallel_id for query, text in queries.items()}
        return Results(model, "w", "c", collection.data_hash, "test", directions, questions=questions)

    # Gains: question 0 most, in German; 1 in German; 2 in Swahili. A loss: question 3 in English.
    gains = {(0, "de"): 0.4, (1, "de"): 0.3, (2, "sw"): 0.2, (3, "en"): -0.4}
    base = made("base", lambda i, lang: 0.5, ["p1", "p0", "p2"])
    model = made("m", lambda i, lang: 0.5 + gains.get((i, lang), 0), ["p0", "p1", "p2"])
    about = Reported(compare_models(base, [model]), collection=collection)
    assert [(change.query, change.direction) for change in examples(about)] == [
        ("de 0?", "q-de.p-en"), ("sw 2?", "q-sw.p-en"), ("en 3?", "q-en.p-en"),
    ]  # fmt: skip
    assert examples(reported(base, model)) == [], "without the collection there are no texts"
    render_report(tmp_path / "r", base, [model], collection=collection)
    page = (tmp_path / "r" / "report.html").read_text()
    shown = page[page.index('<div class="examples">') : page.index("<h2>Details</h2>")]
    assert shown.count('class="right"') == 6
    assert "<b>Title 1.</b> text 1" in shown
