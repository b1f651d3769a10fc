"""The report in a real browser: on a desk and on a phone, with a keyboard, on paper, and without its script."""

import csv
import re

import pytest
from browser import Visit
from test_report import make_results
from test_training_curves import make_log

from clear_ir.report.figures import bar_chart, text_maps
from clear_ir.report.page import render_report

#: The texts of figures that stand outside of their figure.
OUTSIDE = """[...document.querySelectorAll("svg text")].filter(text => {
    const [inner, outer] = [text, text.closest("svg")].map(part => part.getBoundingClientRect());
    return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1;
}).map(text => text.textContent)"""
#: Pairs of texts of a figure that stand on each other.
OVERLAPPING = """[...document.querySelectorAll("svg")].flatMap(svg => {
    const texts = [...svg.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    return texts.flatMap(([one, a], i) => texts.slice(i + 1).filter(([_, b]) =>
        a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3
    ).map(([other]) => `${one} / ${other}`));
})"""
SUMMARIES = ("mean monolingual", "mean cross-lingual", "worst direction")
OPEN = "document.querySelectorAll('details').forEach(part => part.open = true)"


@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_asked_for_cut_off_or_out_of_reach(whole_report, browser, width):
    with Visit(browser, (whole_report / "report.html").as_uri(), width) as visit:
        visit.page.evaluate(OPEN)
        assert visit.page.locator("svg text").count() > 30
        assert visit.asked == []
        assert visit.errors == []
        assert visit.width_needed <= width
        assert visit.violations() == []
        assert visit.page.evaluate(OUTSIDE) == []
        assert visit.page.evaluate(OVERLAPPING) == []


def test_these_checks_can_fail(whole_report, browser, tmp_path):
    page = (whole_report / "report.html").read_text()
    broken = tmp_path / "broken.html"
    extra = """<img src="http://127.0.0.1:9/x.png"><p style="width:5000px;color:#ccc">pale</p>
    <svg width="90" height="20"><text x="60" y="15">far outside</text></svg>
    <svg><text y="30">one</text><text x="4" y="32">other</text></svg><script>document.title = "run"</script>"""
    broken.write_text(page.replace("</main>", f"{extra}</main>"))
    with Visit(browser, broken.as_uri(), 400) as visit:
        assert visit.width_needed > 400
        assert visit.page.evaluate(OUTSIDE) == ["far outside"]
        assert visit.page.evaluate(OVERLAPPING) == ["one / other"]
        assert {line.split(":")[0] for line in visit.violations()} >= {"color-contrast", "image-alt"}
        assert visit.page.title() != "run", "the page's policy stops scripts of others"
        assert len(visit.errors) >= 2, "it stops the picture and the script"
    broken.write_text(re.sub("<meta http-equiv.*?>", "", broken.read_text()))
    with Visit(browser, broken.as_uri(), 400) as visit:
        assert visit.asked == ["http://127.0.0.1:9/x.png"]
        assert visit.page.title() == "run"


def column(table, number):
    return table.locator(f"tbody tr > :nth-child({number})").all_text_contents()


def test_tables_are_sorted_by_a_click(whole_report, browser):
    with Visit(browser, (whole_report / "report.html").as_uri()) as visit:
        table = visit.page.locator("#every-direction table")
        before = column(table, 1)
        table.get_by_role("button", name="nDCG@10").click()
        scores = [float(score) for score in column(table, 3)]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > scores[-1]
        assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        table.get_by_role("button", name="nDCG@10").press("Enter")
        assert [float(score) for score in column(table, 3)] == sorted(scores)
        table.get_by_role("button", name="change").click()
        changes = column(table, 5)
        shown = [float(change) for change in changes if change]
        assert shown == sorted(shown, reverse=True)
        assert changes[len(shown) :] == [""] * 9, "the base has no change: its rows stand last"
        table.get_by_role("button", name="direction").click()
        assert column(table, 1) == sorted(before)
        assert before != sorted(before)


def test_a_table_is_downloaded_as_csv(whole_report, browser):
    with Visit(browser, (whole_report / "report.html").as_uri()) as visit, visit.page.expect_download() as waiting:
        visit.page.get_by_role("link", name="Every direction as CSV").click()
        download = waiting.value
        assert download.suggested_filename == "every-direction.csv"
        with open(download.path(), newline="", encoding="utf-8") as file:  # noqa: PTH123
            rows = list(csv.reader(file))
    assert rows[1][0] == "q-en.p-en"
    with (whole_report / "tables" / "every-direction.csv").open(newline="", encoding="utf-8") as file:
        assert rows == list(csv.reader(file))


