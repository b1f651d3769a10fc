"""`torchrun ... clear-ir train`: two processes train what one trains with the same rows in each step."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tiny import WORDS, make_training_rows

from clear_ir.data.output_files import write_jsonl

ONE = [sys.executable, "-m", "clear_ir"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "clear_ir"]
# Five epochs of five steps, with batches that differ from epoch to epoch.
FLAGS = "--epochs 5 --learning-rate 1e-3 --precision fp32 --dev-share 0 --set eval_steps=3"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    records = make_training_rows().records
    # Rows that share passages, and a second language: what a batch may hold is not trivial.
    for i, record in enumerate(records):
        record["lang"] = "sw" if i % 4 else "de"
        record["positive"] = records[i - i % 2]["positive"]
    write_jsonl(path, records)
    return path


def command(launcher, tiny_folder, rows, out, batch_size, *more):
    arguments = ["train", "--model", tiny_folder, "--rows", rows, "--out", out, "--loss", "clear"]
    return [*launcher, *map(str, arguments), "--batch-size", str(batch_size), *FLAGS.split(), *more]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def train(*arguments):
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


def log_of(out):
    return [json.loads(line) for line in (out / "train_log.jsonl").read_text().splitlines()]


def losses(out):
    return [entry["loss"] for entry in log_of(out) if "loss" in entry]


def weights(out):
    return torch.cat([value.flatten() for _, value in sorted(load_file(out / "model.safetensors").items())])


@pytest.fixture(scope="module")
def by_one(tmp_path_factory, tiny_folder, rows):
    out = tmp_path_factory.mktemp("one") / "m"
    done = train(ONE, tiny_folder, rows, out, 8)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.parametrize("cached", ["--plain", "--cached"])
def test_two_processes_train_what_one_trains(tmp_path, tiny_folder, rows, by_one, cached):
    done = train(TWO, tiny_folder, rows, tmp_path / "m", 4, cached)
    assert done.returncode == 0, done.stderr[-2000:]
    plan, expected = log_of(tmp_path / "m")[0], log_of(by_one)[0]
    assert plan == expected, "an epoch has the same rows and batches"
    assert len(losses(by_one)) == 25
    assert losses(tmp_path / "m") == pytest.approx(losses(by_one), rel=1e-4)
    base = weights(tiny_folder)
    moved = (weights(by_one) - base).norm()
    assert moved > 0.1, "nothing was trained, so the test shows nothing"
    assert (weights(tmp_path / "m") - weights(by_one)).norm() < 1e-3 * moved
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    assert done.stdout.count("An epoch: 5 batches of") == 1, "the first process speaks for both"
    assert "# 2 processes: 8 rows per step\n" in (tmp_path / "m" / "recipe.yaml").read_text()


def test_killed_in_a_later_epoch_two_processes_go_on_with_its_batches(tmp_path, tiny_folder, rows, by_one):
    out = tmp_path / "m"
    process = subprocess.Popen(
        command(TWO, tiny_folder, rows, out, 4),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 200
    while not (tmp_path / "m.partial/checkpoints/checkpoint-12/trainer_state.json").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.005)
    workers = psutil.Process(process.pid).children(recursive=True)
    for victim in [psutil.Process(process.pid), *workers]:
        victim.kill()
    psutil.wait_procs(workers)
    process.wait()
    done = train(TWO, tiny_folder, rows, out, 4, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(out) == pytest.approx(losses(by_one), rel=1e-4)
    assert (weights(out) - weights(by_one)).norm() < 1e-3 * (weights(by_one) - weights(tiny_folder)).norm()


def test_what_the_first_process_refuses_all_refuse_and_one_says(tmp_path, tiny_folder, rows):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("mine")
    done = train(TWO, tiny_folder, rows, tmp_path / "m", 4)
    assert done.returncode != 0
    assert done.stderr.count("holds files that this command did not make") == 1
    assert "exitcode  : 2" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_a_batch_fits_the_rows_of_all_processes(tmp_path, tiny_folder):
    records = make_training_rows().records
    for i, record in enumerate(records):
        record["positive"] = records[i % 7]["positive"]
    write_jsonl(tmp_path / "rows.jsonl", records)
    done = train(TWO, tiny_folder, tmp_path / "rows.jsonl", tmp_path / "m", 64, "--max-steps", "4")
    assert done.returncode == 0, done.stderr[-2000:]
    said = "40 rows (distinct passages: 7) are left for training, by 2 processes: batch_size 64 -> 3."
    assert done.stderr.count(said) == 1
    assert len(losses(tmp_path / "m")) == 4


def test_two_processes_train_the_queries_alone_as_one_does(tmp_path, tiny_folder, rows):
    write_jsonl(tmp_path / "corpus.jsonl", [{"text": f"{word} of the moon"} for word in WORDS])
    flags = ["--side", "queries", "--distil", "1", "--candidates", "30", "--corpus", str(tmp_path / "corpus.jsonl")]
    for name, launcher, batch_size in (("one", ONE, 8), ("two", TWO, 4)):
        done = train(launcher, tiny_folder, rows, tmp_path / name, batch_size, *flags)
        assert done.returncode == 0, done.stderr[-2000:]
    assert len(losses(tmp_path / "one")) == 25
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    one, two = (weights(tmp_path / name / "query_0_Transformer") for name in ("one", "two"))
    moved = (one - weights(tiny_folder)).norm()
    assert moved > 0.1, "nothing was trained, so the test shows nothing"
    assert (two - one).norm() < 1e-3 * moved
    passages = weights(tmp_path / "two" / "document_0_Transformer")
    assert torch.equal(passages, weights(tiny_folder))
