"""Translated queries on the page of results."""

import re

from test_report import make_results

from clear_ir.data.rows import ParallelRow, write_parallel_rows
from clear_ir.evaluate.results import write_results
from clear_ir.report.page import render_report


def row(i, lang="sw", **more):
    return ParallelRow(
        f"{i}-{lang}", f"<b>who</b> {i}?", f"p{i}", f"p{i}", f"<script>alert({i})</script>", lang, **more
    )


def test_samples_are_shown_and_escaped(tmp_path):
    rows = [row(i, translated_by="a <model>") for i in range(30)] + [row(99, "ar")]
    render_report(tmp_path / "r", make_results("base", 0), [make_results("new", 0.2)], translations=rows)
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert page.count("&lt;script&gt;alert(") == 11, "10 of Swahili, all of Arabic"
    assert "&lt;b&gt;who&lt;/b&gt; 99?" in page
    assert page.count("<script") == 1
    assert "a &lt;model&gt;: 30; people, or it is not said: 1" in page
    assert re.search(r'<div lang="ar" dir="auto"><bdi>&lt;script&gt;alert\(99\)', page)


def test_without_translations_there_is_no_such_section(tmp_path):
    render_report(tmp_path / "r", make_results("base", 0), [make_results("new", 0.2)])
    assert "Translated queries" not in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def test_the_command_takes_a_file_of_rows(run, tmp_path):
    for name, shift in (("base", 0), ("new", 0.2)):
        write_results(tmp_path / name, make_results(name, shift))
    write_parallel_rows(tmp_path / "rows.jsonl", [row(i, translated_by="nllb") for i in range(3)])
    arguments = ("--translations", tmp_path / "rows.jsonl", "--out", tmp_path / "r")
    code, _, err = run("report", tmp_path / "base", tmp_path / "new", *arguments)
    assert code == 0, err
    assert "nllb: 3." in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
