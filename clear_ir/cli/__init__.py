"""The command line: parse, call, print."""

from clear_ir.cli.app import main

__all__ = ["main"]
