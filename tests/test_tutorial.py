"""docs/tutorial.md: its commands run as they stand, and what it says they print is what they print."""

import json
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from scripts import ROOT

from benchmarks.running_demo import running_demo
from clear_ir.report.page import REPORT_FILE

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
WALK, _, WRONG = PAGE.partition("## When a command refuses")


def commands_and_outputs():
    """The commands of the walk, each with the lines that the page says it prints; none where it does not say."""
    found = []
    for kind, block in re.findall(r"```(bash|text)\n(.*?)```", WALK, flags=re.DOTALL):
        if kind == "text":
            found[-1][1].extend(block.splitlines())
        else:
            lines = block.replace("\\\n", " ").splitlines()
            found += [(shlex.split(line)[1:], []) for line in lines if line.startswith("clear-ir ")]
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder as the reader has it, with the file of questions alone."""
    here = tmp_path / "here"
    here.mkdir()
    shutil.copy(ROOT / "examples" / "questions.csv", here)
    monkeypatch.chdir(here)
    return here


@pytest.mark.filterwarnings("ignore")  # of the trainer
@pytest.mark.skipif(not find_spec("gradio"), reason="Gradio is not installed: pip install 'clear-ir[demo]'")
def test_the_walk_from_a_csv_to_the_demo(folder, run):
    """All commands as they stand; only the training stops after two steps."""
    *steps, (demo, _) = commands_and_outputs()
    names = ["prepare", "mine", "train", "evaluate", "evaluate", "compare", "report", "search"]
    assert [command[0] for command, _ in steps] == names
    for command, shown in steps:
        trains = command[0] == "train"
        code, said, err = run(*command, *(["--max-steps", "2"] if trains else []))
        assert code == 0, (command, err)
        if command[0] in ("prepare", "mine"):  # what comes after them depends on the training
            printed = " ".join((said + err).split())
            assert shown, command
            assert all(" ".join(line.split()) in printed for line in shown), (command, shown, printed)
    base, adapted = (json.loads(Path("results", name, "results.json").read_text()) for name in ("base", "de"))
    assert base["scores"] != adapted["scores"], "two steps of training changed the ranks"
    assert Path("report", REPORT_FILE).exists()
    assert demo[0] == "demo"
    with running_demo(folder.parent, *demo[1:]) as running:
        status, page = running.ask("GET", "/")
    assert (status, b"clear-ir" in page) == (200, True)


@pytest.mark.parametrize(
    ("table", "arguments"),
    [
        ("question,answer\nWhat flies?,A bird flies.\n", "--out out"),
        ("a,b,c\nWhat flies?,A bird flies.,Was fliegt?\n", "--out out"),
        ("question,answer,translation\nWhat flies?,A bird flies.,Was fliegt?\n", "--out out"),
        ("question,answer,translation\nWhat flies?,A bird flies.,Was fliegt?\n", "--out out --lang german"),
        ("question,answer,question_de\nWhat flies?,A bird flies.,Was fliegt?\n", "--out out"),
        ("question,answer,question_de\nWhat flies?,A bird flies.,Was fliegt?\n", "--out . --test-share 0"),
        (None, "--out out"),
    ],
)
def test_the_page_has_the_sentences_that_a_newcomer_meets(folder, run, table, arguments):
    if table:
        Path("faq.csv").write_text(table)
    code, _, err = run("prepare", "rows", "--rows", "faq.csv", *arguments.split())
    assert code == 2
    assert " ".join(err.split()) in " ".join(WRONG.split())
    assert sorted(path.name for path in folder.iterdir()) == (["faq.csv"] if table else []) + ["questions.csv"], (
        "nothing was made"
    )
