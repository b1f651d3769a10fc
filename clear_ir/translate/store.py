"""Translations on disk, kept as soon as they are made: after a kill nothing is asked twice.

One SQLite file holds the translations of all translators. Each call of `add` is one transaction, so a kill loses only
what was not yet answered. Several runs may share the file. Unlike embeddings, translations may cost money: a file that
cannot be used is an error before the first text is translated, and a damaged one is set aside, not removed.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError, hash_of, reason_of

#: The name of the file in the folder of the cache.
STORE_FILE = "translations.sqlite"
#: Seconds to wait for another run that is just writing.
BUSY_TIMEOUT = 60.0
#: Keys that one statement looks up. SQLite allows at least 999.
KEYS_AT_ONCE = 500

_TABLE = "CREATE TABLE IF NOT EXISTS translations (key BLOB PRIMARY KEY, translation TEXT, problem TEXT) WITHOUT ROWID"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A translation.

    Args:
        text: The translation.
        problem: Why it cannot be used; empty if it can.
    """

    text: str
    problem: str = ""


@dataclass(frozen=True)
class Target:
    """What a translation depends on beside the text.

    Args:
        lang: The target language.
        identity: See `clear_ir.translate.translator.Translator.identity`.
        source: The language of the texts.
    """

    lang: str
    identity: Mapping[str, Any]
    source: str = "en"

    def key(self, text: str) -> bytes:
        """The key of a text: SHA-256 of all that its translation depends on."""
        identity = json.dumps(self.identity, sort_keys=True, ensure_ascii=True)
        return bytes.fromhex(hash_of(self.source, self.lang, identity, text))


class TranslationStore:
    """The translations that were made so far.

    Args:
        folder: Folder of the cache. None: nothing is kept.

    Raises:
        InputError: If the file cannot be read and written.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / STORE_FILE if folder else None
        if self.path:
            with self._naming_failures():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._set_aside_if_damaged(self.path)
                with self._transaction() as database:
                    database.execute(_TABLE)

    def read(self, texts: Sequence[str], target: Target) -> dict[str, Kept]:
        """Look up texts.

        Args:
            texts: The texts.
            target: Into which language they are translated, and by what.

        Returns:
            The translations that are known, by text.
        """
        found: dict[str, Kept] = {}
        if not self.path:
            return found
        text_of = {target.key(text): text for text in texts}
        keys = list(text_of)
        with self._naming_failures(), self._transaction() as database:
            for begin in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[begin : begin + KEYS_AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, translation, problem FROM translations WHERE key IN ({marks})"
                found |= {text_of[key]: Kept(text, problem) for key, text, problem in database.execute(query, some)}
        return found

    def add(self, translations: Mapping[str, Kept], target: Target) -> None:
        """Keep translations, all in one transaction.

        Args:
            translations: The translations, by text.
            target: Into which language they are translated, and by what.

        Raises:
            InputError: If they cannot be written.
        """
        if not self.path or not translations:
            return
        rows = [(target.key(text), kept.text, kept.problem) for text, kept in translations.items()]
        with self._naming_failures(), self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?)", rows)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are written together, when the block ends."""
        assert self.path is not None
        with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT)) as database, database:
            # A kill cannot harm the file in any mode. This one waits less for the disk, so that each translation can be
            # a transaction; a power failure may take the last ones back.
            database.execute("PRAGMA synchronous = NORMAL")
            yield database

    @contextmanager
    def _naming_failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or reason_of(error)
            raise InputError(
                f"The translations cannot be kept in {self.path} ({reason}); give another folder, or keep none.",
                "cache",
                "no_cache",
            ) from error

    @staticmethod
    def _set_aside_if_damaged(path: Path) -> None:
        if not path.exists():
            return
        try:
            with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as database:
                damaged = database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
        except sqlite3.OperationalError:  # such as a file that may not be read
            raise
        except sqlite3.DatabaseError:  # not SQLite's file at all
            damaged = True
        if damaged:
            aside = path.with_name(f"{path.name}.damaged")
            number = 1
            while aside.exists():
                number += 1
                aside = path.with_name(f"{path.name}.damaged-{number}")
            path.replace(aside)
            # What a killed run left to be undone is of that file, too.
            journal = path.with_name(f"{path.name}-journal")
            if journal.exists():
                journal.replace(aside.with_name(f"{aside.name}-journal"))
            logger.warning("%s is damaged. It is now %s, and its texts are translated again.", path, aside)
