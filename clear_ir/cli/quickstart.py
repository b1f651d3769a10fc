"""``clear-ir quickstart``: the whole path on the data that ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.options import Overwrite, parse_langs


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for all that is made.")] = Path("quickstart"),
    langs: Annotated[
        list[str] | None,
        typer.Option("--lang", "--langs", help="Languages to add, de and sw by default; repeated or between commas."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of mining and training.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """The whole path on the data that ships with clear-ir, in minutes, without a network."""
    from clear_ir.quickstart import run_quickstart

    run_quickstart(out, parse_langs(" ".join(langs)) if langs else None, seed, overwrite)
