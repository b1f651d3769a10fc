"""A setting is one field: flag, help, default and the settings page come from it."""

import re
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from clear_ir.cli.app import app
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.data.settings import Settings, describe_settings
from clear_ir.recipes.recipe import STAGES, load_recipe

DOCS = Path(__file__).resolve().parents[2] / "docs"


class ToySettings(Settings):
    """Settings of a stage that does not exist."""

    groups: ClassVar = {"depth": "Toys"}

    depth: int = Field(3, ge=1)
    """How deep it goes. None: as deep as it can."""
    shape: Literal["round", "square"] = "round"
    """What it looks like."""
    quick: bool = True
    """Whether it hurries."""
    budget: int | Literal["auto"] | None = None
    """What it may cost."""


@pytest.fixture
def toy_program():
    program = typer.Typer(rich_markup_mode="rich")
    received = []

    @program.command()
    @takes(toy=ToySettings)
    def play(flags: Flags, name: str = "x") -> None:
        received.append((name, flags))

    return program, received


def test_a_new_field_is_a_flag_with_help_and_default(toy_program):
    program, received = toy_program
    shown = " ".join(CliRunner().invoke(program, ["--help"]).output.replace("│", " ").split())
    for part in ("Toys", "--depth", "How deep it goes.", "Default: 3.", "round|square", "--no-quick", "INT|auto"):
        assert part in shown
    result = CliRunner().invoke(program, ["--depth", "5", "--no-quick", "--name", "y", "--set", "budget=auto"])
    assert result.exit_code == 0, result.output
    assert received == [("y", {"toy": {"depth": 5, "quick": False, "budget": "auto"}})]
    assert ToySettings(**received[0][1]["toy"]).depth == 5


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_says_what_it_is(stage):
    for setting in describe_settings(STAGES[stage]):
        assert setting.description.endswith("."), f"{stage}.{setting.name} needs a docstring"
        assert setting.group, f"{stage}.{setting.name} stands under no heading"


@pytest.mark.parametrize(("command", "stages"), [("mine", ["mine", "encode"]), ("train", ["train"])])
def test_every_setting_is_a_flag_of_its_command(command, stages):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for stage in stages:
        for setting in describe_settings(STAGES[stage]):
            assert f"{setting.flag.split('/')[0]} " in shown


@pytest.mark.parametrize("stage", STAGES)
def test_the_settings_page_has_every_field(stage):
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    block = re.search(rf"<!-- table: settings-{stage} -->(.*?)<!-- end -->", page, re.DOTALL)[1]
    assert re.findall(r"^\| `(\w+)` \|", block, re.MULTILINE) == [s.name for s in describe_settings(STAGES[stage])]


def test_flags_reach_the_stage_that_knows_them():
    recipe = load_recipe(None, {"mine": {"num_negatives": 2}, "encode": {"batch_size": 7}})
    assert (recipe.mine.num_negatives, recipe.encode.batch_size) == (2, 7)
