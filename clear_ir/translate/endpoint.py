"""A translator behind a chat endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clear_ir.data.files import InputError
from clear_ir.data.languages import english_name
from clear_ir.translate.chat_endpoint import ChatEndpoint
from clear_ir.translate.numbered_requests import NumberedRequests, Task, usable_text
from clear_ir.translate.prompts import fill, shipped_prompt
from clear_ir.translate.settings import EndpointSettings
from clear_ir.translate.translator import Choice, Translator

#: Tokens of a translation for each byte of its text: a tokenizer that does not know a script makes one of each byte.
TOKENS_PER_BYTE = 4


def load(choice: Choice) -> Translator:
    """Make the translator of `--endpoint`.

    Args:
        choice: What the user said.

    Returns:
        The translator.

    Raises:
        InputError: If no model is named, or the URL is none.
    """
    if not choice.model:
        raise InputError("No model of the endpoint is named; give the name that it knows.", "model")
    return EndpointTranslator(choice.endpoint or "", choice.model, choice.endpoint_settings)


class EndpointTranslator:
    """Translates by a chat endpoint that speaks OpenAI's protocol, see `clear_ir.translate.translator.Translator`.

    Args:
        url: Where the endpoint is, such as `http://localhost:8000/v1`.
        model: Name of the model.
        settings: How the endpoint is asked.

    Raises:
        InputError: If the URL is none, or holds a password or a query.
    """

    def __init__(self, url: str, model: str, settings: EndpointSettings) -> None:
        self.endpoint = ChatEndpoint(url, model, settings)
        self.name = model
        self.problems: dict[str, str] = {}
        self._prompt = shipped_prompt("translation")

    @property
    def tokens_spent(self) -> int:
        """The tokens that requests have cost so far."""
        return self.endpoint.spending.spent

    def check(self, langs: Sequence[str]) -> None:
        """Every language has a name that the model can be told. How well it knows the language, only results say."""

    def identity(self, lang: str) -> dict[str, Any]:
        """See `clear_ir.translate.translator.Translator`. Two endpoints may have different models under one name."""
        return self.endpoint.identity() | {"prompt": self._prompt}

    def translate(self, texts: Sequence[str], lang: str, source: str = "en") -> Iterator[tuple[int, str]]:
        """See `clear_ir.translate.translator.Translator.translate`."""
        example = f"the text in {english_name(lang)}"
        task = Task(
            fill(self._prompt, source=english_name(source), language=english_name(lang), code=lang),
            {"type": "string"},
            example,
            lambda value: usable_text(value, example),
            lambda text: TOKENS_PER_BYTE * len(text.encode()),
        )
        requests = NumberedRequests(self.endpoint)
        for answer in requests.answers(texts, task, self.endpoint.settings.texts_per_request):
            if answer.problem:
                self.problems[texts[answer.number]] = answer.problem
            yield answer.number, answer.text
