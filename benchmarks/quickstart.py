"""The scores of the quickstart, as JSON.

    make quickstart && python -m benchmarks.quickstart quickstart

With several folders, made with several seeds (clear-ir quickstart --seed 1 --out DIR), the table has a column for each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.machine import measured_with
from clear_ir.data.output_files import write_json
from clear_ir.quickstart import SUMMARY_FILE

OUT = Path(__file__).parent / "results" / "quickstart.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders that clear-ir quickstart made")
    runs = [json.loads((folder / SUMMARY_FILE).read_text()) for folder in parser.parse_args().folders]
    write_json(OUT, {"runs": runs, **measured_with("sentence-transformers")})
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
