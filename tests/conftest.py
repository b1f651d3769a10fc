"""Fixtures of all tests: a tiny encoder built in code, the folder of the real data, a way to run commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The tiny encoders are slower with several threads, which wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from tiny import make_encoder

#: Real data sets for a few tests. Without this folder they are skipped.
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _tiny_model_folder(tmp_path_factory):
    os.environ["CLEAR_IR_TEST_TMP"] = str(tmp_path_factory.mktemp("tiny"))
    os.environ["CLEAR_IR_CACHE"] = str(tmp_path_factory.mktemp("embeddings"))  # not the user's cache


@pytest.fixture
def encoder():
    return make_encoder()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """The tiny encoder as a model folder in float32."""
    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    make_encoder(double=False).save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"there are no real data in {DATA}")
    return DATA


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium. It lives as long as a module: asyncio does not run beside it."""
    from benchmarks.browser import find_chromium, open_browser

    if not find_chromium():
        pytest.skip("there is no Chromium on this machine to open the page in")
    with open_browser() as started:
        yield started


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs a command in this process and returns exit code, standard output and standard error."""
    from clear_ir.cli.app import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["clear-ir", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call
