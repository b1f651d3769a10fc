"""The examples for a cluster, on two machines that are processes here, with a tiny encoder and few rows."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import WORDS

pytest.importorskip("ray", reason="the extra ray is not installed")

from ray_cluster import two_machines

from clear_ir.data.output_files import write_jsonl

CLUSTER = Path(__file__).resolve().parent.parent / "examples" / "cluster"
TRAIN_FLAGS = "--max-steps 2 --batch-size 4 --precision fp32 --dev-share 0".split()

#: `srun` of a job of two machines: the command runs twice at the same time, as it would on each of them.
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
trap 'kill $(jobs -p)' TERM
for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@" & started+=($!); done
for each in "${started[@]}"; do wait "$each" || failed=1; done
exit ${failed:-0}
"""


@pytest.fixture
def given(tmp_path):
    """Arguments of the examples: rows, model and a folder for what they make."""
    columns = ("query", "passage", "cross_query")
    texts = [f"{WORDS[i % len(WORDS)]} {WORDS[i * i % 31]} {WORDS[i // 7]} {i}" for i in range(300)]
    rows = [dict(zip(columns, texts[i : i + 3], strict=True), lang="sw") for i in range(0, 300, 3)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    return tmp_path


def environment(folder, **more):
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.pathsep.join([str(folder / "bin"), *places]),
        "CLEAR_IR_CACHE": str(folder / "cache"), "PYTHONWARNINGS": "ignore", **more,
    }  # fmt: skip


def check(done, out):
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    results = json.loads((out / "results" / "results.json").read_text())
    assert "q-sw.p-en" in json.dumps(results)
    connected = [line for line in done.stderr.splitlines() if line.startswith("ray: ")]
    assert len(connected) == 2  # mining, evaluation
    assert connected[-1].endswith("machines: 2")


def test_ray_job(given, tiny_folder):
    with two_machines() as machines:
        done = subprocess.run(
            [sys.executable, CLUSTER / "ray_job.py", "--rows", given / "rows.jsonl", "--model", tiny_folder,
             "--out", given / "run", *TRAIN_FLAGS],
            env=environment(given, RAY_ADDRESS=machines.address), capture_output=True, text=True, check=False,
        )  # fmt: skip
    check(done, given / "run")


def test_slurm_script(given, tiny_folder):
    """With stand-ins for srun and scontrol: what Slurm itself does is not tested."""
    (given / "bin").mkdir()
    for name, script in (("srun", SRUN), ("scontrol", "#!/bin/sh\nhostname -i | cut -d' ' -f1\n")):
        (given / "bin" / name).write_text(script)
        (given / "bin" / name).chmod(0o755)
    with socket.create_server(("", 0)) as ray, socket.create_server(("", 0)) as train:
        ports = {"RAY_PORT": str(ray.getsockname()[1]), "TRAIN_PORT": str(train.getsockname()[1])}
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "m[0-1]", "SLURM_JOB_NUM_NODES": "2", **ports}
    inputs = {"ROWS": str(given / "rows.jsonl"), "MODEL": str(tiny_folder), "OUT": str(given / "run")}
    done = subprocess.run(
        ["bash", CLUSTER / "slurm.sh", *TRAIN_FLAGS],
        env=environment(given, **job, **inputs), cwd=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    check(done, given / "run")
