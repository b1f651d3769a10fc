"""Kill `clear-ir translate` at random moments, restart it, and compare what it asks for and what it makes.

    python tests/translation_soak.py --kills 100

It translates by a command, which writes down every line that it gets, and by a tiny model. Each kill is SIGKILL, at a
moment drawn uniformly over the time that the command takes undisturbed. After each kill the translations on disk are
listed: none of them may be asked for again. At the end the files must be those of a run that was not killed, byte for
byte. The results are in benchmarks/results/translation-kills.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from soak import run_command

from clear_ir.data.output_files import write_json, write_jsonl
from clear_ir.translate.store import STORE_FILE, Target

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "translation-kills.json"
PRELOAD = """
torch transformers clear_ir.cli.app clear_ir.cli.translate clear_ir.recipes.recipe clear_ir.translate.seq2seq
clear_ir.translate.english_rows clear_ir.translate.output clear_ir.translate.samples clear_ir.translate.judges
transformers.models.marian.modeling_marian transformers.models.marian.tokenization_marian
""".split()
LANGS = ("de", "sw")
WAYS = {
    "command": "--command '{python} {folder}/upper.py' --batch-size 4",
    "model": "--model {folder}/model --batch-size 4",
}
#: Writes down a line before it translates it, and takes its time.
PROGRAM = """
import os, sys, time
with open(os.environ["ASKED"], "a") as log:
    for line in sys.stdin:
        log.write(line)
        log.flush()
        time.sleep(0.01)
        print(line.strip().upper())
"""


@dataclass
class Tally:
    """What happened so far, by the way of translation."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    #: Texts in all, and how often they were handed to the translator.
    texts: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    #: Texts that were asked for although their translations had been kept.
    repeated: Counter[str] = field(default_factory=Counter)


def logged_command(arguments: list[str], log: Path, asked: Path) -> None:
    """Run the command in this process, and write down what the translator is asked for."""
    os.environ["ASKED"] = str(asked)
    from clear_ir.translate.seq2seq import Seq2Seq

    translate = Seq2Seq.translate

    def logging(self, texts, lang, source="en"):
        for number, translation in translate(self, texts, lang, source):
            with asked.open("a") as file:
                file.write(f"{texts[number]}\n")
            yield number, translation

    Seq2Seq.translate = logging
    run_command(arguments, log)


