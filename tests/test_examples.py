"""The examples run, at a tiny size, and the README's script is the example's."""

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from tiny import make_training_rows

from clear_ir.data.output_files import write_jsonl

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_swap_the_loss(tmp_path, tiny_folder):
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows().records)
    command = [sys.executable, ROOT / "examples" / "swap_the_loss.py", "--model", tiny_folder, "--steps", "2"]
    done = subprocess.run(
        [*map(str, command), "--rows", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "m"), "--batch-size", "8"],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "clear/reverse" in done.stdout
    assert (tmp_path / "m" / "model.safetensors").exists()


def test_the_stages_in_python(tmp_path, monkeypatch, capsys):
    """The snippets of docs/use-in-python.md, one after another, as a reader would run them."""
    page = (ROOT / "docs" / "use-in-python.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for script in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(script, names)
    directions = [str(direction) for direction in names["collection"].directions]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("q-")] == directions
    assert {"train.jsonl", "model", "report", "merged"} <= {path.name for path in tmp_path.iterdir()}
    assert names["after"].weights_hash != names["before"].weights_hash


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) <= 80


def test_scripts_in_readme_and_docs_parse_and_import_what_exists():
    seen = 0
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for script in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for node in ast.walk(ast.parse(script)):
                if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "clear_ir":
                    seen += 1
                    module = import_module(node.module)
                    assert all(hasattr(module, name.name) for name in node.names), f"{page.name}: {node.module}"
    assert seen >= 5
