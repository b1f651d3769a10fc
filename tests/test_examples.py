"""The examples run, at a tiny size, and the README's script is the example's."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
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


def test_the_scripts_in_the_readme(tmp_path, monkeypatch, tiny_folder, run):
    """They stand as they are, but for the encoder: a tiny one in place of bge-m3, and of the model that is used."""
    page = (ROOT / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [
        {name: row[name] for name in ("anchor", "positive", "cross_anchor")} for row in make_training_rows(80).records
    ]
    write_jsonl(tmp_path / "mine.jsonl", rows)
    assert run("prepare", "rows", "--rows", "mine.jsonl", "--lang", "sw", "--dev-share", "0.1", "--out", "data")[0] == 0
    window = ("--num-negatives", "1", "--range-min", "2", "--range-max", "9")
    assert (
        run("mine", "--model", tiny_folder, "--rows", "data/rows.jsonl", "--out", "data/train.jsonl", *window)[0] == 0
    )
    shutil.copytree(tiny_folder, tmp_path / "models" / "sw")
    train, use = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)

    names: dict = {}
    assert train.count('"BAAI/bge-m3"') == 1
    exec(train.replace('"BAAI/bge-m3"', repr(str(tiny_folder))), names)
    log = names["trainer"].state.log_history
    assert all(np.isfinite(entry["clear/reverse"]) for entry in log if "loss" in entry)
    assert sum("eval_q-sw.p-en_nDCG@10" in entry for entry in log) == 2  # of two steps
    before, after = (SentenceTransformer(str(folder)) for folder in (tiny_folder, tmp_path / "models" / "bge-m3-sw"))
    assert not np.allclose(before.encode_query(["river"]), after.encode_query(["river"]), atol=1e-5)
    assert np.allclose(names["model"].encode_query(["river"]), after.encode_query(["river"]), atol=1e-6)
    exec(use, names)
    assert names["model"].similarity(names["query"], names["passages"]).shape == (1, 2)


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
