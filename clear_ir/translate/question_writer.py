"""Questions for passages, in English and in another language, written by a model behind a chat endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError, check_exists, not_utf8
from clear_ir.data.languages import english_name
from clear_ir.translate.chat_endpoint import ChatEndpoint
from clear_ir.translate.numbered_requests import NumberedRequests, Task, Unusable, usable_text
from clear_ir.translate.prompts import fill, shipped_prompt

#: Tokens of an answer for one question in both languages: a tokenizer may make a token of each byte.
TOKENS_PER_QUESTION = 400


def read_prompt(path: Path | None) -> str:
    """The prompt that asks for questions.

    Args:
        path: The user's file. None: the prompt that ships.

    Returns:
        Its text, with its blanks.

    Raises:
        InputError: If the file does not exist, is no text, or does not say the language.
    """
    if path is None:
        return shipped_prompt("queries")
    check_exists(path)
    try:
        prompt = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), error) from None
    if "{language}" not in prompt:
        raise InputError(f"{path} has no {{language}}; write it where the prompt names the language.", "prompt")
    return prompt


class QuestionWriter:
    """Writes questions. What it gives for a passage is one text, see `questions_of`.

    So it is a `clear_ir.translate.translator.Translator`, and its answers are kept as translations are.

    Args:
        endpoint: Where the model is.
        num_queries: Questions for each passage.
        prompt: The prompt, see `read_prompt`.
    """

    def __init__(self, endpoint: ChatEndpoint, num_queries: int, prompt: str) -> None:
        self.endpoint, self.num_queries = endpoint, num_queries
        self.name = f"{endpoint.model}, which wrote both questions"
        self.problems: dict[str, str] = {}
        self._prompt = prompt

    def check(self, langs: Sequence[str]) -> None:
        """Every language has a name that the model can be told."""

    def identity(self, lang: str) -> dict[str, Any]:
        """See `clear_ir.translate.translator.Translator`."""
        return self.endpoint.identity() | {"prompt": self._prompt, "num_queries": self.num_queries}

    def translate(self, texts: Sequence[str], lang: str, source: str = "en") -> Iterator[tuple[int, str]]:
        """Write questions for passages.

        Args:
            texts: Distinct passages.
            lang: The language beside English.
            source: The language of the passages.

        Yields:
            The number of each passage and its questions, in any order. They are empty where the model gave none, and
            `problems` says why.
        """
        name = english_name(lang)
        example = {"en": "a question in English", lang: f"the same question in {name}"}
        texts_of = {"en": {"type": "string"}, lang: {"type": "string"}}
        item = {"type": "object", "properties": texts_of, "required": list(texts_of), "additionalProperties": False}
        task = Task(
            fill(self._prompt, count=self.num_queries, language=name, code=lang),
            {"type": "array", "items": item},
            [example] * self.num_queries,
            lambda value: self._read(value, example),
            lambda text: TOKENS_PER_QUESTION * self.num_queries,
        )
        requests = NumberedRequests(self.endpoint)
        for answer in requests.answers(texts, task, self.endpoint.settings.texts_per_request):
            if answer.problem:
                self.problems[texts[answer.number]] = answer.problem
            yield answer.number, answer.text

    def _read(self, value: Any, example: dict[str, str]) -> str:
        """The answer for one passage as a text. A model may write more questions than asked; the first ones count."""
        value = [value] if isinstance(value, dict) else value
        pairs = []
        for question in value if isinstance(value, list) else []:
            if not isinstance(question, dict):
                raise Unusable("the answer has a question that is not in both languages")
            texts = [usable_text(question.get(lang), text) for lang, text in example.items()]
            pairs.append([" ".join(text.split()) for text in texts])
        if not pairs:
            raise Unusable("the answer has no question for it")
        return json.dumps(pairs[: self.num_queries], ensure_ascii=False)


def questions_of(written: str) -> list[tuple[str, str]]:
    """The questions in an answer of `QuestionWriter`.

    Args:
        written: The answer for one passage.

    Returns:
        Each question in English and in the other language.
    """
    return [(english, other) for english, other in json.loads(written)]
