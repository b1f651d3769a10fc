"""`clear-ir translate --endpoint`: the same file whatever the endpoint does, and the key nowhere."""

import os
import random
import subprocess
import sys
import time

import pytest
from commands import refused
from stub_endpoint import OF_ANSWER, PASSING, Stub, language_in, served

from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import read_parallel_rows
from clear_ir.translate import chat_endpoint

KEY = "sk-secret-0123456789abcdef"
#: A request of three texts, so that there are several.
FLAGS = "--model stub --to de,sw --texts-per-request 3 --requests-at-once 2 --answer-timeout 0.3".split()


def translator(**options):
    """A stub that really translates: bad translations are left out."""

    def answer(text, system):
        number = text.removeprefix("what is river ").removesuffix("?")
        return f"wo ist der Fluss {number}?" if language_in(system) == "de" else f"mto {number} uko wapi?"

    return Stub(answer, **options)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.002)
    monkeypatch.setenv("CLEAR_IR_API_KEY", KEY)
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"query": f"what is river {i}?", "passage": f"the river {i}"} for i in range(20)])
    return path


def arguments(stub, rows, out, *more):
    cache = out.parent / f"{out.name}.cache"
    return ["translate", "--rows", rows, "--out", out, "--endpoint", stub.url, "--cache", cache, *FLAGS, *more]


def written(folder):
    """The bytes of all files."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_faults_change_nothing_and_the_key_is_nowhere(run, tmp_path, rows, caplog):
    draw = random.Random(1)
    faults = [*PASSING, *OF_ANSWER, "500", "429", "refusal"]
    draw.shuffle(faults)
    out = {}
    for name, fault in {"calm": None, "stormy": faults}.items():
        stub = translator(key=KEY, fault=lambda number, texts, fault=fault: fault.pop() if fault else None)
        with served(stub):
            code, said, err = run(*arguments(stub, rows, tmp_path / f"{name}.jsonl", "--retries", 30))
        assert code == 0, err
        assert "Tokens spent: " in said
        assert KEY not in said + err + caplog.text
        out[name] = (tmp_path / f"{name}.jsonl").read_bytes()
        assert sorted(stub.answered) == sorted(2 * [f"what is river {i}?" for i in range(20)])
    assert not faults
    assert out["calm"] == out["stormy"]
    assert len(read_parallel_rows(tmp_path / "calm.jsonl")[0]) == 40
    files = written(tmp_path)
    assert any(path.name == "translations.sqlite" for path in files)
    assert any(path.name == "calm.translation.json" for path in files)
    assert not [path for path, content in files.items() if KEY.encode() in content]


def test_a_text_without_an_answer_is_in_the_file_of_what_was_left_out(run, tmp_path, rows):
    out = tmp_path / "out.jsonl"
    stub = translator(fault=lambda number, texts: "refusal" if "what is river 7?" in texts else None)
    with served(stub):
        code, said, _ = run(*arguments(stub, rows, out, "--retries", 1))
        assert code == 0
        assert "Left out: 2" in said
        rejected = (tmp_path / "out.rejected.jsonl").read_text()
        assert rejected.count("the answer is no JSON object: \\\"I'm sorry, I can't help with that.\\\"") == 2
        # It is asked again the next time, and nothing else is.
        stub.asked.clear()
        stub.fault = lambda number, texts: None
        assert run(*arguments(stub, rows, out, "--overwrite"))[0] == 0
    assert stub.asked == [["what is river 7?"]] * 2
    assert len(read_parallel_rows(out)[0]) == 40


def test_a_limit_of_tokens_ends_the_run_and_the_next_run_goes_on(run, tmp_path, rows):
    out = tmp_path / "out.jsonl"
    stub = translator()
    stub.tokens = 100
    runs = 0
    with served(stub):
        while not out.exists():
            runs += 1
            # 100 tokens a text, 4,000 in all; a request may cost some 1,500.
            result = run(*arguments(stub, rows, out, "--token-limit", 2500))
            if result[0]:
                refused(result, "limit of 2,500 tokens is reached", "run the same command again", "(--token-limit)")
            assert runs < 20
    assert runs > 1
    assert sorted(stub.answered) == sorted(2 * [f"what is river {i}?" for i in range(20)])


def test_bad_endpoints_are_one_sentence(run, tmp_path, rows, monkeypatch):
    out = tmp_path / "out.jsonl"
    with served(translator(key="another-key-0123456789")) as stub:
        refused(run(*arguments(stub, rows, out)), "refuses the key in $CLEAR_IR_API_KEY", "--key-variable")
        monkeypatch.delenv("CLEAR_IR_API_KEY")
        refused(run(*arguments(stub, rows, out)), "a request without a key", "--key-variable")
        stub.key, stub.fault = None, lambda number, texts: "404"
        refused(run(*arguments(stub, rows, out)), "knows no model 'stub'", "--model, --endpoint")
        stub.url, good = "localhost", stub.url
        refused(run(*arguments(stub, rows, out)), "--endpoint is 'localhost', which is no URL")
        stub.url = good
    refused(run(*arguments(stub, rows, out)), "cannot be reached", "(--endpoint)")
    refused(run("translate", "--rows", rows, "--to", "de", "--out", out, "--endpoint", stub.url), "No model", "--model")
    assert not out.exists()
    assert not list(tmp_path.glob("*partial*"))


def test_kills_cost_no_answer_twice(tmp_path, rows):
    out = tmp_path / "out.jsonl"
    with served(translator()) as stub:
        draw, kills = random.Random(0), 0
        command = [
            sys.executable,
            "-c",
            "from clear_ir.cli.app import main; main()",
            *map(str, arguments(stub, rows, out)),
        ]
        # Each answer takes a while, so that kills come in between.
        stub.answer = lambda text, system, answer=stub.answer: (time.sleep(0.02), answer(text, system))[1]
        while not out.exists():
            process = subprocess.Popen(command, env=os.environ | {"PYTHONWARNINGS": "ignore"}, stderr=subprocess.PIPE)
            seen = len(stub.answered)
            while process.poll() is None and len(stub.answered) == seen:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.1))
            if kills < 3 and process.poll() is None:
                process.kill()
                kills += 1
            process.wait(60)
            process.stderr.close()
    assert kills == 3
    # Only what was under way when the process was killed is asked again: at most two requests of three texts.
    again = len(stub.answered) - 40
    assert 0 <= again <= kills * 2 * 3
    assert len(read_parallel_rows(out)[0]) == 40
