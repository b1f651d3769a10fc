"""`clear-ir queries` as a user meets it."""

import json

import pytest
from commands import refused
from stub_endpoint import Stub, served

from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import read_parallel_rows
from clear_ir.translate import chat_endpoint

KEY = "sk-secret-0123456789abcdef"
WORDS = "river desert moon bread bank court drum tree bird metal light sound".split()


@pytest.fixture
def passages(tmp_path, monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.002)
    monkeypatch.setenv("CLEAR_IR_API_KEY", KEY)
    path = tmp_path / "passages.jsonl"
    write_jsonl(path, [{"id": str(i), "text": f"the {word} {WORDS[i - 5]} is old"} for i, word in enumerate(WORDS)])
    return path


def answer(text, system):
    first, second = text.split()[1:3]
    return [
        {"en": f"the {first} {second} is old", "sw": f"{first} ya {second} ni wapi?"},
        {"en": f"who is {first}", "sw": "nani"},
    ]


def arguments(stub, passages, out, *more):
    cache = out.parent / "cache"
    flags = "--to sw --model stub --texts-per-request 3 --answer-timeout 0.5".split()
    return ["queries", "--passages", passages, "--endpoint", stub.url, "--out", out, "--cache", cache, *flags, *more]


def test_passages_become_rows_that_mine_takes(run, tmp_path, passages, tiny_folder):
    out = tmp_path / "rows.jsonl"
    with served(Stub(answer, key=KEY)) as stub:
        flags = ["--encoder", tiny_folder, "--top-k", 1, "--no-checks"]
        code, said, err = run(*arguments(stub, passages, out, *flags))
        assert code == 0, err
        rows, rejected = read_parallel_rows(out)
        assert not rejected.reasons
        # The first question of each passage is its text, so it is found.
        assert {row.id for row in rows} >= {f"{i}-sw-1" for i in range(12)}
        assert f"sw: {len(rows)} questions kept, for 12 passages." in said
        assert "not found" in said
        assert f"{24 - len(rows)}; {tmp_path / 'rows.rejected.jsonl'} says why" in said
        assert f"Next: clear-ir prepare rows --rows {out}" in said
        assert "Tokens spent: 120." in said
        origin = json.loads((tmp_path / "rows.translation.json").read_text())
        assert origin["made_by"] == "clear-ir queries"
        assert origin["top_k"] == 1
        before, asked = out.read_bytes(), len(stub.asked)
        refused(run(*arguments(stub, passages, out, *flags)), f"{out} exists")
        code, said, err = run(*arguments(stub, passages, out, *flags, "--overwrite", "--json"))
        assert code == 0, err
        assert json.loads(said)["known"] == {"sw": 12}
        assert (out.read_bytes(), len(stub.asked)) == (before, asked)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 4
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    code, _, err = run(
        "mine", "--model", tiny_folder, "--rows", out, "--out", tmp_path / "train.jsonl", "--num-negatives", 1
    )
    assert code == 0, err


def test_without_an_encoder_it_is_said(run, tmp_path, passages):
    with served(Stub(answer)) as stub:
        code, said, _ = run(
            *arguments(stub, passages, tmp_path / "rows.jsonl", "--num-passages", 3, "--num-queries", 1)
        )
    assert code == 0
    assert "not checked by an encoder" in said
    assert "for 3 passages" in said


def test_the_prompt_that_ships_is_shown_and_can_be_changed(run, tmp_path, passages):
    code, prompt, _ = run("queries", "--show-prompt")
    assert code == 0
    assert "{language}" in prompt
    file = tmp_path / "prompt.txt"
    file.write_text(f"Be funny.\n{prompt}", encoding="utf-8")
    with served(Stub(answer)) as stub:
        assert run(*arguments(stub, passages, tmp_path / "rows.jsonl", "--prompt", file))[0] == 0
    assert stub.bodies[0]["messages"][0]["content"].startswith("Be funny.\n")


def test_bad_input_is_one_sentence(run, tmp_path, passages):
    out = tmp_path / "rows.jsonl"
    with served(Stub(answer)) as stub:
        refused(run(*arguments(stub, passages, out, "--to", "xyzzy")), "no language code", "--to")
        refused(run(*arguments(stub, tmp_path / "none", out)), "does not exist")
        refused(run(*arguments(stub, passages, out, "--encoder", tmp_path / "none")), "none")
        refused(run(*arguments(stub, passages, out, "--prompt", passages)), "has no {language}", "--prompt")
        stub.fault = lambda number, texts: "404"
        refused(run(*arguments(stub, passages, out)), "knows no model 'stub'")
    refused(run(*arguments(stub, passages, out)), "cannot be reached", "--endpoint")
    assert not out.exists()
