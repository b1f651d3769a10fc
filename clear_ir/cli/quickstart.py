"""`clear-ir quickstart`: every stage on the data that ships with clear-ir."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.shared_options import Overwrite, parse_langs


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder to make, with data, model, results and report.")] = Path(
        "quickstart"
    ),
    langs: Annotated[
        list[str] | None,
        typer.Option(
            "--lang", "--langs", help="Language to add. Repeat, or put commas between several. Default: de,sw."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of mining and training.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Run every stage on the data that ships with clear-ir: some minutes, no network."""
    from clear_ir.quickstart import run_quickstart

    run_quickstart(out, parse_langs(" ".join(langs)) if langs else None, seed, overwrite)