def test_the_contents_open_what_is_folded(whole_report, browser):
    with Visit(browser, (whole_report / "report.html").as_uri()) as visit:
        table = visit.page.locator("#all-measures table")
        assert not table.is_visible()
        visit.page.get_by_role("navigation").get_by_role("link", name="All measures").click()
        table.wait_for(state="visible")  # the page opens it when the address has changed, after the click
        links = visit.page.locator("nav a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
        assert all(visit.page.locator(link).count() == 1 for link in links)
        visit.page.get_by_role("button", name="Open all").click()
        assert visit.page.locator("details:not([open])").count() == 0


def test_the_first_column_stays_on_a_phone(whole_report, browser):
    with Visit(browser, (whole_report / "report.html").as_uri(), 400) as visit:
        scroller = visit.page.locator("#every-direction .scroll").nth(1)
        scroller.evaluate("part => part.scrollLeft = 9999")
        assert scroller.evaluate("part => part.scrollLeft") > 50
        first, last = (
            scroller.locator(f"tbody tr:first-child > :{end}-child").bounding_box() for end in ("first", "last")
        )
        assert 0 <= first["x"] < 40
        assert first["x"] + first["width"] <= last["x"]
        assert last["x"] + last["width"] <= 400


def test_the_page_can_be_read_without_its_script(whole_report, browser):
    with Visit(browser, (whole_report / "report.html").as_uri(), javascript=False) as visit:
        assert visit.page.locator("#summary table").is_visible()
        assert not visit.page.get_by_role("button").count()
        visit.page.locator("#all-measures summary").click()
        assert visit.page.locator("#all-measures table").is_visible()


def test_paper_has_what_is_open_and_nothing_to_click(whole_report, browser):
    with Visit(browser, (whole_report / "report.html").as_uri(), 700) as visit:
        visit.page.emulate_media(media="print")
        assert visit.page.locator("#summary table").is_visible()
        assert not visit.page.locator("#all-measures table").is_visible()
        for part in ("nav", "#open-all", "#summary .csv"):
            assert not visit.page.locator(part).is_visible()
        visit.page.evaluate(OPEN)
        assert visit.width_needed <= 700
        widest = "boxes => Math.max(...boxes.map(box => box.getBoundingClientRect().right))"
        assert visit.page.locator("table, svg").evaluate_all(widest) <= 700, "paper cannot be scrolled"
        tops = "tiles => tiles.map(tile => tile.getBoundingClientRect().top)"
        assert len(set(visit.page.locator(".tile").evaluate_all(tops))) == 1


def test_any_name_of_a_model_is_shown_as_it_is(browser, tmp_path):
    names = ["_base", "$x_$ \\bad$", '"><script>alert(1)</script>', "long" * 75]
    base, *others = (make_results(name, 0.1 * i) for i, name in enumerate(names))
    render_report(tmp_path / "r", base, others, {names[1]: make_log(), names[3]: make_log()})
    with Visit(browser, (tmp_path / "r" / "report.html").as_uri(), 400) as visit:
        assert visit.errors == []
        assert visit.width_needed <= 400
        assert visit.violations() == []
        shown = [text.strip() for text in visit.page.locator("#every-direction svg text").all_text_contents()]
        assert set(names[:3]) <= set(shown)
        assert names[3] in visit.page.locator("#every-direction tbody").inner_text()


def test_figures_hold_their_names(browser, tmp_path):
    langs = ["English", "Modern Greek", "Kinyarwanda", "Serbian, Latin", "Vietnamese", "Chinese, Traditional"]
    points = [{"text": f"t{i}", "lang": "en", "x": i, "y": 0} for i in range(3)]
    points += [{"text": f"t{i}", "lang": lang, "x": i, "y": n} for n, lang in enumerate(langs[1:]) for i in range(3)]
    models = ["multilingual-e5-small", "a model with a name that is longer than any that a panel can hold, by far"]
    scores = {f"{lang} → {langs[0]}": (0.5, 0.4, 0.6) for lang in langs}
    figures = [
        text_maps({model: {"points": points, "explained": [0.3, 0.2]} for model in models}),
        text_maps({models[0]: {"points": points, "explained": [0.3, 0.2]}}),
        bar_chart(dict.fromkeys(models, scores)),
        bar_chart(dict.fromkeys(models, dict.fromkeys((*SUMMARIES, *scores, "Hindi → English"), (0.5, 0.4, 0.6)))),
    ]
    (tmp_path / "page.html").write_text(f"<meta charset=utf-8>{''.join(figures)}")
    with Visit(browser, (tmp_path / "page.html").as_uri()) as visit:
        assert visit.page.locator("svg text").count() > 30
        assert visit.page.evaluate(OUTSIDE) == []
        assert visit.page.evaluate(OVERLAPPING) == []
