"""What a page does in headless Chromium: what it asks for, how wide it is, and what axe says of it."""

import sys
from pathlib import Path

import pytest

#: `make install` puts axe-core there, by npm.
AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"


class Visit:
    """A page in a browser, with the addresses that it asks for beside its own."""

    def __init__(self, browser, url, width=1200, height=900, javascript=True):
        self.page = browser.new_page(viewport={"width": width, "height": height}, java_script_enabled=javascript)
        self.asked = []
        self.errors = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.goto(url)
        self.asked.remove(url)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.page.close()

    @property
    def width_needed(self):
        """The width of all that is on the page, in pixels; wider than the window if it scrolls sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth")

    def violations(self):
        """What axe finds wrong, a line for each element."""
        if not AXE.exists():
            pytest.skip(f"axe-core is not in {AXE.parent}; make install puts it there, where npm is")
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run()")["violations"]
        return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]
