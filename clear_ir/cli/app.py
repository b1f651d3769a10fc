"""The command line: its commands in groups, and its exit codes."""

from __future__ import annotations

import io
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from clear_ir import __version__
from clear_ir.cli.align import align
from clear_ir.cli.compare import compare
from clear_ir.cli.datasets import datasets
from clear_ir.cli.demo import demo
from clear_ir.cli.evaluate import evaluate
from clear_ir.cli.export import export
from clear_ir.cli.merge import merge
from clear_ir.cli.mine import mine
from clear_ir.cli.prepare import prepare
from clear_ir.cli.push import push
from clear_ir.cli.queries import queries
from clear_ir.cli.quickstart import quickstart
from clear_ir.cli.rank import rank
from clear_ir.cli.recipe import recipe
from clear_ir.cli.report import report
from clear_ir.cli.search import search
from clear_ir.cli.settings_as_flags import Commands
from clear_ir.cli.train import train
from clear_ir.cli.translate import translate
from clear_ir.data.files import InputError

#: The parser raises this for a wrong flag or value. It is taken from Typer, which has a copy of click inside.
UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="clear-ir",
    cls=Commands,
    help="Make text-embedding models good at cross-lingual retrieval, and prove it.",
    epilog="Begin with: clear-ir quickstart. The --help of each command ends with an example.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def add_command(group: str, example: str, function: Callable[..., Any]) -> None:
    """Add a command.

    Args:
        group: The heading above it in `--help`.
        example: An example call, shown below its help.
        function: The command.
    """
    app.command(rich_help_panel=group, epilog=f"Example: {example}")(function)


add_command("Start", "clear-ir quickstart", quickstart)
add_command("Data", "clear-ir datasets", datasets)
app.add_typer(prepare, name="prepare", rich_help_panel="Data")
add_command(
    "Data", "clear-ir translate --rows faq.csv --to sw --model facebook/nllb-200-3.3B --out rows.jsonl", translate
)
add_command(
    "Data",
    "clear-ir queries --passages faq.csv --to sw --endpoint http://localhost:8000/v1 --model MODEL --encoder minilm "
    "--out rows.jsonl",
    queries,
)
add_command("Data", "clear-ir mine --recipe small --rows data/rows.jsonl --out data/train.jsonl", mine)
add_command("Train", "clear-ir train --recipe small --rows data/train.jsonl --out models/sw", train)
add_command("Train", "clear-ir align --model minilm --rows data/rows.jsonl --out models/aligned", align)
add_command("Train", "clear-ir merge minilm models/sw --data data/dev/collection --out models/merged", merge)
app.add_typer(recipe, name="recipe", rich_help_panel="Train")
add_command("Measure", "clear-ir rank minilm intfloat/multilingual-e5-small --data data/collection --pair sw-en", rank)
add_command("Measure", "clear-ir evaluate --model models/sw --data data/collection --out results/sw", evaluate)
add_command("Measure", "clear-ir compare results/base results/sw", compare)
add_command("Measure", "clear-ir report results/base results/sw --data data/collection --out report", report)
add_command("Use", "clear-ir search --model models/sw --model minilm --data data/collection 'nini mto'", search)
add_command("Use", "clear-ir demo --model minilm --model models/sw --data data/collection", demo)
add_command("Use", "clear-ir export models/sw models/sw-onnx --backend onnx --int8 --data data/collection", export)
add_command("Use", "clear-ir push models/sw user/name --private", push)


def _show_version(show: bool) -> None:
    if show:
        typer.echo(f"clear-ir {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the program, before any command."""


def _prepare_process() -> None:
    """Keep libraries quiet, and say what is said once, also if several processes train together."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a path may hold bytes that are no UTF-8
    if "RANK" in os.environ:  # one of several processes
        warnings.filterwarnings("ignore", category=FutureWarning)  # of the libraries, once for each process
    if os.environ.get("RANK", "0") != "0":
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, the first speaks for all


def main() -> None:
    """Run the command line. Bad input ends with one sentence and exit code 2."""
    _prepare_process()
    try:
        code = app(standalone_mode=False, prog_name="clear-ir")
    except InputError as error:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            time.sleep(10)  # the first process of the machine says the same, ends, and so ends this one
        typer.echo(f"clear-ir: {error}", err=True)
        sys.exit(2)
    except UsageError as error:
        asked_for_help = type(error).__name__ == "NoArgsIsHelpError"
        sentence = error.format_message().rstrip(".").replace("\n", " ")
        command = error.ctx.command_path if error.ctx else "clear-ir"
        typer.echo(sentence if asked_for_help else f"clear-ir: {sentence}; see {command} --help.", err=True)
        sys.exit(2)
    except typer.Abort:
        typer.echo("clear-ir: Stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read the output, such as head, has read enough. Python would complain when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        typer.echo(f"clear-ir: {_sentence(error)}", err=True)
        sys.exit(2)
    if isinstance(code, int) and code:
        sys.exit(code)


def _sentence(error: OSError) -> str:
    """What the system says, and of which path."""
    reason = error.strerror or str(error)
    if error.filename is None:
        return f"A file or the output of the command cannot be read or written: {reason}; check rights and free space."
    return f"{os.fsdecode(error.filename)} cannot be used: {reason}; check the path and its rights."
