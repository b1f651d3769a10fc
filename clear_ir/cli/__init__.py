"""The command line: parse, call, print. Each command is one file."""

from clear_ir.cli.app import main

__all__ = ["main"]
