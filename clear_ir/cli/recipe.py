"""`clear-ir recipe`: list the recipes that ship, and show all settings of a recipe."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clear_ir.cli.next_command import command
from clear_ir.cli.output import print_json
from clear_ir.cli.settings_as_flags import Commands
from clear_ir.cli.shared_options import AsJson

recipe = typer.Typer(
    cls=Commands,
    help="List and show recipes: the settings of all stages in one YAML file.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@recipe.command("list", epilog="Example: clear-ir recipe list")
def list_recipes(as_json: AsJson = False) -> None:
    """List the recipes that ship with clear-ir, each with its encoder."""
    if as_json:
        print_json(_recipes())
        return
    typer.echo(recipes_table())
    typer.echo(f"Next: {command('recipe', 'show', 'small')}")


def recipes_table() -> str:
    """The table of the recipes that ship, in Markdown. The command prints it, and docs/settings.md has it."""
    from clear_ir.report.tables import Table

    rows = _recipes()
    return Table(list(rows[0]), [list(map(str, row.values())) for row in rows], num_names=3).markdown()


def _recipes() -> list[dict[str, Any]]:
    from clear_ir.recipes.recipe import load_recipe, shipped_recipes

    return [
        {"recipe": name, "model": load_recipe(name).model, "what": what} for name, what in shipped_recipes().items()
    ]


@recipe.command(epilog="Example: clear-ir recipe show small > mine.yaml")
def show(
    name: Annotated[str, typer.Argument(help="A recipe that ships with clear-ir, or a YAML file.")],
    as_json: AsJson = False,
) -> None:
    """Show every setting of a recipe, with the defaults: a start for your own recipe."""
    import yaml

    from clear_ir.recipes.recipe import load_recipe

    document = load_recipe(name).model_dump(mode="json")
    if as_json:
        print_json(document)
    else:
        typer.echo(yaml.safe_dump(document, sort_keys=False).rstrip())
