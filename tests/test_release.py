"""What is checked before a release: the wheel's files, and that versions, citation and changelog agree."""

from zipfile import ZipFile

import pytest
from scripts import ROOT, load_script

import clear_ir


@pytest.fixture
def wheel(tmp_path):
    def build(leave_out="", add=()):
        files = [p for p in (ROOT / "clear_ir").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        names = [p.relative_to(ROOT).as_posix() for p in files]
        with ZipFile(tmp_path / "clear_ir.whl", "w") as archive:
            for name in [*names, "clear_ir-0.1.0.dist-info/METADATA", *add]:
                if name != leave_out:
                    archive.writestr(name, "")
        return str(tmp_path / "clear_ir.whl")

    return build


def test_a_wheel_holds_the_package_alone(wheel, capsys):
    check = load_script(".ci/check_wheel.py").main
    assert check(wheel()) == 0
    assert check(wheel(leave_out="clear_ir/data/atlas/train/corpus.jsonl")) == 1
    assert "lacks clear_ir/data/atlas/train/corpus.jsonl" in capsys.readouterr().err
    assert check(wheel(add=["study/run.py"])) == 1
    assert "should not hold study/run.py" in capsys.readouterr().err


def test_a_release_needs_its_tag_its_citation_and_its_section(tmp_path, monkeypatch, capsys):
    release = load_script(".ci/check_release.py")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(clear_ir, "__version__", "1.2.3")
    (tmp_path / "CITATION.cff").write_text("version: 1.2.3\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.3] - 2026-01-31\n")
    assert release.main("v1.2.3") == 0
    assert release.main("v1.2.4") == 1
    assert "the tag is v1.2.4, but clear_ir.__version__ is 1.2.3" in capsys.readouterr().err
    (tmp_path / "CITATION.cff").write_text("version: 1.2.2\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    assert release.main("v1.2.3") == 1
    problems = capsys.readouterr().err
    assert "CITATION.cff has version 1.2.2" in problems
    assert "no section '## [1.2.3] - YYYY-MM-DD'" in problems
