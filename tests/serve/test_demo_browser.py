"""The demo in headless Chromium, by clicking, at the widths of a desktop and of a phone."""

import json
from importlib.util import find_spec

import pytest
from browser import Visit
from ranked import MARKUP, ranking_by_hand, write_questions

from benchmarks.running_demo import running_demo
from clear_ir.data.collection import Text
from clear_ir.data.collection_files import read_collection, write_collection

pytestmark = pytest.mark.skipif(not find_spec("gradio"), reason="Gradio is not installed: pip install 'clear-ir[demo]'")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A collection with markup in a passage, in a title and in a question."""
    folder = write_questions(tmp_path_factory.mktemp("browsed") / "data")
    collection = read_collection(folder)
    collection.passages["markup"] = Text("markup", f"moon {MARKUP} river " + "old " * 80, "en", title=MARKUP)
    first, *others = collection.queries.values()
    collection.queries = {"qm@en": Text("qm@en", f"moon {MARKUP}", "en"), first.id: first, **{q.id: q for q in others}}
    collection.qrels["qm@en"] = {"markup": 1}
    write_collection(folder, collection)
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory, tiny_folder, other_folder, data):
    models = ("--model", tiny_folder, "--model", other_folder)
    with running_demo(tmp_path_factory.mktemp("demo"), *models, "--data", data) as running:
        yield running


@pytest.fixture(params=[1200, 400])
def visit(request, browser, demo):
    with Visit(browser, demo.url, request.param) as opened:
        opened.width = request.param
        opened.page.on("dialog", lambda dialog: opened.errors.append(f"dialog: {dialog.message}"))
        opened.page.get_by_label("Question, in any language").wait_for()
        yield opened
        assert opened.width_needed <= request.param, "the page scrolls sideways"
        assert not [address for address in opened.asked if not address.startswith((demo.url, "data:"))]
        assert opened.asked, "scripts and styles were asked for"
        assert not opened.errors


def ask(visit, question):
    visit.page.get_by_label("Question, in any language").fill(question)
    visit.page.get_by_role("button", name="Search").click()


def column(visit, model):
    return visit.page.get_by_role("region", name=model, exact=True)


def ranks(visit, model):
    """The ranks that are shown; only when the column is there."""
    return [int(text.split()[-1]) for text in column(visit, model).locator(".rank").all_inner_texts()]


def test_a_question_of_the_collection_by_a_click(visit, data, tiny_folder, other_folder):
    example = visit.page.get_by_role("button", name="Swahili: mto river")
    example.click()
    by_hand = {
        model: ranking_by_hand(folder, data, "mto river", ("en",))[0].index("p0") + 1
        for model, folder in (("tiny", tiny_folder), ("changed", other_folder))
    }
    sentence = f"The right passage is at rank {by_hand['tiny']} with tiny and {by_hand['changed']} with changed."
    visit.page.get_by_text(sentence, exact=True).wait_for()
    assert visit.page.get_by_label("Question, in any language").input_value() == "mto river"
    for model, rank in by_hand.items():
        assert ranks(visit, model) == [1, 2, 3, 4, 5] + ([rank] if rank > 5 else [])
        assert column(visit, model).locator(".hit.right .rank").inner_text().split()[-1] == str(rank)
        assert column(visit, model).get_by_text("✓ right").count() == 1
    assert column(visit, "tiny").locator(".move").count() == 0
    assert column(visit, "changed").locator(".move").count() >= 5


def test_columns_stand_beside_each_other_where_there_is_room(visit):
    ask(visit, "what moon")
    column(visit, "changed").wait_for()
    first, second = (column(visit, model).bounding_box() for model in ("tiny", "changed"))
    if visit.width > 1000:
        assert first["y"] == second["y"]
        assert first["x"] + first["width"] <= second["x"]
    else:
        assert first["y"] + first["height"] <= second["y"]


def test_the_pool_is_switched_and_scores_are_shown_when_asked(visit):
    ask(visit, "what moon")
    column(visit, "tiny").wait_for()
    assert set(column(visit, "tiny").locator(".lang").all_inner_texts()) == {"English"}
    assert visit.page.locator(".score").count() == 0
    visit.page.get_by_label("Swahili", exact=True).click()
    visit.page.get_by_text("The right passage is not in this pool.").wait_for()
    assert set(column(visit, "tiny").locator(".lang").all_inner_texts()) == {"Swahili"}
    assert ranks(visit, "tiny") == [1, 2, 3, 4]
    visit.page.get_by_label("Show scores").click()
    visit.page.locator(".score").first.wait_for()
    assert visit.page.locator(".score").count() == 8
    visit.page.get_by_label("all languages").click()
    visit.page.get_by_text("The right passage is at rank").wait_for()
    assert visit.page.locator(".score").count() >= 10


def test_a_new_question_by_the_keyboard(visit):
    question = visit.page.get_by_label("Question, in any language")
    question.fill("who is the bird")
    question.press("Enter")
    visit.page.get_by_text("This is no question of the collection").wait_for()
    assert visit.page.get_by_text("✓ right").count() == 0


def test_markup_stays_text(visit):
    visit.page.get_by_role("button", name="English: moon <img").click()
    visit.page.get_by_text("The right passage is at rank").wait_for()
    assert visit.page.get_by_label("Question, in any language").input_value() == f"moon {MARKUP}"
    hit = column(visit, "tiny").locator(".hit.right")
    assert hit.locator("strong").inner_text() == MARKUP[:100]
    assert f"moon {MARKUP}" in hit.inner_text()
    assert visit.page.locator(".results img, .results script, .examples img").count() == 0
    more = hit.get_by_text("… more")
    more.click()
    assert not more.is_visible()


def test_axe_finds_nothing(visit):
    for scheme in ("light", "dark"):
        visit.page.emulate_media(color_scheme=scheme)
        visit.page.reload()
        visit.page.get_by_role("button", name="Swahili: mto river").click()
        visit.page.get_by_text("The right passage is at rank").wait_for()
        visit.page.wait_for_timeout(300)  # colours change slowly
        assert visit.violations() == []


def test_the_browser_may_ask_no_other_host(browser, demo):
    """The guard: the page itself tries, and is stopped before anything is sent."""
    with Visit(browser, demo.url) as visit:
        tried = "fetch('http://127.0.0.1:9/x').then(() => 'sent', error => 'stopped')"
        assert visit.page.evaluate(tried) == "stopped"
        visit.page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
        visit.page.wait_for_timeout(300)
        refused = [error for error in visit.errors if "Content Security Policy" in error]
        assert len(refused) >= 2, json.dumps(visit.errors)
