"""Check that a tag may be released: python .ci/check_release.py v0.1.0.

The tag names the version of the package and of CITATION.cff, and CHANGELOG.md has a section for it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

import clear_ir

ROOT = Path(__file__).resolve().parent.parent


def main(tag: str) -> int:
    """Print what does not fit; the exit code is 1 if there is any."""
    version = clear_ir.__version__
    problems = []
    if tag != f"v{version}":
        problems.append(f"the tag is {tag}, but clear_ir.__version__ is {version}")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    if cited != version:
        problems.append(f"CITATION.cff has version {cited}, but clear_ir.__version__ is {version}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M):
        problems.append(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'")
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
