"""The command that each command prints at its end is pasted into a shell, from own rows to a merged model on a page."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from clear_ir.cli.next_command import command
from clear_ir.data.output_files import write_jsonl, write_text
from clear_ir.serve import demo_page, demo_server

#: A shell function in place of the program: it writes the words that the shell hands to it.
AS_WORDS = "clear-ir() { printf '%s\\0' \"$@\"; }; "


def pasted(shown):
    """The words that a shell makes of a printed command."""
    done = subprocess.run(["bash", "-c", AS_WORDS + shown], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def next_command(result):
    """The command that a command's output ends with; None if it ends otherwise."""
    code, out, err = result
    assert code == 0, err
    last = out.splitlines()[-1]
    return last.removeprefix("Next: ") if last.startswith("Next: clear-ir ") else None


@pytest.mark.parametrize("where", ['it\'s "my $HOME" `data`', "-data"])
def test_every_printed_command_works_when_it_is_pasted(run, tmp_path, tiny_folder, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    rows = [{"query": f"what {i}", "passage": f"moon {i}", "cross_query": f"nini {i}", "lang": "sw"} for i in range(60)]
    write_jsonl(tmp_path / "own rows.jsonl", rows)
    prepare = ["prepare", "rows", "--rows", "own rows.jsonl", "--dev-share", "0.1", "--out", where]
    shown, chain, served = next_command(run(*prepare)), [], []
    while shown:
        chain.append(shown.split()[1])
        words = [str(tiny_folder) if word == "MODEL" else word for word in pasted(shown)]
        assert not [word for word in words if word.isupper()], "MODEL is all that the program cannot know"
        if words[0] == "train":
            words += ["--max-steps", "2", "--batch-size", "8"]
        if words[0] == "merge":
            words += ["--weights", "0,1"]
        if words[0] == "demo":
            monkeypatch.setitem(sys.modules, "gradio", SimpleNamespace(__version__="6.31.0"))
            monkeypatch.setattr(demo_page, "build_page", lambda demo: demo)
            monkeypatch.setattr(demo_server, "serve_page", lambda demo, _: served.extend(demo.indexes))
            words += ["--port", "0"]
        shown = next_command(run(*words))
    assert chain == "mine train evaluate evaluate compare report merge evaluate compare report demo".split()
    assert served == ["tiny", "model-merged"]
    place = tmp_path / where
    assert sorted(path.name for path in (place / "results").iterdir()) == ["base", "model", "model-merged"]
    assert (place / "report" / "report.html").exists()
    assert (place / "report-2" / "report.html").exists(), "a path that is taken is not proposed"


def test_a_recipe_that_was_used_is_named_again(run, tmp_path, tiny_folder):
    write_jsonl(
        tmp_path / "rows.jsonl",
        [{"query": f"q {i}", "passage": f"p {i}", "cross_query": f"c {i}", "lang": "sw"} for i in range(20)],
    )
    recipe = tmp_path / "my recipe.yaml"
    recipe.write_text(
        f"model: {tiny_folder}\nencode: {{precision: bf16}}\nmine: {{num_negatives: 1, range_min: 0}}\n"
        "train: {max_steps: 2, batch_size: 4}\n"
    )
    shown = next_command(
        run("mine", "--recipe", recipe, "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "train.jsonl")
    )
    words = [
        "train",
        "--recipe",
        str(recipe),
        "--rows",
        str(tmp_path / "train.jsonl"),
        "--out",
        str(tmp_path / "model"),
    ]
    assert pasted(shown) == words
    words = pasted(next_command(run(*words)))
    assert words[words.index("--recipe") + 1] == str(recipe), "it says how texts are encoded"
    assert words[words.index("--data") + 1] == "COLLECTION", "nothing was prepared beside the rows"


def test_results_in_the_working_folder_have_a_next_command_too(run, tmp_path, tiny_folder, monkeypatch):
    data = tmp_path / "data"
    write_jsonl(data / "corpus.jsonl", [{"_id": "1", "text": "the moon"}, {"_id": "2", "text": "the river"}])
    write_jsonl(data / "queries.jsonl", [{"_id": "a", "text": "moon"}])
    write_text(data / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\na\t1\t1\n")
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path / "results")
    shown = next_command(run("evaluate", "--model", tiny_folder, "--data", data, "--out", "."))
    assert pasted(shown) == ["compare", ".", "RESULTS"]


def test_words_are_quoted_and_cannot_be_taken_for_options():
    shown = command("merge", "-base", "~/a b", data="$x", trust_remote_code=True, recipe=None, split=False)
    assert pasted(shown) == ["merge", "./-base", "~/a b", "--data", "$x", "--trust-remote-code"]
