"""Tables in README and docs: rewritten, checked, and never those of the other generator."""

import sys

import pytest

from benchmarks import generated

TEXT = "Before\n<!-- table: study-one -->\nold\n<!-- end -->\n<!-- table: two -->\nold\n<!-- end -->\nAfter\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("No table\n")
    (tmp_path / "docs" / "page.md").write_text(TEXT)
    return tmp_path


def generate(root, monkeypatch, tables, *arguments):
    monkeypatch.setattr(sys, "argv", ["tables", *arguments])
    return generated.main("", tables, {"docs/a.svg": lambda: "<svg/>"}, lambda name: name.startswith("study-"), root)


def test_only_the_given_tables_are_rewritten(root, monkeypatch, capsys):
    tables = {"study-one": lambda: "new"}
    assert generate(root, monkeypatch, tables, "--check") == 1
    assert capsys.readouterr().err == (
        "docs/page.md differs from the committed JSON; run: make docs\n"
        "docs/a.svg differs from the committed JSON; run: make docs\n"
    )
    assert (root / "docs" / "page.md").read_text() == TEXT, "--check writes nothing"
    assert generate(root, monkeypatch, tables) == 0
    assert (root / "docs" / "page.md").read_text() == TEXT.replace("old", "new", 1)
    (root / "docs" / "a.svg").write_text("another matplotlib")
    assert generate(root, monkeypatch, tables, "--check") == 0


def test_a_block_without_a_table_is_an_error(root, monkeypatch):
    with pytest.raises(SystemExit, match="'study-one'"):
        generate(root, monkeypatch, {})
