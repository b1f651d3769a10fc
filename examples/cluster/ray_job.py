"""prepare -> mine -> train -> evaluate on the machines of a Ray cluster, which all see the folder of --out.

    ray job submit --address http://HEAD:8265 --working-dir . -- \
        python ray_job.py --rows /shared/faq.csv --model BAAI/bge-m3 --out /shared/run --machines 2 --gpus 4

Without the job server, run the line from `python` on, with RAY_ADDRESS, on a machine of the cluster. Flags that are not
listed below go to `clear-ir train`. Encoding uses all machines; torchrun is started once on each of `--machines`.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from pathlib import Path

import ray
from ray.util import get_node_ip_address, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

CLEAR_IR = [sys.executable, "-m", "clear_ir"]


def clear_ir(*words: object) -> None:
    subprocess.run([*CLEAR_IR, *map(str, words)], check=True)


def meeting_point() -> tuple[str, int]:
    """Address and free port of the machine that this runs on."""
    with socket.create_server(("", 0)) as server:
        return get_node_ip_address(), server.getsockname()[1]


def torchrun(words: list[str], first: tuple[str, int], machines: int, rank: int, processes: int) -> None:
    """Train on this machine, together with the others, which meet at the first."""
    flags = [f"--nnodes={machines}", f"--node-rank={rank}", f"--nproc-per-node={processes}"]
    flags += [f"--master-addr={first[0]}", f"--master-port={first[1]}"]
    subprocess.run([sys.executable, "-m", "torch.distributed.run", *flags, *words], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", required=True, help="own rows, see clear-ir prepare rows --help")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder that all machines see")
    parser.add_argument("--machines", type=int, default=2, help="machines to train on")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each; 0 trains on its cores")
    given, train_flags = parser.parse_known_args()
    data, mined, model = given.out / "data", given.out / "train.jsonl", given.out / "model"
    encode = ("--model", given.model, "--ray")

    clear_ir("prepare", "rows", "--rows", given.rows, "--out", data)
    clear_ir("mine", *encode, "--rows", data / "rows.jsonl", "--out", mined)

    ray.init(log_to_driver=True)
    group = placement_group([{"CPU": 1, "GPU": given.gpus}] * given.machines, strategy="STRICT_SPREAD")
    ray.get(group.ready())
    # One task for each machine. If one fails, so does the job, and --resume as one more flag goes on from there.
    tasks = [
        {"num_cpus": 1, "num_gpus": given.gpus, "max_retries": 0, "scheduling_strategy": strategy}
        for strategy in (PlacementGroupSchedulingStrategy(group, index) for index in range(given.machines))
    ]
    first = ray.get(ray.remote(**tasks[0])(meeting_point).remote())
    words = ["-m", "clear_ir", "train", "--model", given.model, "--rows", str(mined), "--out", str(model), *train_flags]
    started = [
        ray.remote(**task)(torchrun).remote(words, first, given.machines, rank, given.gpus or 1)
        for rank, task in enumerate(tasks)
    ]
    ray.get(started)
    ray.shutdown()  # the machines are free for encoding

    clear_ir("evaluate", "--model", model, "--ray", "--data", data / "collection", "--out", given.out / "results")


if __name__ == "__main__":
    main()
