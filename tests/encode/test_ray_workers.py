"""Encoding on workers of Ray: results equal those of one process, also when workers and machines die."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
from types import ModuleType

import numpy as np
import psutil
import pytest
import torch
from tiny import WORDS, make_encoder, quiet

pytest.importorskip("ray", reason="the extra ray is not installed")

from ray import cloudpickle
from ray_cluster import two_machines

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.encode import ray_workers
from clear_ir.encode.backends import InProcess
from clear_ir.encode.ray_workers import RayWorkers


@pytest.fixture(scope="module")
def machines():
    with two_machines() as started:
        yield started


@pytest.fixture
def workers(machines):
    return RayWorkers(batch_size=3, address=machines.address)


def make_texts(count):
    """Texts of one to nine words, all different."""
    return [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(i % 8 + 1)) + f" {i}" for i in range(count)]


def encode(model, backend, texts, side="query"):
    return quiet(model, backend=backend).encode(texts, side)


def test_vectors_equal_those_of_one_process_bit_for_bit(workers):
    model = make_encoder(double=False)
    model.prompts = {"query": "query: ", "document": ""}
    texts = make_texts(100)
    for side in ("query", "passage"):
        here = encode(model, InProcess(3), texts, side)
        assert np.array_equal(encode(model, workers, texts, side), here)
        assert not np.array_equal(encode(model, InProcess(100), texts, side), here), "batches do not matter"


def test_each_encoder_has_its_own_vectors(workers, encoder):
    """A worker keeps the encoder that it used last."""
    texts, other = make_texts(10), make_encoder(seed=1)
    for model in (encoder, other, encoder):
        assert np.array_equal(encode(model, workers, texts), encode(model, InProcess(3), texts))
    with torch.no_grad():
        next(encoder.parameters()).add_(0.5)
    assert np.array_equal(encode(encoder, workers, texts), encode(encoder, InProcess(3), texts))


def test_killed_workers_and_machines_change_nothing(machines, encoder):
    texts = make_texts(400)
    workers = RayWorkers(batch_size=1, address=machines.address)
    found = {}
    for done, ([text], [vector]) in enumerate(workers.encode(encoder, texts, "query", "fp32")):
        found[text] = vector
        if done == 50:
            machines.stop_in_batch(on_second=False).kill()
        if done == 120:
            machines.stop_in_batch(on_second=True)
            machines.kill_second()
        if done == 200:
            machines.add_second()
    expected = encode(encoder, InProcess(1), texts)
    assert len(found) == len(texts)
    assert np.array_equal(np.stack([found[text] for text in texts]), expected)


class Failing(torch.nn.Module):
    """A module of an encoder that fails in one of these ways."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def get_config_dict(self):
        return {"way": self.way}

    def forward(self, features):
        if self.way == "dies":
            os._exit(1)
        if self.way == "not finite":
            return features | {"sentence_embedding": features["sentence_embedding"] * float("nan")}
        raise InputError("The text is no good.") if self.way == "refuses" else ValueError("bad shape")


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("refuses", "^The text is no good.$"),
        ("breaks", "A worker of Ray failed: bad shape"),
        ("dies", "A batch was given up after 0 retries; if memory ran out, use a smaller batch size"),
        ("not finite", "no numbers .NaN or infinite. in fp32"),
    ],
)
def test_a_batch_that_fails_is_one_sentence(workers, encoder, monkeypatch, way, sentence):
    monkeypatch.setattr(ray_workers, "MAX_RETRIES", 0)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    encoder.append(Failing(way))
    with pytest.raises(InputError, match=sentence):
        encode(encoder, workers, make_texts(10))


def test_code_that_came_with_a_model_goes_to_the_workers(workers, encoder, monkeypatch):
    module = ModuleType("transformers_modules.flipped")
    code = "import torch\nclass Flipped(torch.nn.Module):\n    def forward(self, features):\n        "
    exec(code + "return features | {'sentence_embedding': -features['sentence_embedding']}", vars(module))
    for name, each in (("transformers_modules", ModuleType("transformers_modules")), (module.__name__, module)):
        monkeypatch.setitem(sys.modules, name, each)
    texts = make_texts(10)
    plain = encode(encoder, InProcess(3), texts)
    encoder.append(module.Flipped())
    assert np.array_equal(encode(encoder, workers, texts), -plain)


def test_an_encoder_that_cannot_be_sent(workers, encoder):
    encoder.append(Failing("breaks"))
    encoder[-1].lock = threading.Lock()
    with pytest.raises(InputError, match=r"The encoder cannot be sent to workers of Ray \(.*; encode without Ray"):
        encode(encoder, workers, make_texts(10))


@pytest.fixture
def rows(tmp_path):
    texts = make_texts(90)
    columns = ("query", "passage", "cross_query")
    rows = [dict(zip(columns, texts[i : i + 3], strict=True), lang="sw") for i in range(0, len(texts), 3)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    return tmp_path / "rows.jsonl"


def test_a_command_starts_ray_and_ends_it(run, tiny_folder, rows, tmp_path):
    """In a process of its own, with its own cache: nothing of Ray is left when it has ended."""
    command = ["mine", "--model", tiny_folder, "--rows", rows, "--num-negatives", 2, "--range-min", 1, "--no-cache"]
    assert run(*command, "--out", tmp_path / "here.jsonl")[0] == 0
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    environment |= {"STARTED_BY": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "clear_ir", *map(str, command), "--ray", "--out", tmp_path / "there.jsonl"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ray: " in done.stderr
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    assert not [process for process in psutil.process_iter() if started_by(process) == str(tmp_path)]


def started_by(process):
    try:
        return process.environ().get("STARTED_BY")
    except psutil.Error:
        return None


def test_no_cluster_at_the_address(run, tiny_folder, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"  # free again, as soon as this is closed
    flags = ["--ray", "--ray-address", address, "--no-cache", "--out", tmp_path / "out.jsonl"]
    code, _, err = run("mine", "--model", tiny_folder, "--rows", rows, *flags)
    assert code == 2
    assert f"Ray cannot be reached at {address}: [Errno 111] Connection refused (--ray-address)." in err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--ray-address", "auto"], "ray_address is only used together with ray"),
        (["--ray", "--precision", "auto"], "name a precision"),
    ],
)
def test_settings_that_do_not_fit_together(run, tiny_folder, rows, tmp_path, flags, sentence):
    code, _, err = run("mine", "--model", tiny_folder, "--rows", rows, "--out", tmp_path / "out.jsonl", *flags)
    assert code == 2
    assert sentence in err


def test_without_the_extra(run, tiny_folder, rows, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    code, _, err = run("mine", "--model", tiny_folder, "--rows", rows, "--out", tmp_path / "out.jsonl", "--ray")
    assert (code, err) == (2, "clear-ir: Ray is not installed; run: pip install 'clear-ir[ray]' (--ray).\n")
