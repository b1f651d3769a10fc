"""Two machines of a Ray cluster on this one, each a set of real processes, and ways to kill what runs on them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from ray.cluster_utils import Cluster

# Ray gives its workers the lowest priority. On a busy machine a test would wait for them.
os.environ.setdefault("RAY_worker_niceness", "0")


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

    def kill_worker(self, on_second: bool = True, patience: float = 60) -> None:
        """Kill a worker in the middle of a batch."""
        self._stop_in_batch(on_second, patience).kill()

    def kill_second(self, patience: float = 60) -> None:
        """Kill all processes of the second machine while a worker there is in the middle of a batch."""
        worker = self._stop_in_batch(True, patience)
        for process in (*worker.parent().children(recursive=True), worker):
            process.kill()
        self.cluster.remove_node(self.second, allow_graceful=False)

    def _stop_in_batch(self, on_second: bool, patience: float) -> psutil.Process:
        """Stop a worker, so that it cannot finish its batch before it is killed."""
        machine = self.second if on_second else self.cluster.head_node
        raylet = psutil.Process(machine.all_processes["raylet"][0].process.pid)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for worker in raylet.children():
                with suppress(psutil.NoSuchProcess):
                    worker.suspend()
                    # Ray names a worker after the task that it runs.
                    if worker.cmdline()[:1] == ["ray::_encode"]:
                        return worker
                    worker.resume()
            time.sleep(0.001)
        raise AssertionError("no worker was in the middle of a batch")


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
