"""`clear-ir demo`: a page on this computer on which anybody can type questions and see what models find."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import Recipe, Remote, Split, column_names, default_split
from clear_ir.data.files import InputError
from clear_ir.encode.settings import EncodingSettings


@takes(encode=EncodingSettings)
def demo(
    model: Annotated[
        list[str],
        typer.Option(
            help="Model folder, hub name, or 'minilm'. Give the base first, then the adapted one, to see both side by "
            "side; the moves of the second are marked."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Collection folder, with corpus.jsonl, queries.jsonl and qrels/.")],
    flags: Flags,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="Passages to show.")] = 5,
    host: Annotated[
        str, typer.Option(help="Address to serve on. With another than this one, other computers can read the data.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on; 0 for any that is free.")] = 7860,
    split: Split = None,
    recipe: Recipe = None,
    trust_remote_code: Remote = False,
) -> None:
    """Show what one model finds, or two side by side, on a page in the browser. Nothing leaves this computer."""
    from clear_ir.data.collection_files import read_collection
    from clear_ir.recipes.recipe import load_recipe
    from clear_ir.serve.demo_page import Demo, build_page
    from clear_ir.serve.demo_server import is_loopback, reserved_port, serve_page
    from clear_ir.serve.rankings import MOST_MODELS, index_passages

    names = column_names(model, MOST_MODELS)
    _check_gradio()
    encoding = load_recipe(recipe, flags).encode
    collection = read_collection(data, split or default_split(data))
    with reserved_port(host, port) as reserved:
        passages = list(collection.passages.values())
        indexes = index_passages(dict(zip(names, model, strict=True)), passages, encoding, trust_remote_code)
        page = build_page(Demo(collection, indexes, top_k))
        if not is_loopback(reserved):
            typer.echo("Everybody who reaches this computer can read the collection; --host 127.0.0.1 keeps it here.")
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"Open http://{shown}:{reserved.getsockname()[1]} in a browser. Ctrl+C stops the demo.")
        try:
            serve_page(page, reserved)
        except KeyboardInterrupt:
            typer.echo("Stopped.")


def _check_gradio() -> None:
    """Import Gradio, which takes seconds.

    Raises:
        InputError: If it is missing or too old.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # it would call its makers
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise InputError(
            f"The demo needs Gradio ({error.name} is missing); run: pip install 'clear-ir[demo]'"
        ) from None
    if int(gradio.__version__.partition(".")[0]) < 6:
        raise InputError(f"The demo needs a newer Gradio than {gradio.__version__}; run: pip install 'clear-ir[demo]'")