class TranslationSoak:
    """Runs `clear-ir translate`, calmly or not.

    Args:
        folder: An empty folder for everything.
        num_texts: Distinct queries.
    """

    def __init__(self, folder: Path, num_texts: int) -> None:
        self.folder, self.num_texts = folder, num_texts
        self.log = folder / "log.txt"
        self.seconds: dict[str, float] = {}
        os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
        os.environ["PYTHONWARNINGS"] = "ignore"
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOAD)

    def prepare(self) -> None:
        """Make the inputs, and run each way undisturbed."""
        from tiny_translators import TEXTS, make

        make("marian", self.folder / "model")
        (self.folder / "upper.py").write_text(PROGRAM)
        words = " ".join(TEXTS).split()
        queries = [
            " ".join(words[(i * 5 + j * (1 + i // 29)) % len(words)] for j in range(3)) + f" {i}"
            for i in range(self.num_texts)
        ]
        write_jsonl(self.folder / "rows.jsonl", ({"query": query, "passage": f"about {query}"} for query in queries))
        self.queries = queries
        for way in WAYS:
            assert self.start(way, self.folder / "calm" / way) == 0, self.log.read_text()
            start = time.perf_counter()
            assert self.start(way, self.folder / "twice" / way) == 0, self.log.read_text()
            self.seconds[way] = time.perf_counter() - start
            assert contents(self.folder / "calm" / way) == contents(self.folder / "twice" / way)

    def start(self, way: str, place: Path, kill_after: float | None = None) -> int:
        """Run to the end, or kill; gives the exit code, -9 if it was killed."""
        import shlex

        place.mkdir(parents=True, exist_ok=True)
        lang = ",".join(LANGS[:1] if way == "command" else LANGS)
        how = WAYS[way].format(python=sys.executable, folder=self.folder)
        arguments = f"translate --rows {self.folder}/rows.jsonl --to {lang} {how} --no-checks --cache {place}/kept"
        process = self.context.Process(
            target=logged_command,
            args=([*shlex.split(arguments), "--out", f"{place}/rows.jsonl"], self.log, place / "asked.txt"),
        )
        process.start()
        process.join(kill_after)
        if process.is_alive():
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode

    def episode(self, way: str, tally: Tally, max_kills: int) -> None:
        """Kill, restart, and so on, until it finishes; then look at what it asked for and made."""
        draw = random.Random(f"{tally.seed} {way} {tally.finished[way]}")
        place = self.folder / "episode"
        origin = json.loads((self.folder / "calm" / way / "rows.translation.json").read_text())["translator"]
        key_of = {(lang, text): Target(lang, origin[lang]).key(text) for lang in origin for text in self.queries}
        kills, code = 0, -9
        while code == -9:
            kept_before, asked_before = kept_in(place), asked_in(place)
            calm = kills == max_kills
            code = self.start(way, place, None if calm else draw.uniform(0, self.seconds[way]))
            said = self.log.read_text(errors="replace")
            assert "Traceback" not in said, said
            tally.restarts[way] += kills > 0 and code == 0
            asked = asked_in(place) - asked_before
            tally.asked[way] += asked.total()
            known = Counter(text for (_, text), key in key_of.items() if key in kept_before)
            # A text may be asked for in each language in which it is not kept.
            most = {text: len(origin) - known[text] for text in asked}
            tally.repeated[way] += sum(max(0, times - most[text]) for text, times in asked.items())
            if code == -9:
                kills += 1
                tally.kills[way] += 1
                assert kept_before <= kept_in(place), "what was kept is there"
                out = place / "rows.jsonl"
                assert not out.exists() or out.read_bytes() == (self.folder / "calm" / way / "rows.jsonl").read_bytes()
        # It may have been killed after its last step: then nothing is left to do.
        assert code == 0 or "exists; give another path" in said, said
        assert contents(place) == contents(self.folder / "calm" / way), "other files than those of a calm run"
        assert kept_in(place) == set(key_of.values()), "each translation is kept under the key that is looked for above"
        tally.texts[way] += self.num_texts * len(origin)
        tally.finished[way] += 1
        shutil.rmtree(place)


def kept_in(place: Path) -> set[bytes]:
    """The keys of the translations that are kept."""
    if not (place / "kept" / STORE_FILE).exists():
        return set()
    with closing(sqlite3.connect(place / "kept" / STORE_FILE)) as database:
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return {key for (key,) in database.execute("SELECT key FROM translations")} if tables else set()


def asked_in(place: Path) -> Counter[str]:
    """How often each text was asked for so far."""
    file = place / "asked.txt"
    return Counter(file.read_text().splitlines()) if file.exists() else Counter()


def contents(place: Path) -> dict[str, bytes]:
    """The files that the command made."""
    return {path.name: path.read_bytes() for path in place.glob("rows*")}


def soak(kills: int, tally: Tally, folder: Path, num_texts: int = 48, save=lambda tally: None) -> Tally:
    """Run episodes until each way was killed so often."""
    with patch.dict(os.environ):
        runs = TranslationSoak(folder, num_texts)
        runs.prepare()
        for way in WAYS:
            while (left := kills - tally.kills[way]) > 0:
                runs.episode(way, tally, min(left, 6))
                save(tally)
                print(f"{way}: {tally.kills[way]} kills in {tally.finished[way]} episodes", flush=True)
    return tally


def main() -> None:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=100, help="half of them while a command translates, half while a model does"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    versions = {name: version(name) for name in ("clear-ir", "transformers", "torch")}
    with TemporaryDirectory() as folder:
        soak(
            given.kills // len(WAYS), Tally(given.seed), Path(folder),
            save=lambda tally: write_json(given.out, {"versions": versions, "soak": vars(tally)}),
        )  # fmt: skip


if __name__ == "__main__":
    main()
