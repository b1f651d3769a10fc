"""Translating the passages, too: what rows get, what stays in English, and what is not asked again."""

import json

import pytest
from commands import refused
from test_translation import Backwards

from clear_ir.data.files import InputError, read_jsonl
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import read_parallel_rows
from clear_ir.translate.english_rows import EnglishRow
from clear_ir.translate.store import TranslationStore
from clear_ir.translate.translation import translate_passages, translate_rows

ROWS = [
    EnglishRow("1", "what is it", "the moon", "p1"),
    EnglishRow("2", "who is it", "the moon", "p1"),
    EnglishRow("3", "where is it", "bad", "p2"),
    EnglishRow("4", "bad", "a passage of a row that is left out", "p3"),
]


def translated(translator, store, judge=None, langs=("de", "sw")):
    made = translate_rows(ROWS, langs, translator, store, judge)
    translate_passages(made, translator, store, judge)
    return made


def test_rows_get_their_passage_in_their_language_or_stay_without(tmp_path):
    translator = Backwards()
    made = translated(translator, TranslationStore(None))
    assert [(row.id, row.passage, row.cross_passage) for row in made.rows] == [
        (f"{i}-{lang}", passage, cross)
        for lang in ("de", "sw")
        for i, passage, cross in ((1, "the moon", "noom eht"), (2, "the moon", "noom eht"), (3, "bad", ""))
    ]
    assert translator.asked["de", "the moon"] == 1, "the passage of two rows is translated once"
    assert ("de", ROWS[3].passage) not in translator.asked
    assert [(r.text, r.column, r.lang, r.rows) for r in made.rejected] == [
        ("bad", "query", "de", ["4-de"]), ("bad", "query", "sw", ["4-sw"]),
        ("bad", "passage", "de", ["3-de"]), ("bad", "passage", "sw", ["3-sw"]),
    ]  # fmt: skip
    assert made.counts()["sw"] == {
        "texts": 4, "rows": 3, "left out": {"given up": 1},
        "passages": 2, "rows with cross_passage": 2, "passages left out": {"given up": 1},
    }  # fmt: skip


def test_passages_are_judged_like_queries(tmp_path):
    made = translated(Backwards(), TranslationStore(None), lambda found, lang: {"the moon": "too: round"}, ["de"])
    assert [row.cross_passage for row in made.rows] == ["", "", ""]
    assert made.counts()["de"]["passages left out"] == {"given up": 1, "too": 1}


def test_the_next_run_asks_only_for_passages_that_are_not_kept(tmp_path):
    broken = Backwards(fails_after=4)
    with pytest.raises(InputError, match="It broke"):
        translated(broken, TranslationStore(tmp_path), langs=["de"])
    again = Backwards()
    made = translated(again, TranslationStore(tmp_path), langs=["de"])
    assert set(again.asked) == {("de", "bad"), ("de", "the moon")}
    assert made.rows == translated(Backwards(), TranslationStore(None), langs=["de"]).rows


def test_the_command_translates_passages_where_it_is_asked_to(tmp_path, run):
    rows = tmp_path / "english.jsonl"
    moons = [{"query": f"how far is moon {i}?", "passage": f"Moon {i}\nis {i} miles away."} for i in range(1, 6)]
    write_jsonl(rows, moons)
    base = ["translate", "--rows", rows, "--to", "de", "--command", "tr a-z n-za-m", "--no-checks"]
    code, out, err = run(*base, "--passages", "--out", tmp_path / "rows.jsonl")
    assert code == 0, err
    assert "de: 5 passages translated; 5 of 5 rows have a cross_passage." in out
    kept, _ = read_parallel_rows(tmp_path / "rows.jsonl")
    assert kept[0].cross_passage.split() == ["Mbba", "1", "vf", "1", "zvyrf", "njnl."]
    origin = json.loads((tmp_path / "rows.translation.json").read_text())
    assert origin["languages"]["de"]["rows with cross_passage"] == 5
    code, out, err = run(*base, "--out", tmp_path / "queries.jsonl")
    assert code == 0, err
    assert all("cross_passage" not in record for _, record in read_jsonl(tmp_path / "queries.jsonl"))
    assert "passage" not in json.loads((tmp_path / "queries.translation.json").read_text())["languages"]["de"]
    refused(run(*base, "--passages", "--out", tmp_path / "rows.jsonl"), "rows.jsonl", "--overwrite")
