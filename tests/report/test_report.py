"""The report: what it says, that page, Markdown and JSON agree, and how a real browser takes it."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from tiny import quiet

from clear_ir.data.collection import Collection, Text
from clear_ir.data.files import InputError
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.measures import MEASURES
from clear_ir.evaluate.results import DirectionResult, Results, read_results, write_results
from clear_ir.report import page as report_page
from clear_ir.report.figures import bar_chart
from clear_ir.report.page import Section, render_report
from clear_ir.report.tables import Table

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-default-apps --disable-extensions"
).split()


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


def open_page(page, folder, *flags):
    """Open a page in headless Chromium; give what it printed and the addresses that the page asked for."""
    log = folder / "net.json"
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", *flags]
    shown = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    record = json.loads(log.read_text())
    start = record["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [
        event["params"] for event in record["events"] if event["type"] == start and "url" in event.get("params", {})
    ]
    # The browser's own requests, for updates and the time, have no origin.
    return shown, [request["url"] for request in asked if request.get("initiator") != "not an origin"]


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine to open the page in")
def test_the_page_asks_a_browser_for_nothing_and_fits_a_phone(whole_report, tmp_path):
    probe = """<script>document.title = [innerWidth, document.documentElement.scrollWidth].join(" ")</script>"""
    page = (whole_report / "report.html").read_text()
    probed = tmp_path / "probed.html"
    probed.write_text(page.replace("</body>", probe + "</body>").replace("<details>", "<details open>"))
    shown, asked = open_page(probed, tmp_path, "--window-size=500,900", "--dump-dom")
    assert asked == []
    width, needed = map(int, re.search(r"<title>(\d+) (\d+)</title>", shown).groups())
    assert width <= 500
    assert needed <= width, "the page is wider than a phone"
    # The guard: the same page with one picture from elsewhere is caught.
    probed.write_text(page.replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>'))
    _, asked = open_page(probed, tmp_path, "--dump-dom")
    assert asked == ["http://127.0.0.1:9/x.png"]


def test_bars_of_a_direction_in_which_all_questions_score_alike():
    svg = bar_chart({"m": {"q-en.p-en": (0.7, 0.7 + 1e-16, 0.7), "q-de.p-en": (0.1 + 0.2, 0.3, 0.3)}})
    assert "<svg" in svg


def test_results_without_summaries_have_no_empty_table(tmp_path):
    results = make_results("base", 0)
    results.directions = {"q-de.p-de": results.directions["q-en.p-en"]}
    render_report(tmp_path / "r", results, [])
    assert "## Summary" not in (tmp_path / "r" / "report.md").read_text()
