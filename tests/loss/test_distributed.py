"""Two processes that gather compute what one process computes over all rows, with two negatives a side."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from loss_batches import features_of, fixed_passages, make_texts, sharded_cases, value_and_gradient
from tiny import make_encoder

from clear_ir import CLEARLoss, used_vocabulary


def run_two(name, out):
    """What a worker writes that two processes run together."""
    make_encoder()  # so that both find its folder
    worker = Path(__file__).parent / name
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(worker)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, [worker.parent, worker.parents[1], os.environ.get("PYTHONPATH", "")])),
    }
    done = subprocess.run(
        [*command, str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def test_two_processes_with_gather_equal_one(tmp_path):
    texts = make_texts(2, rows=8)
    texts[2][6] = texts[1][1]
    texts[2][1] = texts[3][2] = texts[1][0]
    encoder = make_encoder()
    value, gradient = value_and_gradient(CLEARLoss(encoder, gamma=0.1), encoder, texts)
    found = run_two("gather_worker.py", tmp_path / "out.json")
    for name in ("plain", "cached"):
        assert found[name][0] == pytest.approx(value, rel=1e-10), name
        torch.testing.assert_close(torch.tensor(found[name][1], dtype=torch.float64), gradient, rtol=1e-7, atol=1e-9)
    for labels in ("fixed", "soft"):
        arguments = fixed_passages(encoder, texts, soft_labels=0.4 if labels == "soft" else 0.0)
        value, gradient = value_and_gradient(CLEARLoss(encoder, **arguments), encoder, texts)
        for name in (labels, f"{labels}-cached"):
            assert found[name][0] == pytest.approx(value, rel=1e-10), name
            of_two = torch.tensor(found[name][1], dtype=torch.float64)
            torch.testing.assert_close(of_two, gradient, rtol=1e-7, atol=1e-9)
    value, _ = value_and_gradient(CLEARLoss(encoder, gamma=0.1), encoder, texts)
    assert found["apart"][0] != pytest.approx(value, rel=1e-3), "gathering changed nothing, so the test shows nothing"
    sizes, steps = found["few"]
    assert sizes[0] == 1 < sizes[1], "both cut their batch, so the test shows nothing"
    assert steps == pytest.approx([steps[0]] * 3)
    assert steps[0] > 0


def test_weights_spread_by_fsdp2_learn_what_one_process_learns(tmp_path):
    found = run_two("sharded_worker.py", tmp_path / "out.json")
    for name, (texts, loss_class, options, used) in sharded_cases().items():
        encoder = make_encoder()
        columns = {str(number): column for number, column in enumerate(texts)}
        with used_vocabulary(encoder, columns) if used else nullcontext():
            value, gradient = value_and_gradient(loss_class(encoder, **options), encoder, texts)
        assert found[name][0] == pytest.approx(value, rel=1e-10), name
        torch.testing.assert_close(torch.tensor(found[name][1], dtype=torch.float64), gradient, rtol=1e-7, atol=1e-9)
    # The last case: the processes had other numbers of mini-batches.
    loss = loss_class(make_encoder(), **options)
    parts = [loss._pack(features_of(encoder, [column[begin : begin + 4] for column in texts])) for begin in (0, 4)]
    first, second = (len(loss._mini_batches(part.packed)[0]) for part in parts)
    assert first < second, "both cut their batch alike, so the test shows nothing"
