"""What the quickstart measures, as JSON.

    make quickstart && python -m benchmarks.quickstart quickstart

Several folders, of several seeds (clear-ir quickstart --seed 1 --out DIR), become columns side by side.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

from benchmarks.machine import machine
from clear_ir.data.files import write_json
from clear_ir.quickstart import SUMMARY_FILE

OUT = Path(__file__).parent / "results" / "quickstart.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="what clear-ir quickstart made")
    runs = [json.loads((folder / SUMMARY_FILE).read_text()) for folder in parser.parse_args().folders]
    libraries = ("clear-ir", "sentence-transformers", "torch")
    write_json(OUT, {"runs": runs, "versions": {name: version(name) for name in libraries}, "machine": machine()})
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
