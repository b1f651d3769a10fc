"""Commands run as processes of their own, killed, and refused."""

import os
import signal
import subprocess
import sys
import time


def refused(result, *parts):
    """Exit code 2 and one sentence that holds all parts."""
    code, _, err = result
    assert code == 2, err
    *bars, sentence = [line for line in err.splitlines() if line.strip()]
    assert sentence.startswith("clear-ir: ")
    assert all("it/s]" in bar for bar in bars), err
    for part in parts:
        assert str(part) in sentence


def train_command(model, rows, out, flags):
    """A run of its own process."""
    code = "from clear_ir.cli.app import main; main()"
    arguments = ["train", "--model", str(model), "--rows", str(rows), "--out", str(out), *flags.split()]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    return {"args": [sys.executable, "-c", code, *arguments], "env": environment}


def kill_at(command, made):
    """Start a command and kill it as soon as it has made a file."""
    process = subprocess.Popen(**command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not made.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
