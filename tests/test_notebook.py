"""The notebook runs from top to bottom, and is kept without outputs."""

import re

import pytest
from scripts import ROOT

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

NOTEBOOK = ROOT / "examples" / "from_data_to_model.ipynb"


def test_it_trains_evaluates_and_draws(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are stripped in the repository"
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    scores = re.findall(r"(q-\w+\.p-\w+) ([\d.]+) -> ([\d.]+)", printed)
    assert {"q-en.p-en", "q-de.p-en"} <= {direction for direction, _, _ in scores}
    assert any(before != after for _, before, after in scores), "the training changed nothing"
    assert any("image/png" in output.get("data", {}) for output in outputs)
