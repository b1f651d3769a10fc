"""The examples run, at a tiny size, and the README's script is the example's."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_training import make_training_rows

from clear_ir.files import write_jsonl

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


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) <= 80


def test_the_readmes_script_parses_and_uses_public_names():
    [script] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    imports = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.ImportFrom)]
    import clear_ir

    [ours] = [node for node in imports if node.module == "clear_ir"]
    assert all(hasattr(clear_ir, name.name) for name in ours.names)


def test_the_readmes_tree_names_every_module():
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "clear_ir").glob("*.py"):
        assert path.name == "__init__.py" or path.name in readme, path.name
