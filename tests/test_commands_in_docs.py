"""Every `clear-ir ...` in README and docs is a command with flags that exist; whole commands parse."""

import re
import shlex

import pytest
import typer
from scripts import ROOT

from clear_ir.cli.app import app

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: A command in a listing, with what follows on lines after a backslash; and one within a sentence.
IN_LISTING = re.compile(r"^[ \t]*clear-ir ((?:[^\\\n]|\\\n)*)", flags=re.MULTILINE)
IN_SENTENCE = re.compile(r"(?<!`)`clear-ir ([^`]+)`(?!`)")


def find_command(words):
    """The command that words name, the words that are left, and its name."""
    command, name = typer.main.get_command(app), []
    while hasattr(command, "list_commands") and words and words[0].islower() and words[0][0] != "-":
        name.append(words[0])
        command, words = command.get_command(None, words[0]), words[1:]
        assert command, f"clear-ir {' '.join(name)} does not exist"
    return command, words, " ".join(name)


def check_flags(command, words, name):
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} - known - {"--help", "-h"}
    assert not unknown, f"clear-ir {name} has no {unknown}"


def listings(text):
    """The parts of a page that are listings: between fences, or indented by four spaces."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)```", text, flags=re.DOTALL | re.MULTILINE)
    fenced = [block for kind, block in blocks if kind in ("", "bash", "sh")]
    indented = re.findall(r"(?:^ {4}.*\n)+", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return "\n".join([*fenced, *indented])


def whole_commands(text):
    """The words of each command in a listing; comments, pipes and redirections end it."""
    for found in IN_LISTING.findall(listings(text)):
        words = shlex.split(found.replace("\\\n", " "), comments=True)
        end = next((i for i, word in enumerate(words) if word in ("|", ">", "&&", "&", ";")), len(words))
        yield words[:end]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_exist_and_parse(page):
    text = page.read_text()
    for words in whole_commands(text):
        command, left, name = find_command(words)
        check_flags(command, left, name)
        if "..." not in words and "--help" not in words and not hasattr(command, "list_commands"):
            command.make_context(name, list(left))  # a UsageError names what is wrong
    for found in IN_SENTENCE.findall(text):
        words = shlex.split(found)
        check_flags(*find_command([word for word in words if word != "..."]))


def test_they_are_found():
    commands = [words for page in PAGES for words in whole_commands(page.read_text())]
    assert len(commands) > 40
    assert len({words[0] for words in commands}) > 12
    sentences = [found for page in PAGES for found in IN_SENTENCE.findall(page.read_text())]
    assert len(sentences) > 80


@pytest.mark.parametrize("wrong", ["trian --rows x", "train --lerning-rate 1", "mine --rows x", "prepare nothing"])
def test_a_wrong_command_is_noticed(wrong):
    with pytest.raises(Exception, match=r"does not exist|has no|Missing"):
        command, left, name = find_command(wrong.split())
        check_flags(command, left, name)
        command.make_context(name, left)
