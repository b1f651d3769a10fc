"""What the demo says: rankings and moves are those of an independent computation, and every text stays text."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranked import MARKUP, ranking_by_hand
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from tiny import make_encoder, quiet

from clear_ir.data.collection import Collection, Text
from clear_ir.data.collection_files import read_collection
from clear_ir.encode.backends import InProcess
from clear_ir.serve.demo_page import HINT, MOST_QUESTION_LETTERS, Demo
from clear_ir.serve.passage_index import Hit, PassageIndex
from clear_ir.serve.ranking_html import FIRST_LETTERS, MOST_LETTERS, render_html
from clear_ir.serve.rankings import Ranking

#: Of the collection, but for case and white space.
QUESTION = "Mto   bird"
TAGS = {"div", "section", "h2", "ol", "li", "p", "span", "strong", "details", "summary"}


class Shown(HTMLParser):
    """The hits of each model as a person sees them, and all tags and attributes."""

    def __init__(self, html):
        super().__init__()
        self.columns, self.words, self.used, self._open = {}, [], set(), []
        self.feed(html)
        self.close()
        assert not self._open, "every tag is closed"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.used |= {tag} | {f"@{name}" for name in attributes}
        self._open.append((tag, attributes.get("class", "")))
        if tag == "section":
            self._hits = self.columns[attributes["aria-label"]] = []
        elif tag == "li" and "hit" in attributes["class"]:
            self._hits.append({"right": "right" in attributes["class"]})

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, text):
        self.words.append(text)
        tag, kind = self._open[-1] if self._open else ("", "")
        if kind.split(" ")[0] in ("rank", "move", "lang", "score", "text"):
            self._hits[-1].setdefault(kind.split(" ")[0], text.strip())
        elif tag == "strong":
            self._hits[-1]["title"] = text


@pytest.fixture
def smaller():
    """An encoder with other dimensions than the tiny one."""
    encoder = make_encoder(double=False, seed=1)
    return SentenceTransformer(modules=[*encoder, Dense(32, 8)], device="cpu")


def make_demo(data, models, top_k=3):
    collection = read_collection(data)
    passages = list(collection.passages.values())
    return Demo(collection, {name: PassageIndex(quiet(model), passages) for name, model in models.items()}, top_k)


@pytest.mark.parametrize(("pool", "langs"), [("all", ("en", "sw")), ("en", ("en",)), ("sw", ("sw",))])
def test_two_models_side_by_side_are_as_by_hand(data, smaller, tmp_path, pool, langs):
    models = {"base": make_encoder(double=False), "adapted": smaller}
    demo = make_demo(data, models)
    shown = Shown(demo.answer(QUESTION, pool, True))
    hand = {}
    for name, model in models.items():
        model.save_pretrained(str(tmp_path / name), create_model_card=False)
        hand[name] = ranking_by_hand(tmp_path / name, data, QUESTION, langs)
    assert list(shown.columns) == ["base", "adapted"]
    assert hand["base"][0] != hand["adapted"][0], "two models that differ"
    first_lines = {name: passage.text.split("\n")[0].strip() for name, passage in demo.collection.passages.items()}
    moves = []
    for name, (ids, scores) in hand.items():
        hits = shown.columns[name]
        right_rank = ids.index("p8") + 1 if "en" in langs else 0
        beyond = [right_rank] if right_rank > 3 else []
        assert [int(hit["rank"]) for hit in hits] == [1, 2, 3, *beyond]
        assert all(hit["right"] for hit in hits[3:])
        for place, hit in enumerate(hits[:3]):
            assert hit["text"].split("\n")[0] == first_lines[ids[place]]
            assert float(hit["score"]) == pytest.approx(scores[place], abs=6e-4)
            assert hit["lang"] == {"en": "English", "sw": "Swahili"}[demo.collection.passages[ids[place]].lang]
            assert hit["right"] == (ids[place] == "p8")
            if name == "adapted":
                up = hand["base"][0].index(ids[place]) - place
                moves.append(up)
                assert hit["move"] == (f"▲\xa0{up}" if up > 0 else f"▼\xa0{-up}" if up < 0 else "=")
            else:
                assert "move" not in hit
    assert any(moves), "something moved"
    sentence = shown.words[0]
    if "en" in langs:
        ranks = [ids.index("p8") + 1 for ids, _ in hand.values()]
        assert sentence == f"The right passage is at rank {ranks[0]} with base and {ranks[1]} with adapted."
    else:
        assert sentence == "The right passage is not in this pool."


def test_one_model_alone_and_scores_only_when_asked(data):
    demo = make_demo(data, {"base": make_encoder(double=False)})
    shown = Shown(demo.answer("what moon", "en", False))
    assert list(shown.columns) == ["base"]
    assert all("score" not in hit and "move" not in hit for hit in shown.columns["base"])
    assert sum(hit["right"] for hit in shown.columns["base"]) == 1
    new = Shown(demo.answer("who is the bird", "en", True))
    assert new.words[0] == "This is no question of the collection, so no passage is marked as right."
    assert not any(hit["right"] for hit in new.columns["base"])
    assert all("score" in hit for hit in new.columns["base"])


def test_right_passages_of_one_question_count_together(data):
    demo = make_demo(data, {"base": make_encoder(double=False)}, top_k=20)
    demo.collection.qrels["q2@en"] = {"p2": 1, "p3": 2, "p4": 0}
    shown = Shown(demo.answer("what moon", "all", False))
    ranks = [int(hit["rank"]) for hit in shown.columns["base"] if hit["right"]]
    assert len(ranks) == 2
    assert shown.words[0] == f"The first of 2 right passages is at rank {min(ranks)} with base."


@pytest.mark.parametrize("question", ["", "  \n", "\u2028"])
def test_an_empty_question_gets_a_hint(data, question):
    assert HINT in make_demo(data, {"base": make_encoder(double=False)}).answer(question, "en", False)


def test_a_broken_or_endless_question_does_no_harm(data):
    demo = make_demo(data, {"base": make_encoder(double=False)})
    assert "half of a character" in demo.answer("\ud800", "en", False)
    asked = []
    index = demo.indexes["base"]
    demo.indexes = {
        "base": type("Noting", (), {"rank": lambda self, q, pool: asked.append(q) or index.rank(q, pool)})()
    }
    demo.answer("moon " * 10_000, "en", False)
    assert len(asked[0]) == MOST_QUESTION_LETTERS


def test_examples_of_every_language_take_turns(data):
    demo = make_demo(data, {"base": make_encoder(double=False)})
    assert [query.lang for query in demo.examples()] == ["en", "sw"] * 3
    assert [query.text for query in demo.examples()][:2] == ["what river", "mto river"]
    assert demo.langs == ["en", "sw"]
    del demo.collection.qrels["q0@sw"]
    assert "mto river" not in [query.text for query in demo.examples()], "no passage is known to be right"


def test_markup_in_every_place_is_text(data):
    collection = read_collection(data)
    passage = Text("<b>id</b>", MARKUP + " moon " * 100, "en", title=MARKUP)
    collection = Collection(MARKUP, {passage.id: passage}, {"q": Text("q", MARKUP, "en")}, {"q": {passage.id: 1}})
    index = PassageIndex(quiet(make_encoder(double=False)), [passage])
    shown = Shown(Demo(collection, {MARKUP: index, "b": index}).answer(MARKUP, "all", True))
    assert shown.used <= TAGS | {"@class", "@lang", "@dir", "@aria-label"}
    assert list(shown.columns) == [MARKUP, "b"]
    assert shown.columns["b"][0]["title"].startswith(MARKUP[:100])
    assert MARKUP[:50] in "".join(shown.words)


@given(text=st.text(max_size=60), title=st.text(max_size=20), model=st.text(max_size=20))
def test_any_text_is_text(text, title, model):
    passage = Text("p", text * 10, "ar", title=title)
    html = render_html([Ranking(model, [Hit(1, passage, 0.5)], {"p": 1}, {"p": 1})], {"p": passage}, {"p"}, True)
    assert Shown(html).used <= TAGS | {"@class", "@lang", "@dir", "@aria-label"}


@pytest.mark.parametrize("text", ["word " * 2000, "x" * 5000, "短" * 300, "x" * FIRST_LETTERS])
def test_a_long_passage_unfolds(text):
    passage = Text("p", text.strip(), "en")
    shown = Shown(render_html([Ranking("m", [Hit(1, passage, 0.5)], {}, {})], {"p": passage}, set(), False))
    words = "".join(shown.words).replace("… more", "")
    assert passage.text[:MOST_LETTERS] in words
    assert ("details" in shown.used) == (len(passage.text) > FIRST_LETTERS)
    assert len(words) < MOST_LETTERS + 100


def test_the_second_index_encodes_no_passage(data, tmp_path):
    passages = list(read_collection(data).passages.values())
    encoder = quiet(make_encoder(double=False), cache=tmp_path / "cache")
    first = PassageIndex(encoder, passages).rank("moon").scores

    class QueriesAlone(InProcess):
        def encode(self, model, texts, side, precision):
            assert side == "query" or not texts
            return super().encode(model, texts, side, precision)

    second = PassageIndex(replace(encoder, backend=QueriesAlone()), passages).rank("moon").scores
    assert np.array_equal(first, second)
    with pytest.raises(AssertionError):
        PassageIndex(replace(encoder, backend=QueriesAlone()), [*passages, Text("new", "new", "en")])


def test_equal_scores_rank_the_higher_id_first(encoder):
    passages = [Text(name, "moon river", "en") for name in ("a", "c", "b")]
    ranked = PassageIndex(quiet(encoder), passages).rank("moon")
    assert [hit.passage.id for hit in ranked.best(5)] == ["c", "b", "a"]
    assert ranked.ranks(["a", "c", "none"]) == {"a": 3, "c": 1}
    assert np.ptp(ranked.scores) == 0
