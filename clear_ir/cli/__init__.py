"""The command line: parse, call, print; a file a command."""

from clear_ir.cli.app import main

__all__ = ["main"]
