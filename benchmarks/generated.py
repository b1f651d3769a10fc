"""Rewrite the tables and figures of README and docs from committed results, or check that they are up to date.

In a Markdown file a table is between `<!-- table: NAME -->` and `<!-- end -->`. Benchmarks and study both have
tables there, and each rewrites only those.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(
    description: str,
    tables: Mapping[str, Callable[[], str]],
    figures: Mapping[str, Callable[[], str]],
    has_table: Callable[[str], bool],
    root: Path = ROOT,
) -> int:
    """Rewrite tables and figures. With `--check` on the command line, only report which files are out of date.

    Args:
        description: The text of `--help`.
        tables: By the table's name in the Markdown file, a function that renders it as Markdown.
        figures: By path below `root`, a function that renders the figure as SVG.
        has_table: Whether the table of this name must be one of `tables`. Other tables are not changed.
        root: The folder with README.md and docs.

    Returns:
        The exit code: 1 if `--check` reports a file.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    check = parser.parse_args().check

    rendered = render_documents(tables, has_table, root)
    rendered |= {root / path: render() for path, render in figures.items()}
    outdated = [path for path, text in rendered.items() if _content(path) != text]
    if check:
        # Other versions of matplotlib write the same figure with other digits, so it is enough that the file exists.
        outdated = [path for path in outdated if path.suffix != ".svg" or not path.exists()]
        for path in outdated:
            print(f"{path.relative_to(root)} differs from the committed JSON; run: make docs", file=sys.stderr)
        return int(bool(outdated))
    for path in outdated:
        path.write_text(rendered[path], encoding="utf-8")
        print(f"Wrote {path.relative_to(root)}")
    return 0


def render_documents(
    tables: Mapping[str, Callable[[], str]], has_table: Callable[[str], bool], root: Path
) -> dict[Path, str]:
    """Render README and docs with up-to-date tables.

    Args:
        tables: See `main`.
        has_table: See `main`.
        root: See `main`.

    Returns:
        The text of each file, by path.

    Raises:
        SystemExit: If a file names a table that does not exist.
    """
    documents = {}
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:

        def filled(block: re.Match[str], path: Path = path) -> str:
            begin, name, end = block.groups()
            if not has_table(name):
                return block[0]
            if name not in tables:
                raise SystemExit(f"{path} has a place for the table {name!r}, but no such table exists; rename it.")
            return f"{begin}{tables[name]()}\n{end}"

        documents[path] = BLOCK.sub(filled, path.read_text(encoding="utf-8"))
    return documents


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
