"""Translate by commands: real processes that behave and misbehave."""

import sys
import time

import pytest

from clear_ir.data.files import InputError
from clear_ir.translate.command import CommandTranslator
from clear_ir.translate.kinds import load_translator
from clear_ir.translate.settings import TranslationSettings
from clear_ir.translate.translator import Choice


def python(code):
    """A command that runs Python code, which has `sys` and the lines of its input."""
    code = f"import sys, time, os\nlines = sys.stdin.buffer.read().decode().split(chr(10))[:-1]\n{code}"
    return f"{sys.executable} -c '{code}'"


def test_a_line_in_and_a_line_out():
    command = CommandTranslator("tr a-z A-Z", batch_size=2)
    texts = ["one river", "two\nlines", "  many   spaces ", "ä\u2028b", "last"]
    made = dict(command.translate(texts, "de"))
    assert made == {0: "ONE RIVER", 1: "TWO LINES", 2: "MANY SPACES", 3: "ä B", 4: "LAST"}
    assert not command.problems


def test_each_call_gets_one_batch():
    command = CommandTranslator(python("for _ in lines: print(len(lines))"), batch_size=3)
    assert [int(text) for _, text in command.translate(list("abcdefgh"), "de")] == [3, 3, 3, 3, 3, 3, 2, 2]


def test_the_language_is_put_in():
    command = CommandTranslator("sed s/^/{lang}-/")
    command.check(["de", "sw"])
    assert list(command.translate(["x"], "sw")) == [(0, "sw-x")]
    assert command.identity("sw") != command.identity("de")


def test_one_language_without_a_place_for_it():
    command = CommandTranslator("cat")
    command.check(["de"])
    with pytest.raises(InputError, match="translates into one language, and 2 are asked for"):
        command.check(["de", "sw"])


def test_an_empty_line_is_given_up():
    command = CommandTranslator(python('for line in lines: print("" if line == "b" else line)'))
    assert dict(command.translate(["a", "b", "c"], "de")) == {0: "a", 1: "", 2: "c"}
    assert command.problems == {"b": "the command gave an empty line"}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (python("for line in lines[:-1]: print(line)"), "gave 2 lines for 3"),
        (python("for line in lines: print(line + chr(10))"), "gave 6 lines for 3"),
        ("true", "gave 0 lines for 3"),
        (python('sys.exit("cannot open dictionary")'), r"failed \(exit code 1: cannot open dictionary\)"),
        ("false", r"failed \(exit code 1\)"),
        (python("os.kill(os.getpid(), 9)"), r"failed \(exit code -9\)"),
        (python('sys.stdout.buffer.write(b"a\\n\\xff\\nc\\n")'), "not UTF-8 at byte 2"),
    ],
)
def test_a_command_that_fails_is_one_sentence(command, says):
    with pytest.raises(InputError, match=says):
        list(CommandTranslator(command).translate(["a", "b", "c"], "de"))


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path):
    script = tmp_path / "slow.sh"
    script.write_text(f"#!/bin/sh\nsleep 3 && touch {tmp_path}/late\n")
    script.chmod(0o755)
    begin = time.monotonic()
    with pytest.raises(InputError, match="did not translate 1 lines within 0.2 seconds") as error:
        list(CommandTranslator(str(script), timeout=0.2).translate(["a"], "de"))
    assert time.monotonic() - begin < 2.5
    assert error.value.settings == ("timeout", "batch_size")
    time.sleep(max(0.0, 3.5 - (time.monotonic() - begin)))
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-program-here en", "'no-such-program-here' is not installed"),
        ("", "is empty"),
        ("'tr a", "cannot be read: No closing quotation"),
    ],
)
def test_a_command_that_cannot_run(command, says):
    with pytest.raises(InputError, match=says):
        CommandTranslator(command)


def test_a_command_that_reads_nothing():
    """It writes as many lines, and ends before it has read: no broken pipe is seen."""
    texts = ["x" * 1000] * 64
    command = CommandTranslator(f"{sys.executable} -c 'for i in range(64): print(i)'")
    assert len(list(command.translate(texts, "de"))) == 64


def test_the_user_names_it():
    choice = Choice(command="cat {lang}", settings=TranslationSettings(batch_size=7, timeout=3))
    translator = load_translator(choice)
    assert (translator.name, translator.batch_size, translator.timeout) == ("cat {lang}", 7, 3)
