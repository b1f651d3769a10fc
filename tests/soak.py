"""Kill commands at random moments, restart them as a user would, and compare their files with those of calm runs.

    python tests/soak.py --kills 100 --inputs 200

Each command runs on a tiny encoder in a process of its own, forked from one that has loaded the libraries: loading
writes nothing, so no kill is wasted on it. Each kill is SIGKILL, at a moment drawn uniformly over the time that the
command takes undisturbed. Then the same command runs again, with `--resume` where the message says so. It may be
killed again. In half of the episodes an earlier output is replaced. After that each reader gets damaged inputs, see
bad_inputs.py. The results are in benchmarks/results/reliability.json, written after each episode and each reader; a run
that was stopped continues from there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from clear_ir.data.output_files import write_json, write_jsonl

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "reliability.json"
#: What a command's process would load in its first seconds.
PRELOAD = """
torch datasets transformers.trainer sentence_transformers.sentence_transformer.trainer matplotlib.pyplot jinja2
clear_ir.align.alignment clear_ir.cli.app clear_ir.evaluate.evaluation clear_ir.merge.interpolation
clear_ir.mine.hard_negatives clear_ir.recipes.recipe clear_ir.report.page clear_ir.train.run clear_ir.prepare.jsonl
""".split()
#: Durations and speeds: they differ between any two runs. Everything else must be equal, byte for byte.
TIMES = re.compile(
    rb'"(evaluation_time|(train|eval)_(runtime|\w+_per_second))": [\d.e-]+'  # results.json, train_log.jsonl
)
#: Leave a stage alone with this probability, so that it can finish.
CALM = 0.3

COMMANDS = {
    "prepare": "prepare jsonl --rows {data}/own.jsonl",
    "mine": "mine --model {data}/tiny --rows {calm}/prepare/rows.jsonl --num-negatives 2 --range-min 1 --cache {cache}",
    "align": "align --model {data}/tiny --rows {calm}/prepare/rows.jsonl --method project --cache {cache}",
    "train": "train --model {data}/tiny --rows {calm}/mine.jsonl --batch-size 8 --max-steps 40 --set eval_steps=10 "
    "--set distil_steps=3 --precision fp32 --learning-rate 1e-3",
    "evaluate": "evaluate --model {calm}/train --data {calm}/prepare/collection --cache {cache}",
    "merge": "merge {data}/tiny {calm}/train --data {calm}/prepare/collection --weights 0.3,0.6 --cache {cache}",
    "report": "report {calm}/base {calm}/evaluate",
}


@dataclass
class Tally:
    """What happened so far."""

    seed: int
    episodes: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    #: Kills while there was an earlier output to replace, and how many of them had just moved it away.
    replacing: int = 0
    moved_away: int = 0
    finished: Counter[str] = field(default_factory=Counter)


def run_command(arguments: list[str], log: Path) -> None:
    """Run a command in this process; what it prints goes to a file."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["clear-ir", *arguments]
    from clear_ir.cli.app import main

    main()


