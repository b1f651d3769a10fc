"""Comments that begin with `#:` as the documentation of the constants below them, for the API reference."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import griffe


class CommentsAsDocstrings(griffe.Extension):
    """Takes the lines of `#:` that stand right above an attribute."""

    def on_attribute_instance(self, *, node: ast.AST | griffe.ObjectNode, attr: griffe.Attribute, **_: Any) -> None:
        """Document the attribute, unless it has a docstring."""
        if attr.docstring is not None or attr.lineno is None or not isinstance(attr.filepath, Path):
            return
        lines = attr.lines_collection[attr.filepath]
        comment: list[str] = []
        for line in reversed(lines[: attr.lineno - 1]):
            if not line.strip().startswith("#:"):
                break
            comment.insert(0, line.strip().removeprefix("#:").strip())
        if comment:
            attr.docstring = griffe.Docstring("\n".join(comment), parent=attr)
