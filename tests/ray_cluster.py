"""Two machines of a Ray cluster on this one, each a set of real processes, and ways to kill what runs on them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from ray.cluster_utils import Cluster

# Ray gives its workers the lowest priority. On a busy machine a test would wait for them.
os.environ.setdefault("RAY_worker_niceness", "0")
# Otherwise it depends on a file in the home folder whether a cluster asks for a token.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")


class TwoMachines:
    """A cluster of two machines with one core each. This process is on the first; the second can be killed."""

    def __init__(self) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.address: str = self.cluster.address
        self.add_second()

    def add_second(self) -> None:
        """Start the second machine."""
        self.second = self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()

    def workers(self) -> dict[psutil.Process, str]:
        """The workers of both machines, with the name that Ray gives each after the task that it runs."""
        return workers_of(self.cluster.head_node) | self.workers_of_second()

    def workers_of_second(self) -> dict[psutil.Process, str]:
        """The workers of the second machine."""
        return workers_of(self.second)

    def kill_second(self) -> None:
        """Kill all processes of the second machine."""
        for process in raylet_of(self.second).children(recursive=True):
            process.kill()
        self.cluster.remove_node(self.second, allow_graceful=False)

    def stop_in_batch(self, on_second: bool, patience: float = 60) -> psutil.Process:
        """Stop a worker in the middle of a batch, so that it cannot finish it before it is killed."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for worker in self.workers_of_second() if on_second else workers_of(self.cluster.head_node):
                with suppress(psutil.NoSuchProcess):
                    worker.suspend()
                    if worker.cmdline()[:1] == ["ray::_encode"]:
                        return worker
                    worker.resume()
            time.sleep(0.001)
        raise AssertionError("no worker was in the middle of a batch")


def raylet_of(machine: Any) -> psutil.Process:
    """The process of Ray that starts the workers of a machine."""
    return psutil.Process(machine.all_processes["raylet"][0].process.pid)


def workers_of(machine: Any) -> dict[psutil.Process, str]:
    """The workers of one machine, see `TwoMachines.workers`."""
    found = {}
    for process in raylet_of(machine).children():
        with suppress(psutil.NoSuchProcess):
            name = " ".join(process.cmdline()[:1])
            if name.startswith("ray::") and not name.endswith("Agent"):
                found[process] = name
    return found


@contextmanager
def two_machines() -> Iterator[TwoMachines]:
    """A cluster for tests. At the end this process leaves it, and it ends."""
    import ray

    machines = TwoMachines()
    try:
        yield machines
    finally:
        ray.shutdown()
        machines.cluster.shutdown()
