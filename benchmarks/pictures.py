"""Take the pictures of the docs: the report and the demo, on a desktop and on a phone.

    make quickstart
    python -m benchmarks.pictures

They show what the quickstart made: its report; and a German question, searched by MiniLM and by MiniLM trained with
CLEAR.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from benchmarks.browser import open_browser
from benchmarks.running_demo import running_demo
from clear_ir.report.page import REPORT_FILE

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: Width and height of each picture, in pixels.
DEMO_SIZES = {"demo.png": (1200, 1100), "demo-phone.png": (400, 1100)}
REPORT_SIZES = {"report.png": (1200, 1120), "report-phone.png": (400, 1120)}
COLOURS = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quickstart", type=Path, default=Path("quickstart"), help="what clear-ir quickstart made")
    given = parser.parse_args()
    with open_browser() as browser:
        for file, (width, height) in REPORT_SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto((given.quickstart / "report" / REPORT_FILE).resolve().as_uri())
            _write_small(page.screenshot(), DOCS / file)
            page.close()
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        folder = Path(name)
        # The names of these folders are shown.
        adapted = shutil.copytree(given.quickstart / "model", folder / "minilm-clear")
        data = shutil.copytree(given.quickstart / "collection", folder / "atlas" / "collection")
        with running_demo(folder, "--model", "minilm", "--model", adapted, "--data", data) as demo:
            for file, (width, height) in DEMO_SIZES.items():
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
                page.goto(demo.url)
                page.get_by_role("button", name="German: ").click()
                page.get_by_text("The right passage is at rank").wait_for()
                page.wait_for_timeout(500)  # colours change slowly
                _write_small(page.screenshot(), DOCS / file)
                page.close()


def _write_small(picture: bytes, path: Path) -> None:
    """Write a picture with few colours, which text needs no more of."""
    from PIL import Image

    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"Wrote {path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
