"""Check that a wheel holds the package, with its data, and nothing else: python .ci/check_wheel.py dist/NAME.whl."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
#: What must be there, whatever the folder of the package holds.
NEEDED = (
    "clear_ir/py.typed",
    "clear_ir/data/atlas/train/corpus.jsonl",
    "clear_ir/recipes/small.yaml",
    "clear_ir/report/templates/report.html",
    "clear_ir/serve/templates/demo.css",
    "clear_ir/translate/prompts/queries.txt",
)


def main(wheel: str) -> int:
    """Print what is missing and what is too much; the exit code is 1 if there is any."""
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path for path in (ROOT / "clear_ir").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {path.relative_to(ROOT).as_posix() for path in files} | set(NEEDED)
    for name in sorted(expected - names):
        print(f"{wheel} lacks {name}", file=sys.stderr)
    for name in sorted(names - expected):
        print(f"{wheel} should not hold {name}", file=sys.stderr)
    return int(names != expected)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
