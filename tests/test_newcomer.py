"""A newcomer's way: 40 English questions and answers become an encoder for German, with the README's commands."""

import csv
import json
import random
import re
import shlex
from pathlib import Path

import pytest

from clear_ir.data.rows import read_parallel_rows
from clear_ir.report.page import REPORT_FILE

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
ENGLISH = "river desert moon bread bank court drum tree bird metal light sound".split()
GERMAN = "Fluss Wüste Mond Brot Bank Gericht Trommel Baum Vogel Metall Licht Klang".split()
#: What the tiny encoder needs beyond the settings of the README.
FOR_TINY = ["--learning-rate", "3e-3", "--epochs", "30", "--precision", "fp32"]


def readme_commands():
    """The commands of clear-ir in the README's first block that translates, and in the first that trains."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    translating = next(block for block in blocks if "clear-ir translate" in block)
    training = next(block for block in blocks if "clear-ir train" in block)
    lines = [line for block in (translating, training) for line in block.replace("\\\n", " ").splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("clear-ir ")]
    [_, of_own_rows] = [command for command in commands if command[0] == "prepare"]
    return [command for command in commands if command != of_own_rows]


@pytest.fixture
def faq(tmp_path):
    """Two questions on each of 20 answers, as a spreadsheet saves them, and a list of words."""
    draw = random.Random(0)
    with (tmp_path / "faq.csv").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["Question", "Answer"])
        for i in range(20):
            topic = draw.sample(ENGLISH, 3)
            answer = f"the {topic[0]} is in the {topic[1]}\nand the {topic[2]} is old, as of {1900 + i}"
            table.writerow([f"where is the {topic[0]} of the {topic[1]}?", answer])
            table.writerow([f"what is the {topic[2]} in the {topic[0]}?", answer])
    words = zip(ENGLISH, GERMAN, strict=True)
    (tmp_path / "words.tsv").write_text("".join(f"{english}\t{german}\n" for english, german in words))
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # of the trainer
@pytest.mark.parametrize("passages", [False, True])
def test_english_pairs_become_an_encoder_for_german_with_the_commands_of_the_readme(
    faq, tiny_folder, run, monkeypatch, passages
):
    monkeypatch.chdir(faq)
    commands = readme_commands()
    names = ["translate", "prepare", "mine", "train", "evaluate", "evaluate", "compare", "report"]
    assert [command[0] for command in commands] == names
    of_tiny = {"minilm": str(tiny_folder), "small": "small"}
    for command in commands:
        words = [of_tiny.get(word, word) for word in command]
        if command[0] == "translate":  # no model of a hub: a word list
            words[words.index("--model") + 1] = "dictionary:words.tsv"
            words += ["--switch-share", "1.0", *(["--passages"] if passages else [])]
        if command[0] == "train":
            words += FOR_TINY + (["--passage-languages", "both"] if passages else [])
        code, said, err = run(*words)
        assert code == 0, (words, err)
        assert "Traceback" not in err
        assert "Next: clear-ir" in said or command[0] == "report", said
    rows = read_parallel_rows(faq / "rows.jsonl")[0]
    assert len(rows) == 40
    assert any(word in GERMAN for word in rows[0].cross_query.replace("?", "").split())
    assert {bool(row.cross_passage) for row in rows} == {passages}
    base, adapted = (scores(faq / "results" / name) for name in ("base", "sw"))
    assert base.keys() == {"q-en.p-en", "q-de.p-en", *(["q-en.p-de", "q-de.p-de"] if passages else [])}
    assert adapted["q-de.p-en"] > base["q-de.p-en"] + 0.1
    assert (faq / "report" / REPORT_FILE).exists()


def scores(folder):
    [entries] = json.loads((folder / "results.json").read_text())["scores"].values()
    return {entry["direction"]: entry["main_score"] for entry in entries if "+" not in entry["direction"]}