class Soak:
    """Runs commands, calmly or not.

    Args:
        folder: An empty folder for everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.calm = folder, folder / "calm"
        self.log = folder / "log.txt"
        self.seconds: dict[str, float] = {}
        os.environ |= {
            "CLEAR_IR_TEST_TMP": str(folder), "CLEAR_IR_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOAD)

    def arguments(self, name: str, out: Path, flags: str = "") -> list[str]:
        """The arguments of a command."""
        places = {"data": self.folder, "calm": self.calm, "cache": self.folder / "cache"}
        return [*COMMANDS[name].format(**places).split(), "--out", str(out), *flags.split()]

    def start(self, arguments: list[str], kill_after: float | None = None) -> int:
        """Run a command to its end, or kill it; gives the exit code, -9 if it was killed."""
        process = self.context.Process(target=run_command, args=(arguments, self.log))
        process.start()
        process.join(kill_after)
        if process.is_alive():
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode

    def prepare(self) -> None:
        """Make the inputs, run each command undisturbed, and an earlier output of each that can be replaced."""
        from tiny import WORDS, make_encoder

        def text(i: int, k: int) -> str:
            return " ".join(WORDS[(i * 7 + k * 3 + j * (i % 5 + 1)) % len(WORDS)] for j in range(5))

        make_encoder(double=False).save_pretrained(str(self.folder / "tiny"), create_model_card=False)
        rows = [
            {"query": text(i, 0), "passage": text(i, 1), "cross_query": text(i, 2), "lang": "sw"} for i in range(120)
        ]
        write_jsonl(self.folder / "own.jsonl", rows)
        for name in COMMANDS:
            if name == "evaluate":
                base = [*self.arguments(name, self.calm / "base")]
                base[base.index("--model") + 1] = str(self.folder / "tiny")
                self.expect_success(base)
            self.expect_success(self.arguments(name, self.expected(name)))
            start = time.perf_counter()
            self.expect_success(self.arguments(name, self.folder / "twice" / self.expected(name).name))
            self.seconds[name] = time.perf_counter() - start
            differing = differences(self.expected(name), self.folder / "twice" / self.expected(name).name)
            assert not differing, f"{name} gives other files in each calm run: {differing}"

    def expect_success(self, arguments: list[str]) -> None:
        """Run a command that must succeed."""
        code = self.start(arguments)
        assert code == 0, f"{arguments}: {code}\n{self.log.read_text()}"

    def expected(self, name: str) -> Path:
        """What a command made undisturbed."""
        return self.calm / ("mine.jsonl" if name == "mine" else name)

    def earlier(self, name: str, out: Path) -> None:
        """Put an earlier output where a command will write: that of a calm run, with one more file or line."""
        if (self.expected(name)).is_dir():
            shutil.copytree(self.expected(name), out)
            (out / "earlier.txt").write_text("x")
        else:
            out.write_bytes((self.expected(name)).read_bytes() + b"\n")

    def episode(self, name: str, tally: Tally, max_kills: int) -> None:
        """Kill a command, restart it, and so on, until it finishes; then look at what it made."""
        draw = random.Random(f"{tally.seed} {tally.episodes}")
        folder = self.folder / f"episode {tally.episodes}"
        folder.mkdir()
        out, flags = folder / "out", set()
        if replaces := draw.random() < 0.5:
            self.earlier(name, out)
            self.earlier(name, folder / "earlier")
            flags.add("--overwrite")
        kills = 0
        while True:
            calm = kills == max_kills or draw.random() < CALM
            code = self.start(
                self.arguments(name, out, " ".join(sorted(flags))),
                None if calm else draw.uniform(0, self.seconds[name]),
            )
            said = self.log.read_text(errors="replace")
            assert "Traceback" not in said, said
            if code == -9:
                kills += 1
                tally.kills[name] += 1
                tally.replacing += replaces
                tally.moved_away += replaces and not out.exists()
                assert not out.exists() or self.is_whole(name, out, folder / "earlier"), f"{out} is half-written"
                if name == "train" and draw.random() < 0.7:
                    flags.add("--resume")
                continue
            tally.restarts[name] += kills > 0
            if code == 0:
                tally.resumed += "--resume" in flags
                break
            assert code == 2, said
            if "no interrupted run" in said:
                flags.discard("--resume")
            elif "--resume" in said:
                flags.add("--resume")
            else:  # it was killed after its last step: nothing is left to do
                ways = ("already holds results", "exists; give another path", "is finished, so there is nothing")
                assert any(way in said for way in ways), said
                break
        assert not (found := differences(self.expected(name), out)), f"{name} left other files: {found}"
        left = {path.name for path in folder.iterdir()} - {"out", "earlier"}
        # The folder of a finished run, if the kill came just before it was removed. The next run removes it.
        beside = {"train": {"out.partial"}, "mine": {"out.mining.json"}}
        assert left <= beside.get(name, set()), f"{name} left {left}"
        if name == "mine":
            assert not differences(self.calm / "mine.mining.json", folder / "out.mining.json")
        tally.finished[name] += 1
        shutil.rmtree(folder)

    def is_whole(self, name: str, out: Path, earlier: Path) -> bool:
        """Whether an output is the new one or the earlier one."""
        return not differences(self.expected(name), out) or (earlier.exists() and not differences(earlier, out))


def differences(expected: Path, found: Path) -> list[str]:
    """The files that differ in more than times."""
    one, other = contents(expected), contents(found)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def contents(path: Path) -> dict[str, bytes]:
    """The files of an output by their name, without times."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return {str(file.relative_to(path)): TIMES.sub(b"", file.read_bytes()) for file in files}


def soak(kills: int, tally: Tally, folder: Path, save: Any = lambda tally: None) -> Tally:
    """Run episodes until there were so many kills, the commands in turn."""
    with patch.dict(os.environ):
        runs = Soak(folder)
        runs.prepare()
        names = list(COMMANDS)
        while (left := kills - tally.kills.total()) > 0:
            runs.episode(names[tally.episodes % len(names)], tally, min(left, 4))
            tally.episodes += 1
            save(tally)
            print(f"{tally.kills.total()} kills in {tally.episodes} episodes", flush=True)
    return tally


def main() -> None:
    """Run, or continue, the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--inputs", type=int, default=200, help="damaged inputs for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    document = json.loads(given.out.read_text()) if given.out.exists() else {}
    tally = Tally(given.seed)
    if document.get("soak", {}).get("seed") == given.seed:
        saved = document["soak"]
        tally = Tally(**{key: Counter(value) if isinstance(value, dict) else value for key, value in saved.items()})

    document["versions"] = {
        name: version(name) for name in ("clear-ir", "hypothesis", "sentence-transformers", "torch")
    }

    def save(tally: Tally) -> None:
        document["soak"] = vars(tally)
        write_json(given.out, document)

    with TemporaryDirectory() as folder:
        soak(given.kills, tally, Path(folder), save)
    damage_inputs(given.inputs, document, given.out)


def damage_inputs(count: int, document: dict[str, Any], out: Path) -> None:
    """Give each reader so many damaged inputs, and add what came of them to the results."""
    from bad_inputs import READERS, check_reader, make_shared

    for name in READERS:
        done = document.setdefault("bad_inputs", {})
        if sum(done.get(name, {}).values()) == count:
            continue
        with TemporaryDirectory() as place:
            shared, folder = Path(place) / "shared", Path(place) / "inputs"
            os.environ["CLEAR_IR_TEST_TMP"] = place
            shared.mkdir()
            folder.mkdir()
            make_shared(shared)
            done[name] = dict(check_reader(name, shared, folder, count))
        write_json(out, document)
        print(f"{name}: {done[name]}", flush=True)


if __name__ == "__main__":
    main()
