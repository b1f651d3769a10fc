"""Kill workers and machines of Ray, and the command that uses them, at random moments; compare what it makes.

    python tests/ray_soak.py --kills 20

`clear-ir mine --ray` encodes on a cluster of two machines, each a set of processes here. A kill is SIGKILL, at a moment
drawn uniformly over the time that the command takes undisturbed: to a worker; to all processes of the second machine,
which another one replaces within two seconds; or to the command, which is then started again. After some of the latter
the end of a file of its cache is cut off. At the end the training rows must be those of one process without Ray, byte
for byte. The results are in benchmarks/results/ray-kills.json, written after each run; a soak that was stopped goes on
from there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from ray_cluster import TwoMachines
from soak import run_command

from clear_ir.data.output_files import write_json, write_jsonl

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "ray-kills.json"
PRELOAD = "torch ray clear_ir.cli.app clear_ir.encode.text_encoder clear_ir.mine.hard_negatives clear_ir.recipes.recipe"
#: How often each is drawn.
KINDS = {"worker": 2, "machine": 2, "command": 1}
NUM_ROWS = 1000


@dataclass
class Tally:
    """What happened so far."""

    seed: int
    episodes: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    #: Killed workers that were in the middle of a batch, and how often a killed machine had one.
    in_a_batch: Counter[str] = field(default_factory=Counter)
    damaged_files: int = 0
    #: Episodes that ended with the rows of one process.
    equal: int = 0


def run_saving_often(arguments: list[str], log: Path) -> None:
    """Run a command that writes to its cache several times a second, so that a kill leaves something there."""
    from clear_ir.encode import text_encoder

    text_encoder.SAVE_INTERVAL = 0.2
    run_command(arguments, log)


class RaySoak:
    """Runs the command, calmly or not.

    Args:
        folder: An empty folder for everything.
        machines: The cluster.
    """

    def __init__(self, folder: Path, machines: TwoMachines) -> None:
        self.folder, self.machines, self.log = folder, machines, folder / "log.txt"
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOAD.split())

    def start(self, out: Path, cache: Path, use_ray: bool = True) -> multiprocessing.Process:
        """Start the command in a process of its own."""
        words = f"mine --model {self.folder}/tiny --rows {self.folder}/rows.jsonl --out {out} --cache {cache}"
        words += " --batch-size 4 --query-side target" + f" --ray --ray-address {self.machines.address}" * use_ray
        process = self.context.Process(target=run_saving_often, args=(words.split(), self.log))
        process.start()
        return process

    def finish(self, process: multiprocessing.Process) -> None:
        """Wait until the command has succeeded."""
        process.join()
        said = self.log.read_text(errors="replace")
        assert process.exitcode == 0, said
        assert "Traceback" not in said, said

    def prepare(self) -> None:
        """Make the inputs and the rows of one process, and time an undisturbed run on the cluster."""
        from tiny import WORDS, make_encoder

        make_encoder(double=False).save_pretrained(str(self.folder / "tiny"), create_model_card=False)
        draw = random.Random(0)
        columns = ("query", "passage", "cross_query")
        rows = [{c: " ".join(draw.choices(WORDS, k=6)) for c in columns} | {"lang": "sw"} for _ in range(NUM_ROWS)]
        write_jsonl(self.folder / "rows.jsonl", rows)
        self.finish(self.start(self.folder / "expected.jsonl", self.folder / "calm", use_ray=False))
        begin = time.perf_counter()
        self.finish(self.start(self.folder / "there.jsonl", self.folder / "there"))
        self.seconds = time.perf_counter() - begin
        self.expected = (self.folder / "expected.jsonl").read_bytes()
        assert (self.folder / "there.jsonl").read_bytes() == self.expected

    def episode(self, tally: Tally, max_kills: int) -> None:
        """Kill up to five times while the command runs, starting it again if it was killed; look at what it made."""
        draw = random.Random(f"{tally.seed} {tally.episodes}")
        folder = self.folder / f"episode-{tally.episodes}"
        folder.mkdir()
        command = self.start(folder / "out.jsonl", folder / "cache")
        for _ in range(min(max_kills, draw.randint(1, 5))):
            command.join(draw.uniform(0, self.seconds))
            if not command.is_alive():
                break
            [kind] = draw.choices(list(KINDS), KINDS.values())
            if self.kill(kind, command, draw, tally):
                tally.kills[kind] += 1
            if kind == "command":
                tally.damaged_files += draw.random() < 0.5 and damage_one(folder / "cache", draw)
                command = self.start(folder / "out.jsonl", folder / "cache")
        self.finish(command)
        assert (folder / "out.jsonl").read_bytes() == self.expected, "other rows than those of one process"
        tally.equal += 1
        shutil.rmtree(folder)

    def kill(self, kind: str, command: multiprocessing.Process, draw: random.Random, tally: Tally) -> bool:
        """Kill something; whether there was such a thing."""
        if kind == "command":
            command.kill()
            command.join()
            return True
        if kind == "machine":
            tally.in_a_batch[kind] += "ray::_encode" in self.machines.workers_of_second().values()
            self.machines.kill_second()
            time.sleep(draw.uniform(0, 2))
            self.machines.add_second()
            return True
        while not (workers := self.machines.workers()):  # they come some seconds after the command
            if not command.is_alive():
                return False
        worker = draw.choice(sorted(workers, key=lambda each: each.pid))
        tally.in_a_batch[kind] += workers[worker] == "ray::_encode"
        worker.kill()
        return True


def damage_one(cache: Path, draw: random.Random) -> bool:
    """Cut off the end of one file of the cache; whether there is a file."""
    files = sorted(cache.rglob("*.safetensors"))
    if files:
        os.truncate(chosen := draw.choice(files), chosen.stat().st_size - 10)
    return bool(files)


def main() -> None:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    tally = Tally(given.seed)
    if given.out.exists() and (saved := json.loads(given.out.read_text())["soak"])["seed"] == given.seed:
        tally = Tally(**{key: Counter(value) if isinstance(value, dict) else value for key, value in saved.items()})
    machines = TwoMachines()
    try:
        with TemporaryDirectory() as place:
            os.environ |= {"CLEAR_IR_TEST_TMP": place, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
            runs = RaySoak(Path(place), machines)
            runs.prepare()
            while (left := given.kills - tally.kills.total()) > 0:
                runs.episode(tally, left)
                tally.episodes += 1
                print(f"{tally.kills.total()} kills in {tally.episodes} episodes", flush=True)
                versions = {name: version(name) for name in ("clear-ir", "ray", "torch")}
                write_json(given.out, {"versions": versions, "soak": vars(tally)})
    finally:
        machines.cluster.shutdown()


if __name__ == "__main__":
    main()
