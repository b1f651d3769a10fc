"""The report: what it says, that page, Markdown and JSON agree, and how a real browser takes it."""

import json
import re

import numpy as np
import pytest
from browser import Visit
from tiny import quiet

from clear_ir.data.collection import Collection, Text
from clear_ir.data.files import InputError
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.measures import MEASURES
from clear_ir.evaluate.results import DirectionResult, Results, read_results, write_results
from clear_ir.report import page as report_page
from clear_ir.report.figures import bar_chart, text_maps
from clear_ir.report.heatmap import heatmap
from clear_ir.report.page import Section, render_report
from clear_ir.report.tables import Table


def make_results(model, shift, seed=0):
    rng = np.random.default_rng(seed)
    directions = {}
    for name in ("q-en.p-en", "q-sw.p-en"):
        scores = np.clip(rng.uniform(0.2, 0.6, 40) + shift * (name != "q-en.p-en"), 0, 1)
        per_query = {f"q{i}": dict.fromkeys(MEASURES, float(score)) for i, score in enumerate(scores)}
        directions[name] = DirectionResult(per_query, 100)
    return Results(model, "w", "data <set>", "d", "test", directions)


@pytest.fixture
def report(tmp_path):
    log = [{"step": i, "loss": 3 / i, "clear/forward": 1.0, "clear/reverse": 2.0} for i in range(1, 5)]
    render_report(tmp_path / "r", make_results("base", 0), [make_results("clear", 0.2)], {"clear": log})
    return tmp_path / "r"


@pytest.fixture
def whole_report(tmp_path, encoder):
    """A report of three languages a side, from a real encoder and one whose weights were disturbed."""
    import torch

    words = "river moon stone fire bird tree salt wind".split()
    langs = ("en", "de", "sw")

    def texts(side, pattern):
        made = [
            Text(f"{side}{i}-{lang}", pattern.format(word, lang), lang, parallel_id=f"{side}{i}")
            for i, word in enumerate(words)
            for lang in langs
        ]
        return {text.id: text for text in made}

    passages, queries = texts("p", "{} {}"), texts("q", "<i>{}</i> {}?")
    qrels = {q: {p: 1 for p in passages if p[1] == q[1]} for q in queries}
    collection = Collection("parallel", passages, queries, qrels, "test")
    write_results(tmp_path / "base", evaluate_model(quiet(encoder), collection, "base"))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in encoder.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator) * parameter.std().nan_to_num()
    write_results(tmp_path / "other", evaluate_model(quiet(encoder), collection, "other"))
    both = [read_results(tmp_path / name) for name in ("base", "other")]
    render_report(tmp_path / "report", both[0], both[1:], collection=collection)
    return tmp_path / "report"


def test_the_page_stands_alone(report):
    page = (report / "report.html").read_text()
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", page)
    assert "<script" not in page
    assert "data &lt;set&gt;" in page
    assert page.count("<svg") == 2
    for text in ("q-sw.p-en", "clear", "p (Holm)", "training loss", "+20.0*", "mean cross-lingual"):
        assert text in page


def test_markdown_and_json_hold_the_same_numbers(report):
    markdown = (report / "report.md").read_text()
    compared = json.loads((report / "comparison.json").read_text())
    assert (
        "clear: +20.0 points of nDCG@10 on average across languages "
        "(p < .001; of 1 directions 1 significantly better, 0 worse); +0.0 points in English (p = 1.000)."
    ) in markdown
    [changed] = [d for d in compared["directions"] if d["direction"] == "q-sw.p-en"]
    assert 100 * (changed["value"] - changed["base"]) == pytest.approx(20)
    assert f"{changed['p_holm']:.4f}" in markdown
    assert {d["direction"] for d in compared["summaries"]} >= {"mean cross-lingual", "English"}
    assert compared["mixed"] == []


def test_a_section_is_one_function_in_the_list(tmp_path, monkeypatch):
    def pool_sizes(reported):
        rows = [[name, str(scores.num_passages)] for name, scores in reported.base.directions.items()]
        yield Section("Pool sizes", "How many passages there are.", Table(["direction", "passages"], rows))

    monkeypatch.setattr(report_page, "SECTIONS", [pool_sizes, *report_page.SECTIONS])
    render_report(tmp_path / "r", make_results("base", 0), [make_results("clear", 0.2)])
    assert "<h2>Pool sizes</h2>" in (tmp_path / "r" / "report.html").read_text()
    markdown = (tmp_path / "r" / "report.md").read_text()
    assert re.findall(r"^## (.+)$", markdown, re.MULTILINE)[:2] == ["Pool sizes", "Summary"]
    assert "| q-en.p-en |      100 |" in markdown


