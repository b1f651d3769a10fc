"""The documentation site: links that work in the repository work on the site, and the API reference lacks no module."""

from types import SimpleNamespace

import pytest
from scripts import ROOT, load_script

pytest.importorskip("mkdocs", reason="the extra docs is not installed")


@pytest.fixture(scope="module")
def pages():
    return load_script("docs/pages.py")


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("data.md", "../README.md", "index.md"),
        ("data.md", "atlas.md", "atlas.md"),
        ("data.md", "#top", "#top"),
        ("data.md", "https://arxiv.org/abs/2604.05821", "https://arxiv.org/abs/2604.05821"),
        ("study-minilm.md", "../study/plans/minilm.yaml", "study/plans/minilm.yaml"),
        ("performance.md", "../clear_ir/loss/dropout.py", "reference/loss.md#clear_ir.loss.dropout"),
        ("index.md", "docs/measures.md#one-ranking", "measures.md#one-ranking"),
        ("index.md", "CONTRIBUTING.md", "contributing.md"),
        ("contributing.md", "docs/formats.md", "formats.md"),
    ],
)
def test_links_are_rewritten(pages, page, link, expected):
    place = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert pages.on_page_markdown(f"[text]({link})", place, None, None) == f"[text]({expected})"


def test_the_reference_has_every_public_module(pages):
    text = "\n".join(pages.reference_pages().values())
    for path in (ROOT / "clear_ir").glob("*/*.py"):
        if path.parent.name != "cli" and not path.name.startswith("_"):
            assert f"::: clear_ir.{path.parent.name}.{path.stem}\n" in text


def test_names_in_code_type_are_linked_where_they_can_only_be_code(pages):
    html = pages.on_page_content("<p><code>CLEARLoss</code> <code>divergence</code></p><h2><code>CLEARLoss</code></h2>")
    link = '<autoref identifier="clear_ir.loss.clear_loss.CLEARLoss" optional><code>CLEARLoss</code></autoref>'
    assert html == f"<p>{link} <code>divergence</code></p><h2><code>CLEARLoss</code></h2>"
