"""Helpers to run commands in a new process, to kill them, and to check how they refuse bad input."""

import os
import signal
import subprocess
import sys
import time


def refused(result, *parts):
    """Check for exit code 2 and one sentence that contains all parts."""
    code, _, err = result
    assert code == 2, err
    *bars, sentence = [line for line in err.splitlines() if line.strip()]
    assert sentence.startswith("clear-ir: ")
    assert all("it/s]" in bar or bar.startswith(("Translating (", "Writing questions (")) for bar in bars), err
    for part in parts:
        assert str(part) in sentence


def train_command(model, rows, out, flags):
    """The arguments of subprocess.run for a `clear-ir train` in a new process."""
    code = "from clear_ir.cli.app import main; main()"
    arguments = ["train", "--model", str(model), "--rows", str(rows), "--out", str(out), *flags.split()]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    return {"args": [sys.executable, "-c", code, *arguments], "env": environment}


def kill_at(command, file):
    """Start a command and kill it as soon as a file exists."""
    process = subprocess.Popen(**command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not file.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
