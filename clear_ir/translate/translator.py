"""What every translator can do, and what a user says to choose one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from clear_ir.translate.settings import EndpointSettings, TranslationSettings


class Translator(Protocol):
    """Translates texts.

    Attributes:
        name: What to call it in messages, and in the file that says how rows were made.
        problems: By text, why its translation cannot be used: it was given up, or cut. `translate` fills it before it
            yields the text.
    """

    name: str
    problems: dict[str, str]

    def check(self, langs: Sequence[str]) -> None:
        """Refuse languages, before any text is translated.

        Args:
            langs: BCP 47 tags of the target languages.

        Raises:
            InputError: If it cannot translate into one of them.
        """

    def identity(self, lang: str) -> dict[str, Any]:
        """All that its translations into a language depend on beside the text: model, weights, prompt, settings.

        Args:
            lang: The target language.

        Returns:
            Names and values that JSON can hold. No secret may be among them: they are written to files.
        """

    def translate(self, texts: Sequence[str], lang: str, source: str = "en") -> Iterator[tuple[int, str]]:
        """Translate texts.

        Args:
            texts: Distinct texts.
            lang: The target language.
            source: The language of the texts.

        Yields:
            The number of each text and its translation, once, as soon as it is made, in any order. The translation of
            a text that it gives up is empty, and `problems` has the reason; the next run tries again. One with an entry
            in `problems` that is not empty is kept, but not used.
        """


@dataclass(frozen=True)
class Choice:
    """What a user said about the translator.

    Args:
        model: The value of `--model`; empty if a command translates.
        settings: How to translate.
        command: The value of `--command`.
        endpoint: The URL of a chat endpoint, the value of `--endpoint`.
        endpoint_settings: How it is asked.
        trust_remote_code: Run Python code that comes with the model.
    """

    model: str = ""
    settings: TranslationSettings = field(default_factory=TranslationSettings)
    command: str | None = None
    endpoint: str | None = None
    endpoint_settings: EndpointSettings = field(default_factory=EndpointSettings)
    trust_remote_code: bool = False
