"""`torchrun ... clear-ir train`: several processes train what one trains with the same rows in each step."""

import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tiny import WORDS, make_training_rows

from clear_ir.data.output_files import write_jsonl
from clear_ir.train.processes import SHARDING

ONE = [sys.executable, "-m", "clear_ir"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
ON_ONE_MACHINE = [*TORCHRUN, "--standalone", "--nproc_per_node", "2"]
TWO = [*ON_ONE_MACHINE, "-m", "clear_ir"]
#: On a machine without GPUs, too: `accelerate launch --cpu` starts a single process.
FOUR = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "4"]
FOUR += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "clear_ir"]
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


def check_trained_alike(out, one, base, processes):
    """What several processes trained is what one trained."""
    assert log_of(out)[0] == log_of(one)[0], "an epoch has the same rows and batches"
    assert len(losses(one)) == 25
    assert losses(out) == pytest.approx(losses(one), rel=1e-4)
    moved = (weights(one) - weights(base)).norm()
    assert moved > 0.1, "nothing was trained, so the test shows nothing"
    assert (weights(out) - weights(one)).norm() < 1e-3 * moved
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert f"# {processes} processes: 8 rows per step\n" in (out / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("launcher", "processes", "cached"), [(TWO, 2, "--plain"), (TWO, 2, "--cached"), (FOUR, 4, "--cached")]
)
def test_several_processes_train_what_one_trains(tmp_path, tiny_folder, rows, by_one, launcher, processes, cached):
    done = train(launcher, tiny_folder, rows, tmp_path / "m", 8 // processes, cached)
    assert done.returncode == 0, done.stderr[-2000:]
    check_trained_alike(tmp_path / "m", by_one, tiny_folder, processes)
    assert done.stdout.count("An epoch: 5 batches of") == 1, "the first process speaks for all"


def on_two_machines(tmp_path, tiny_folder, rows, outs):
    """Two torchrun agents, each as on a machine of its own, and what they came to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(port)]
    agents = [
        subprocess.Popen(
            command([*TORCHRUN, *where, "--node_rank", str(rank), "-m", "clear_ir"], tiny_folder, rows[rank], out, 4),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, out in enumerate(outs)
    ]
    said = [agent.communicate(timeout=300) for agent in agents]
    return [agent.returncode for agent in agents], said


def test_two_machines_train_what_one_process_trains(tmp_path, tiny_folder, rows, by_one):
    codes, said = on_two_machines(tmp_path, tiny_folder, [rows, rows], [tmp_path / "m"] * 2)
    assert codes == [0, 0], said
    check_trained_alike(tmp_path / "m", by_one, tiny_folder, 2)
    assert "An epoch: 5 batches of" in said[0][0]
    assert said[1][0] == "", "the first process speaks for all machines"


@pytest.mark.parametrize("kind", ["other rows", "no shared disk"])
def test_machines_that_do_not_fit_together_are_refused(tmp_path, tiny_folder, rows, kind):
    write_jsonl(tmp_path / "other.jsonl", make_training_rows().records)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "m.partial").write_text("not seen as a folder")
    outs = [tmp_path / "m", tmp_path / ("disk/m" if kind == "no shared disk" else "m")]
    files = [rows, tmp_path / "other.jsonl" if kind == "other rows" else rows]
    codes, said = on_two_machines(tmp_path, tiny_folder, files, outs)
    assert codes == [1, 1]
    sentence = {"other rows": "clear-ir: The processes have other settings", "no shared disk": "clear-ir: Not all mach"}
    assert [stderr.count(sentence[kind]) for _, stderr in said] == [1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "other.jsonl"], "nothing is left"


def test_what_one_process_cannot_read_ends_all_with_one_sentence(tmp_path, tiny_folder, rows):
    # The second process looks for its rows elsewhere.
    (tmp_path / "elsewhere.py").write_text(
        "import os, sys\n"
        "from clear_ir.cli import main\n"
        "if os.environ['RANK'] == '1':\n"
        "    sys.argv[sys.argv.index('--rows') + 1] = 'gone.jsonl'\n"
        "main()\n"
    )
    done = train([*ON_ONE_MACHINE, tmp_path / "elsewhere.py"], tiny_folder, rows, tmp_path / "m", 4)
    assert done.returncode == 1
    assert done.stderr.count("gone.jsonl") == 1
    assert "clear-ir: gone.jsonl does not exist; check the path." in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere.py"]


def test_the_others_wait_for_the_first_longer_than_for_gradients(tmp_path):
    (tmp_path / "wait.py").write_text(
        "import sys, time\n"
        "from datetime import timedelta\n"
        "import torch.distributed as together\n"
        "from clear_ir.train.processes import first_does, leave_processes, num_processes\n"
        "together.init_process_group('gloo', timeout=timedelta(seconds=2))\n"
        "assert num_processes() == 2\n"
        "if sys.argv[1] == 'patiently':\n"
        "    assert first_does(lambda: time.sleep(5) or 7) == 7\n"
        "else:\n"
        "    time.sleep(5 * (1 - together.get_rank()))\n"
        "    together.barrier()\n"
        "leave_processes()\n"
    )

    def ends_well(how):
        run = [*ON_ONE_MACHINE, str(tmp_path / "wait.py"), how]
        return subprocess.run(run, env=environment(), capture_output=True, check=False, timeout=120).returncode == 0

    assert ends_well("patiently")
    assert not ends_well("as for gradients"), "nobody was waited for, so the test shows nothing"


def test_an_adapter_is_trained_by_two_as_by_one(tmp_path, tiny_folder, rows):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    flags = ["--lora-r", "4", "--max-steps", "10"]
    for name, launcher, batch_size in (("one", ONE, 8), ("two", TWO, 4)):
        done = train(launcher, tiny_folder, rows, tmp_path / name, batch_size, *flags)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    # These begin with 0, so they are what was learned.
    learned, again = (torch.cat([part[n].flatten() for n in sorted(part) if "lora_B" in n]) for part in (one, two))
    assert learned.norm() > 0.1
    assert (again - learned).norm() < 1e-3 * learned.norm()


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


@pytest.mark.parametrize(("variable", "name"), SHARDING.items())
def test_an_encoder_that_is_spread_over_processes_is_refused_with_a_way_out(
    tmp_path, tiny_folder, rows, run, monkeypatch, variable, name
):
    monkeypatch.setenv(variable, "true")
    code, _, said = run("train", "--model", tiny_folder, "--rows", rows, "--out", tmp_path / "m")
    assert code == 2
    assert f"does not spread an encoder over processes by {name}" in said
    assert "(--lora-r)" in said
    assert not list(tmp_path.iterdir())
