"""`clear-ir push`: a model folder in, a model on the Hugging Face Hub out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.output import counted


def push(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    repo: Annotated[str, typer.Argument(metavar="USER/NAME", help="Its name on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Only you, or your organisation, can see it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Upload without asking.")] = False,
) -> None:
    """Upload a model to the Hugging Face Hub, after showing what will be uploaded."""
    from clear_ir.serve.hub import plan_upload, upload_model

    upload = plan_upload(model, repo, private)
    for name, path in upload.files.items():
        typer.echo(f"{path.stat().st_size:>15,}  {name}")
    seen = "private" if upload.private else "public: everybody can read it"
    state = "It exists; files of the same names are replaced." if upload.exists else "It is new."
    typer.echo(f"{counted(len(upload.files), 'file')}, {upload.size / 1e6:,.1f} MB, to {repo}, {seen}. {state}")
    for sentence in upload.local_paths:
        typer.echo(sentence)
    if not yes:
        typer.confirm("Upload?", abort=True)
    typer.echo(f"Uploaded: {upload_model(upload)}")
