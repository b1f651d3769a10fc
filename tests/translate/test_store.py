"""Translations on disk: keys, transactions, a damaged file, kills."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from clear_ir.data.files import InputError
from clear_ir.translate.keeping import Keeper
from clear_ir.translate.store import STORE_FILE, Kept, Target, TranslationStore

TARGET = Target("de", {"model": "m", "num_beams": 4})


def test_what_was_added_is_found_by_the_next_run(tmp_path):
    made = {"one river": Kept("der Fluss"), "moon": Kept("Mond Mond Mond", "it repeats itself")}
    TranslationStore(tmp_path).add(made, TARGET)
    assert TranslationStore(tmp_path).read(["moon", "bread", "one river"], TARGET) == made


@pytest.mark.parametrize(
    "other",
    [
        Target("sw", TARGET.identity),
        Target("de", TARGET.identity, source="fr"),
        Target("de", {"model": "m", "num_beams": 1}),
        Target("de", {"model": "n", "num_beams": 4}),
    ],
)
def test_all_that_a_translation_depends_on_is_in_the_key(tmp_path, other):
    store = TranslationStore(tmp_path)
    store.add({"moon": Kept("Mond")}, TARGET)
    assert store.read(["moon"], other) == {}
    assert store.read(["moon "], TARGET) == {}
    assert store.read(["moon"], Target("de", {"num_beams": 4, "model": "m"})), "the order of the settings is no setting"


def test_more_texts_than_one_statement_takes(tmp_path):
    store = TranslationStore(tmp_path)
    made = {f"text {i}": Kept(f"Text {i}") for i in range(1203)}
    store.add(made, TARGET)
    assert store.read([*made, "another"], TARGET) == made


def test_without_a_folder_nothing_is_kept():
    store = TranslationStore(None)
    store.add({"moon": Kept("Mond")}, TARGET)
    assert store.read(["moon"], TARGET) == {}


def test_a_damaged_file_is_set_aside(tmp_path, caplog):
    file = tmp_path / STORE_FILE
    for content in (b"no database " * 100, b"nor this"):
        file.write_bytes(content)
        store = TranslationStore(tmp_path)
        assert f"{file} is damaged" in caplog.text
        store.add({"moon": Kept("Mond")}, TARGET)
        assert store.read(["moon"], TARGET) == {"moon": Kept("Mond")}
    assert (tmp_path / f"{STORE_FILE}.damaged").read_bytes().startswith(b"no database")
    assert (tmp_path / f"{STORE_FILE}.damaged-2").read_bytes() == b"nor this"


def test_a_database_of_which_a_page_is_damaged(tmp_path, caplog):
    TranslationStore(tmp_path).add({f"text {i}": Kept("x" * 200) for i in range(300)}, TARGET)
    file = tmp_path / STORE_FILE
    content = bytearray(file.read_bytes())
    content[4096 : 4096 + 2000] = b"\xff" * 2000
    file.write_bytes(content)
    assert TranslationStore(tmp_path).read(["text 1"], TARGET) == {}
    assert "is damaged" in caplog.text


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(InputError, match="cannot be kept in") as error:
        TranslationStore(tmp_path / "cache")
    assert error.value.settings == ("cache", "no_cache")


WORKER = """
import json, sys
from pathlib import Path
from clear_ir.translate.store import Kept, Target, TranslationStore
store, target = TranslationStore(Path(sys.argv[1])), Target("de", {})
for i in range(10**6):
    store.add({f"{i} {k}": Kept(f"{i}") for k in range(5)}, target)
    print(i, flush=True)
"""


def test_a_killed_run_has_kept_every_batch_whole(tmp_path):
    for kill_after in (1, 3, 8, 20):
        folder = tmp_path / str(kill_after)
        process = subprocess.Popen([sys.executable, "-c", WORKER, str(folder)], stdout=subprocess.PIPE, text=True)
        told = [int(process.stdout.readline()) for _ in range(kill_after)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        told += [int(line) for line in process.stdout.read().split()]
        process.stdout.close()
        texts = {i: [f"{i} {k}" for k in range(5)] for i in range(told[-1] + 3)}
        store = TranslationStore(folder)
        kept = {i: len(store.read(texts[i], Target("de", {}))) for i in texts}
        assert all(kept[i] == 5 for i in told)
        assert set(kept.values()) <= {0, 5}, "a batch is kept whole or not at all"


def test_two_runs_share_a_file(tmp_path):
    one, other = TranslationStore(tmp_path), TranslationStore(tmp_path)
    for i in range(20):
        one.add({f"one {i}": Kept("x")}, TARGET)
        other.add({f"other {i}": Kept("y")}, TARGET)
    assert len(one.read([f"{who} {i}" for who in ("one", "other") for i in range(20)], TARGET)) == 40


def test_no_text_stands_in_a_key(tmp_path):
    TranslationStore(tmp_path).add({"secret question": Kept("y")}, Target("de", {"model": "m"}))
    with sqlite3.connect(tmp_path / STORE_FILE) as database:
        [(key, *_)] = database.execute("SELECT * FROM translations")
    database.close()
    assert len(key) == 32
    assert json.dumps({"model": "m"}).encode() not in key


class Slow(TranslationStore):
    """A store on a slow disk."""

    def __init__(self, folder, error=None):
        super().__init__(folder)
        self.sizes, self.error = [], error

    def add(self, translations, target):
        time.sleep(0.02)
        if self.error:
            raise self.error
        self.sizes.append(len(translations))
        super().add(translations, target)


def test_a_slow_disk_does_not_hold_up_the_translator(tmp_path):
    store = Slow(tmp_path)
    made = {f"text {i}": Kept(f"Text {i}") for i in range(300)}
    with Keeper(store, TARGET) as keeper:
        for text, kept in made.items():
            keeper.add(text, kept)
    assert len(store.sizes) < 150  # what was made while the disk was at work is written at once
    assert sum(store.sizes) == 300
    assert store.read(list(made), TARGET) == made


def test_after_an_error_what_was_given_is_kept(tmp_path):
    store = Slow(tmp_path)
    with pytest.raises(ZeroDivisionError), Keeper(store, TARGET) as keeper:
        keeper.add("moon", Kept("Mond"))
        keeper.add("bread", Kept("Brot"))
        raise ZeroDivisionError
    assert set(store.read(["moon", "bread"], TARGET)) == {"moon", "bread"}


@pytest.mark.parametrize("wait", [0, 0.1])
def test_what_cannot_be_written_is_an_error_of_the_run(tmp_path, wait):
    with pytest.raises(InputError, match="full"), Keeper(Slow(tmp_path, InputError("full")), TARGET) as keeper:
        keeper.add("moon", Kept("Mond"))
        time.sleep(wait)
        keeper.add("bread", Kept("Brot"))