def test_models_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="Two results are named 'base'"):
        render_report(tmp_path / "r", make_results("base", 0), [make_results("base", 0.1)])
    assert not (tmp_path / "r").exists()


def test_three_languages_fill_every_section(whole_report):
    page = (whole_report / "report.html").read_text()
    for title in ("Language x language", "Mixed-language pools", "Map of parallel texts", "The embedding space"):
        assert f"<h2>{title}</h2>" in page
    assert "other minus base" in page
    # Nine directions of one language a side, each once in each of three heatmaps.
    assert page.count('<td style="background:') == 27
    assert "Queries that lost most: other" in page
    assert "&lt;i&gt;" in page
    assert "<i>" not in page
    compared = json.loads((whole_report / "comparison.json").read_text())
    assert len(compared["directions"]) == 9
    assert {d["direction"] for d in compared["mixed"]} >= {"q-de.p-en+de", "q-sw.p-all"}


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_in_a_browser(whole_report, browser, width):
    page = whole_report / "report.html"
    with Visit(browser, page.as_uri(), width) as visit:
        visit.page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert visit.asked == []
        assert visit.errors == []
        assert visit.width_needed <= width
        assert visit.violations() == []
        assert visit.page.evaluate(OUTSIDE) == []


#: The texts of figures that stand outside of their figure.
OUTSIDE = """[...document.querySelectorAll("svg text")].filter(text => {
    const [inner, outer] = [text, text.closest("svg")].map(part => part.getBoundingClientRect());
    return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1;
}).map(text => text.textContent)"""


def test_the_checks_of_the_browser_can_fail(whole_report, browser, tmp_path):
    page = (whole_report / "report.html").read_text()
    broken = tmp_path / "broken.html"
    extra = """<img src="http://127.0.0.1:9/x.png"><p style="width:5000px;color:#ccc">pale</p>
    <svg width="90" height="20"><text x="60" y="15">far outside</text></svg>"""
    broken.write_text(page.replace("</main>", f"{extra}</main>"))
    with Visit(browser, broken.as_uri(), 400) as visit:
        assert visit.asked == ["http://127.0.0.1:9/x.png"]
        assert visit.width_needed > 400
        assert visit.page.evaluate(OUTSIDE) == ["far outside"]
        assert {line.split(":")[0] for line in visit.violations()} >= {"color-contrast", "image-alt"}


def luminance(colour):
    """Relative luminance by WCAG 2.2."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("difference", [False, True])
def test_every_shade_of_a_heatmap_can_be_read(difference):
    shades = np.linspace(-1 if difference else 0, 1, 2001)
    values = {f"q-a{i}.p-en": float(value) for i, value in enumerate(shades)}
    cells = [cell for _, row in heatmap("m", values, difference=difference).rows for cell in row]
    assert len({cell.background for cell in cells}) > 200
    for cell in cells:
        dark, light = sorted(map(luminance, (cell.background, cell.ink)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, cell


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
    ]
    (tmp_path / "page.html").write_text(f"<meta charset=utf-8>{''.join(figures)}")
    with Visit(browser, (tmp_path / "page.html").as_uri()) as visit:
        assert visit.page.evaluate("document.querySelectorAll('svg text').length") > 30
        assert visit.page.evaluate(OUTSIDE) == []


def test_bars_of_a_direction_in_which_all_questions_score_alike():
    svg = bar_chart({"m": {"q-en.p-en": (0.7, 0.7 + 1e-16, 0.7), "q-de.p-en": (0.1 + 0.2, 0.3, 0.3)}})
    assert "<svg" in svg


def test_results_without_summaries_have_no_empty_table(tmp_path):
    results = make_results("base", 0)
    results.directions = {"q-de.p-de": results.directions["q-en.p-en"]}
    render_report(tmp_path / "r", results, [])
    assert "## Summary" not in (tmp_path / "r" / "report.md").read_text()
