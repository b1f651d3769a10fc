import json
import re

import numpy as np
import pytest

from clear_ir.comparison import compare_results
from clear_ir.files import InputError
from clear_ir.measures import MEASURES
from clear_ir.report import Table, comparison_table, render_report
from clear_ir.results import DirectionResult, Results


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


def test_the_page_stands_alone(report):
    page = (report / "report.html").read_text()
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", page)
    assert "<script" not in page
    assert "data &lt;set&gt;" in page
    assert page.count("<svg") == 2
    for text in ("q-sw.p-en", "clear", "p (Holm)", "training loss", "+20.0*"):
        assert text in page


def test_markdown_and_json_hold_the_same_numbers(report):
    markdown = (report / "report.md").read_text()
    differences = json.loads((report / "comparison.json").read_text())
    assert (
        "clear: +20.0 points of nDCG@10 on average across languages (1 of 1 directions significantly better)"
        in markdown
    )
    assert "+0.0 points in English (not significant)" in markdown
    [changed] = [d for d in differences if d["direction"] == "q-sw.p-en"]
    assert 100 * (changed["value"] - changed["base"]) == pytest.approx(20)
    assert f"{changed['p_holm']:.4f}" in markdown


def test_tables():
    base, other = make_results("base", 0), make_results("clear", 0.2)
    table = comparison_table(base, [other], compare_results(base, [other]))
    assert table.head == ["direction", "queries", "base", "clear"]
    assert table.rows[1][0] == "q-sw.p-en"
    assert table.rows[1][3].endswith("(+20.0*)")
    assert Table(["a", "bb"], [["x", "1"]]).markdown() == "| a | bb |\n|---|---:|\n| x |  1 |\n"


def test_models_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="Two results are named 'base'"):
        render_report(tmp_path / "r", make_results("base", 0), [make_results("base", 0.1)])
    assert not (tmp_path / "r").exists()
