"""Translate by a command that reads lines and writes lines, such as `apertium eng-spa`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from clear_ir.data.files import InputError
from clear_ir.translate.translator import Choice, Translator

#: Texts that one call of the command gets, unless the user says another number. After a kill so many are done again.
BATCH_SIZE = 64
#: What stands for the target language in a command.
LANG = "{lang}"


def load(choice: Choice) -> Translator:
    """Make the translator of `--command`.

    Args:
        choice: What the user said.

    Returns:
        The translator.

    Raises:
        InputError: If the command cannot be read or its program is not there.
    """
    return CommandTranslator(
        choice.command or "", choice.settings.batch_size or BATCH_SIZE, timeout=choice.settings.timeout
    )


class CommandTranslator:
    """Runs a command for each batch: a text a line on its input, a translation a line on its output, both in UTF-8.

    Args:
        command: The command with its arguments, quoted as for a shell; no shell runs. `{lang}` in it becomes the BCP 47
            tag of the target language.
        batch_size: Texts for each call.
        timeout: Seconds that a call may take.

    Raises:
        InputError: If the command cannot be read or its program is not there.
    """

    def __init__(self, command: str, batch_size: int = BATCH_SIZE, timeout: float = 600.0) -> None:
        self.name, self.batch_size, self.timeout = command, batch_size, timeout
        self.problems: dict[str, str] = {}
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise InputError(f"The command {command!r} cannot be read: {error}; check its quotes.", "command") from None
        if not self._words:
            raise InputError("The command is empty; give one that reads lines and writes lines.", "command")
        if shutil.which(self._words[0]) is None:
            raise InputError(
                f"The program {self._words[0]!r} is not installed or not executable; check the name, or install it.",
                "command",
            )

    def check(self, langs: Sequence[str]) -> None:
        """See `clear_ir.translate.translator.Translator`."""
        if len(langs) > 1 and not any(LANG in word for word in self._words):
            raise InputError(
                f"The command {self.name!r} translates into one language, and {len(langs)} are asked for; write {LANG} "
                "where the command takes the language, or run once for each.",
                "command",
                "to",
            )

    def identity(self, lang: str) -> dict[str, Any]:
        """See `clear_ir.translate.translator.Translator`. What the command itself depends on is not known."""
        return {"command": self._for(lang)}

    def translate(self, texts: Sequence[str], lang: str, source: str = "en") -> Iterator[tuple[int, str]]:
        """See `clear_ir.translate.translator.Translator`. Line breaks in a text become spaces.

        Raises:
            InputError: If the command fails, takes too long, or gives another number of lines than it got.
        """
        for begin in range(0, len(texts), self.batch_size):
            lines = [" ".join(text.split()) for text in texts[begin : begin + self.batch_size]]
            for i, translation in enumerate(self._run(lines, lang), start=begin):
                if not translation:
                    self.problems[texts[i]] = "the command gave an empty line"
                yield i, translation

    def _for(self, lang: str) -> list[str]:
        return [word.replace(LANG, lang) for word in self._words]

    def _run(self, lines: Sequence[str], lang: str) -> list[str]:
        """Run the command once; gives a line for each line."""
        try:
            # In a session of its own, so that what it starts itself can be ended with it.
            process = subprocess.Popen(
                self._for(lang),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"The command {self.name!r} cannot be run: {error.strerror}.", "command") from None
        try:
            out, err = process.communicate("".join(f"{line}\n" for line in lines).encode(), timeout=self.timeout)
        except subprocess.TimeoutExpired:
            raise InputError(
                f"The command {self.name!r} did not translate {len(lines)} lines within {self.timeout:g} seconds; give "
                "it more time, or fewer lines at once.",
                "timeout",
                "batch_size",
            ) from None
        finally:
            if process.returncode is None:  # else its number may be that of another group by now
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with suppress(OSError):
                        pipe.close()
        if process.returncode:
            said = err.decode("utf-8", "replace").strip().splitlines()
            reason = f"exit code {process.returncode}" + (f": {said[-1].strip()}" if said else "")
            raise InputError(f"The command {self.name!r} failed ({reason}); try it on one line.", "command")
        return self._lines_of(out, len(lines))

    def _lines_of(self, out: bytes, expected: int) -> list[str]:
        try:
            text = out.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"The command {self.name!r} wrote what is not UTF-8 at byte {error.start}; make it write UTF-8.",
                "command",
            ) from None
        found = [line.strip() for line in text.removesuffix("\n").split("\n")] if text else []
        if len(found) != expected:
            raise InputError(
                f"The command {self.name!r} gave {len(found)} lines for {expected}; it must write one line for each "
                "that it reads.",
                "command",
            )
        return found
