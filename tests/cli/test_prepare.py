"""`prepare` and `datasets`: made from the registry, with flags in the errors of the library."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import refused

import clear_ir.prepare
from clear_ir.cli.datasets import data_sets_table
from clear_ir.data.output_files import write_jsonl
from clear_ir.encode.backends import InProcess
from clear_ir.prepare.registry import DATA_SETS, data_sets

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"

TOY = '''
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from clear_ir.data.rows import ParallelRow
from clear_ir.prepare.languages import choose_langs
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register


def load_toy(
    data: Annotated[Path, Field(description="File with one passage.")],
    langs: Annotated[Sequence[str], Field(description="Languages: de, sw.")] = ("de",),
    side: Annotated[Literal["left", "right"], Field(description="Where to stand.")] = "left",
) -> Prepared:
    """Load the toy."""
    langs = choose_langs(langs, ["de", "sw"], "Toy has no language")
    passage = data.read_text() + side
    return Prepared([ParallelRow(f"1@{lang}", "who", passage, "p1", f"who in {lang}", lang) for lang in langs])


register(
    DataSet(
        name="toy-set", title="ToySet", what="one question for tests", rows=True, directions="q-L.p-en",
        source="example.org/toy", licence="CC0", example="--data toy.txt --langs sw --out toy", load=load_toy,
    )
)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A new file in the folder of data sets, and nothing else."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "toy_set.py").write_text(TOY)
    (tmp_path / "toy.txt").write_text("the moon, ")
    monkeypatch.setattr(clear_ir.prepare, "__path__", [*clear_ir.prepare.__path__, str(tmp_path / "modules")])
    yield tmp_path / "toy.txt"
    DATA_SETS.pop("toy-set", None)
    sys.modules.pop("clear_ir.prepare.toy_set", None)
    vars(clear_ir.prepare).pop("toy_set", None)


def test_a_new_file_is_a_new_command_with_help_and_a_row_in_the_docs(run, toy, tmp_path):
    assert "ToySet: one question for tests" in run("prepare", "--help")[1]
    _, text, _ = run("prepare", "toy-set", "--help")
    for part in ("File with one passage.", "Languages: de, sw.", "Default: de.", "left|right", "Licence: CC0."):
        assert part in " ".join(text.split())
    assert "clear-ir prepare toy-set --data toy.txt --langs sw --out toy" in text
    code, text, _ = run(
        "prepare", "toy-set", "--data", toy, "--langs", "sw,de", "--side", "right", "--out", tmp_path / "o"
    )
    assert code == 0
    assert "(1 sw, 1 de)" in text
    rows = [json.loads(line) for line in (tmp_path / "o" / "rows.jsonl").read_text().splitlines()]
    assert [row["passage"] for row in rows] == ["the moon, right"] * 2
    refused(run("prepare", "toy-set", "--data", toy, "--side", "up", "--out", tmp_path / "p"), "--side is 'up'; choose")
    assert "| toy-set " in run("datasets")[1]
    assert "| toy-set " in data_sets_table()
    [entry] = [entry for entry in json.loads(run("datasets", "--json")[1]) if entry["name"] == "toy-set"]
    assert entry["options"][2] == {
        "name": "side", "help": "Where to stand.", "required": False, "default": "left",
    }  # fmt: skip


def test_without_that_file_there_is_no_such_command(run):
    assert "toy-set" not in run("datasets")[1]
    code, _, err = run("prepare", "toy-set")
    assert code == 2
    assert "No such command 'toy-set'" in err


def test_the_table_of_the_docs_is_that_of_the_command(run):
    table = run("datasets")[1].partition("\n\n")[0]
    assert table == data_sets_table().strip()
    assert f"<!-- table: data-sets -->\n{table}\n" in (DOCS / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", data_sets())
def test_every_help_shows_the_options_and_an_example(run, name):
    code, text, _ = run("prepare", name, "--help")
    assert code == 0
    words = " ".join(text.replace("│", " ").split())
    assert f"clear-ir prepare {name} {data_sets()[name].example}" in words
    for flag in [word for word in shlex.split(data_sets()[name].example) if word.startswith("--")]:
        assert f" {flag} " in words
    for flag in ("--out", "--strict", "--overwrite"):
        assert f" {flag} " in words


def test_errors_name_the_flag_to_change(run, tmp_path):
    out = ["--out", tmp_path / "out"]
    refused(run("prepare", "atlas", "--langs", "fr", *out), "no language 'fr'", "ru, sw (--langs).")
    refused(run("prepare", "atlas", "--judge", "x", *out), "--judge is 'x'; choose among test, dev.")
    refused(run("prepare", "atlas", "--langs", ",", *out), "No language is named")
    refused(run("prepare", "mlqa", "--data", tmp_path, "--langs", "de", *out), "holds no files of MLQA", "(--data).")
    refused(run("prepare", "xor-tydi", "--data", tmp_path / "x", "--langs", "fi", *out), "no folder", "(--data).")
    refused(run("prepare", "xquad", "--data", "google/xquad", "--langs", "de", *out), "(--judge test|dev|all).")
    write_jsonl(tmp_path / "rows.jsonl", [{"query": "a", "passage": "b", "cross_query": "c"}])
    rows = ["--rows", tmp_path / "rows.jsonl"]
    refused(run("prepare", "rows", *rows, *out), "'lang'", "(--lang, --map OURS=THEIRS).")
    refused(
        run("prepare", "rows", *rows, *out, "--lang", "sw"), "are held out together; hold out less", "(--test-share)."
    )
    refused(run("prepare", "rows", *rows, *out, "--test-share", "1"), "--test-share is 1.0")
    # mine has --map, but not --lang.
    refused(run("mine", "--model", "x", *rows, *out), "map its column (--map).")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prepared.json").write_text("{}")
    refused(run("prepare", "atlas", *out), "already holds results", "(--out, --overwrite).")


def test_columns_are_mapped(run, tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"q": f"a {i}", "passage": f"b {i}", "frage": f"c {i}"} for i in range(5)])
    flags = ["--map", "query=q", "--map", "cross_query=frage", "--lang", "de", "--test-share", "0"]
    code, text, _ = run("prepare", "rows", "--rows", tmp_path / "rows.jsonl", *flags, "--out", tmp_path / "out")
    assert code == 0
    assert "(5 de)" in text
    assert not (tmp_path / "out" / "collection").exists()


def test_columns_are_guessed_and_named_and_the_old_name_of_the_command_stays(run, tmp_path):
    lines = [f"Where is moon {i}?;Moon {i} is far away.;Wo steht Mond {i}?" for i in range(9)]
    (tmp_path / "a.csv").write_text("\n".join(["Question;Context;question_de", *lines]))
    for name in ("rows", "jsonl"):
        code, text, _ = run("prepare", name, "--rows", tmp_path / "a.csv", "--out", tmp_path / name)
        assert code == 0
        assert "Columns: query = Question, passage = Context, cross_query = question_de, lang = de." in text
        assert "fields are separated by a semicolon" in text
    assert (tmp_path / "rows/rows.jsonl").read_bytes() == (tmp_path / "jsonl/rows.jsonl").read_bytes()
    assert "│ jsonl " not in run("prepare", "--help")[1]
    refused(
        run("prepare", "rows", "--rows", tmp_path / "a.csv", "--map", "query=x", "--out", tmp_path / "o"),
        "no column 'x' among Question, Context, question_de",
        "(--map OURS=THEIRS).",
    )


def test_the_data_check_is_printed_and_kept_and_strict_makes_it_an_error(run, tmp_path):
    lines = [f"Where is moon {i}?,Moon {i} is far away.,Wo steht Mond {i}?,de" for i in range(9)]
    (tmp_path / "a.csv").write_text("\n".join(["query,passage,cross_query,lang", *lines, "Who?,N/A,Wer?,de"]))
    arguments = ["prepare", "rows", "--rows", tmp_path / "a.csv"]
    code, text, _ = run(*arguments, "--out", tmp_path / "o")
    assert code == 0
    assert "Data check: 10 English queries" in text
    assert f"  1 of 10 passages look like a missing value: {tmp_path / 'a.csv'}, line 11 ('N/A')" in text
    [finding] = json.loads((tmp_path / "o" / "prepared.json").read_text())["check"]["findings"]
    assert (finding["what"], finding["count"], finding["total"]) == ("passages look like a missing value", 1, 10)
    refused(run(*arguments, "--out", tmp_path / "p", "--strict"), "1 of 10 passages look like a missing", "line 11")
    assert not (tmp_path / "p").exists()


def test_encode_fills_the_cache_for_mining_and_evaluation(run, tiny_folder, tmp_path, monkeypatch):
    lines = [f"where is moon {i}?,moon {i} is wide and old.,wo ist Mond {i}?,de" for i in range(90)]
    (tmp_path / "a.csv").write_text("\n".join(["query,passage,cross_query,lang", *lines]))
    cache, data = tmp_path / "cache", tmp_path / "data"
    prepare = ["prepare", "rows", "--rows", tmp_path / "a.csv", "--out", data]
    code, text, _ = run(*prepare, "--encode", tiny_folder, "--cache", cache)
    assert code == 0
    assert f"Encoded by {tiny_folder}: 180 distinct queries and 90 passages, kept in {cache}" in text
    assert text.strip().splitlines()[-1].startswith("Next: clear-ir mine")

    def encode(*arguments):
        raise AssertionError("a text is not in the cache")

    monkeypatch.setattr(InProcess, "encode", encode)
    flags = ["--model", tiny_folder, "--cache", cache]
    assert run("mine", *flags, "--rows", data / "rows.jsonl", "--out", data / "train.jsonl")[0] == 0
    assert run("evaluate", *flags, "--data", data / "collection", "--out", data / "results")[0] == 0
    refused(run(*prepare, "--overwrite", "--encode", "x", "--no-cache"), "(--encode, --no-cache).")


def test_help_of_prepare_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from clear_ir.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sys.modules)"
    )
    heavy = {"torch", "transformers", "scipy", "matplotlib", "pandas", "numpy", "datasets", "pyarrow"}
    for arguments, lazy in (
        (["--help"], {"clear_ir.prepare.registry"}),
        (["prepare", "--help"], set()),
        (["prepare", "mlqa", "--help"], set()),
    ):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        text, _, loaded = done.stdout.partition("LOADED")
        assert "prepare" in text
        assert not (heavy | lazy) & set(loaded.split())


def test_a_release_without_questions_is_refused(run, tmp_path):
    (tmp_path / "xquad.en.json").write_text('{"data": []}')
    refused(
        run("prepare", "xquad", "--data", tmp_path, "--langs", "en", "--out", tmp_path / "out"),
        "hold no questions; get them again (--data).",
    )
    assert not (tmp_path / "out").exists()
