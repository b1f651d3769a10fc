"""Keep translations from a thread of its own: a slow disk does not hold up what translates."""

from __future__ import annotations

import queue
import threading
from types import TracebackType

from clear_ir.translate.store import Kept, Target, TranslationStore


class Keeper:
    """Writes translations to the store as soon as they are given, those that came meanwhile together.

    Use it as a context. When the block ends, also by an error, all that was given is written.

    Args:
        store: Gets the translations.
        target: Into which language they are translated, and by what.
    """

    def __init__(self, store: TranslationStore, target: Target) -> None:
        self._store, self._target = store, target
        self._given: queue.SimpleQueue[tuple[str, Kept] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._given.put(None)
        self._thread.join()
        if self._error and error is None:
            raise self._error

    def add(self, text: str, kept: Kept) -> None:
        """Give a translation.

        Raises:
            InputError: If an earlier one could not be written.
        """
        if self._error:
            raise self._error
        self._given.put((text, kept))

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            given = [self._given.get()]
            while not self._given.empty():
                given.append(self._given.get())
            goes_on = None not in given
            try:
                self._store.add(dict(each for each in given if each), self._target)
            except BaseException as error:  # raised again where translations are given
                self._error, goes_on = error, False
