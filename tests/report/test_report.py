"""The report: what it says, that page, Markdown and JSON agree, and how a real browser takes it."""

import base64
import csv
import hashlib
import json
import re

import numpy as np
import pytest

from clear_ir.data.files import InputError
from clear_ir.evaluate.measures import MEASURES
from clear_ir.evaluate.results import DirectionResult, Results
from clear_ir.report import page as report_page
from clear_ir.report.figures import bar_chart
from clear_ir.report.heatmap import heatmap
from clear_ir.report.page import render_report
from clear_ir.report.sections import Section
from clear_ir.report.tables import Table

LOGS = {"clear": [{"step": i, "loss": 3 / i, "clear/forward": 1.0, "clear/reverse": 2.0} for i in range(1, 5)]}


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
    render_report(tmp_path / "r", make_results("base", 0), [make_results("clear", 0.2)], LOGS)
    return tmp_path / "r"


def test_the_page_stands_alone(report):
    page = (report / "report.html").read_text()
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", page)
    assert page.count("<script") == 1
    assert "data &lt;set&gt;" in page
    assert page.count("<svg") == 2
    for text in ("Swahili → English", "clear", "p (Holm)", "training loss", "+20.0*", "mean cross-lingual"):
        assert text in page


def test_the_page_runs_its_own_script_alone(report):
    page = (report / "report.html").read_text()
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in page


def test_markdown_json_and_csv_hold_the_same_numbers(report):
    markdown = (report / "report.md").read_text()
    compared = json.loads((report / "comparison.json").read_text())
    [changed] = [d for d in compared["directions"] if d["direction"] == "q-sw.p-en"]
    assert 100 * (changed["value"] - changed["base"]) == pytest.approx(20)
    assert f"{changed['p_holm']:.4f}" in markdown
    assert {d["direction"] for d in compared["summaries"]} >= {"mean cross-lingual", "English"}
    assert compared["mixed"] == []
    with (report / "tables" / "every-direction.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:4] == ["direction", "model", "nDCG@10", "95 % interval"]
    assert [row[:2] for row in rows[2:]] == [["q-sw.p-en", "base"], ["q-sw.p-en", "clear"]]
    assert rows[3][2] == f"{100 * changed['value']:.1f}"
    assert re.search(rf"\| Swahili → English +\| clear \| +{rows[3][2]} \|", markdown)
    titles = re.findall(r"^## (.+)$", markdown, re.MULTILINE)
    names = ["-".join(re.findall(r"\w+", title.lower())) for title in titles]
    assert sorted(names) == sorted(path.stem for path in (report / "tables").iterdir())


def test_a_section_is_one_function_in_the_list(tmp_path, monkeypatch):
    def pool_sizes(reported):
        rows = [[name, str(scores.num_passages)] for name, scores in reported.base.directions.items()]
        yield Section("Pool sizes", "How many passages there are.", Table(["direction", "passages"], rows))

    monkeypatch.setattr(report_page, "SECTIONS", [pool_sizes, *report_page.SECTIONS])
    render_report(tmp_path / "r", make_results("base", 0), [make_results("clear", 0.2)])
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<h3>Pool sizes</h3>" in page
    assert '<a href="#pool-sizes">' in page
    markdown = (tmp_path / "r" / "report.md").read_text()
    assert re.findall(r"^## (.+)$", markdown, re.MULTILINE)[:2] == ["Pool sizes", "Summary"]
    assert "| English → English |      100 |" in markdown


def test_the_same_results_give_the_same_page(report, tmp_path):
    render_report(tmp_path / "again", make_results("base", 0), [make_results("clear", 0.2)], LOGS)
    for path in report.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(report)).read_bytes()


def test_models_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="Two results are named 'base'"):
        render_report(tmp_path / "r", make_results("base", 0), [make_results("base", 0.1)])
    assert not (tmp_path / "r").exists()


def test_three_languages_fill_every_section(whole_report):
    page = (whole_report / "report.html").read_text()
    for title in ("Language by language", "Mixed-language pools", "Map of parallel texts", "The embedding space"):
        assert f"<h3>{title}</h3>" in page
    assert not re.search(r">[^<]*\bq-(de|en|sw)\b[^<]*<", page), "codes are for files"
    assert "other minus base" in page
    # Nine directions of one language a side, each once in each of three heatmaps.
    assert page.count('<td style="background:') == 27
    assert "Queries that lost most: other" in page
    assert "&lt;i&gt;" in page
    assert "<i>" not in page
    compared = json.loads((whole_report / "comparison.json").read_text())
    assert len(compared["directions"]) == 9
    assert {d["direction"] for d in compared["mixed"]} >= {"q-de.p-en+de", "q-sw.p-all"}


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


def test_bars_of_a_direction_in_which_all_questions_score_alike():
    svg = bar_chart({"m": {"q-en.p-en": (0.7, 0.7 + 1e-16, 0.7), "q-de.p-en": (0.1 + 0.2, 0.3, 0.3)}})
    assert "<svg" in svg


def test_results_without_summaries_have_no_empty_table(tmp_path):
    results = make_results("base", 0)
    results.directions = {"q-de.p-de": results.directions["q-en.p-en"]}
    render_report(tmp_path / "r", results, [])
    assert "## Summary" not in (tmp_path / "r" / "report.md").read_text()
