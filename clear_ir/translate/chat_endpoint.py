"""A chat endpoint that speaks OpenAI's protocol: one question, one answer, whatever goes wrong on the way.

vLLM, llama.cpp, Ollama and most hosted services speak it. Servers differ in the parameters that they take, so what a
server refuses is left out from then on. The key comes from the environment. It is sent to the endpoint alone, and it
is cut out of everything that comes back, so that it can reach no file and no message.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clear_ir.data.files import InputError, reason_of
from clear_ir.translate.settings import EndpointSettings
from clear_ir.translate.spending import Spending

if TYPE_CHECKING:
    import httpx2 as httpx

#: Seconds before the first repetition of a request; each further one waits twice as long, up to the longest wait.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
#: A server that asks for a longer wait than this has a quota that ends the run: it would seem to hang.
LONGEST_RETRY_AFTER = 300.0
#: Requests that fail one after the other, each with all its repetitions, before the endpoint counts as broken.
MOST_FAILURES = 8
#: How often a request is repeated because the server has too many: with growing waits some ten minutes.
MOST_BUSY = 15
#: Bytes of a response; no answer to our questions is that long.
LONGEST_RESPONSE = 2**24
#: Tokens that a server's template may add to a request.
TEMPLATE_TOKENS = 200
#: Keys shorter than this, such as EMPTY, are no secrets. They may be words of a text, so they are not cut out of it.
SHORTEST_SECRET = 16
#: Characters of a server's message that are quoted.
LONGEST_QUOTE = 200

_OVERLOADED = (408, 409, 425, 429)
_FORMATS = ("json_schema", "json_object", "none")


class NoAnswer(Exception):
    """A request that got no usable answer. Another request may.

    Args:
        reason: Why.
        is_final: Whether it makes no sense to ask the same again.
    """

    def __init__(self, reason: str, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class _TryAgain(Exception):
    """A failure that may pass.

    Args:
        reason: What happened.
        wait: Seconds that the server asks to wait; None if it does not say.
        is_cut: Whether the server may have worked on the answer, and counted it.
        is_busy: Whether the server says that it has too many requests: that is not the fault of this one.
    """

    def __init__(self, reason: str, wait: float | None = None, is_cut: bool = False, is_busy: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.is_cut, self.is_busy = wait, is_cut, is_busy


class _ChangedParameters(Exception):
    """The server refused a parameter, which is now left out."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Args:
        system: The task.
        user: What the task is to be done on.
        schema: JSON schema of the answer.
        max_tokens: The longest answer, in tokens.
        temperature: Randomness of the answer.
    """

    system: str
    user: str
    schema: dict[str, Any]
    max_tokens: int
    temperature: float = 0.0

    @property
    def most_tokens(self) -> int:
        """The most that it can cost. No common tokenizer makes more tokens than bytes of a text."""
        return len((self.system + self.user).encode()) + TEMPLATE_TOKENS + self.max_tokens


@dataclass
class _Parameters:
    """The parameters that the server takes, as far as is known."""

    format: str = _FORMATS[0]
    limit: str = "max_tokens"
    temperature: bool = True

    def body(self, question: Question) -> dict[str, Any]:
        """The parameters of a request."""
        body: dict[str, Any] = {self.limit: question.max_tokens}
        if self.temperature:
            body["temperature"] = question.temperature
        if self.format == "json_object":
            body["response_format"] = {"type": "json_object"}
        elif self.format == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": question.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def leave_out(self, refused: str, sent: dict[str, Any]) -> bool:
        """Leave out what a server refuses.

        Args:
            refused: What the server says.
            sent: The body of the request that it refused.

        Returns:
            Whether another request makes sense.
        """
        if "max_tokens" in refused and "max_completion_tokens" in refused and "max_tokens" in sent:
            self.limit = "max_completion_tokens"
        elif "temperature" in refused and "temperature" in sent:
            self.temperature = False
        elif "response_format" in sent and "context" not in refused:
            # Servers say it in many ways, some only that the request is bad.
            place = _FORMATS.index(sent["response_format"]["type"])
            self.format = _FORMATS[max(place + 1, _FORMATS.index(self.format))]
        else:
            return False
        return True


@dataclass
class _Health:
    """What is known of the endpoint, from all threads."""

    answered: bool = False
    failures: int = 0
    not_before: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class ChatEndpoint:
    """A chat endpoint, which is asked within a `with` block. Several threads may ask it at once.

    Args:
        url: Where it is, see `base_url`.
        model: Name of the model.
        settings: How patiently it is asked, and what it may cost.

    Raises:
        InputError: If the URL is none, or holds a password or a query.
    """

    def __init__(self, url: str, model: str, settings: EndpointSettings) -> None:
        self.url, self.model, self.settings = base_url(url), model, settings
        self.spending = Spending(settings.token_limit)
        self._key = os.environ.get(settings.key_variable, "").strip()
        if not self._key.isascii() or not self._key.isprintable():
            raise InputError(
                f"The key in ${settings.key_variable} holds characters that no key has; set it again.", "key_variable"
            )
        self._parameters, self._health = _Parameters(), _Health()
        self._stopped = threading.Event()
        self._client: httpx.Client | None = None

    def __enter__(self) -> ChatEndpoint:
        self._stopped.clear()
        self._client = self._new_client()
        return self

    def __exit__(self, *_: object) -> None:
        """End waits and connections, so that threads that still ask end soon."""
        self._stopped.set()
        if self._client:
            self._client.close()

    def _new_client(self) -> httpx.Client:
        library = http_library()
        # The server in the settings alone gets texts and key: no redirects.
        client: httpx.Client = library.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=library.Timeout(self.settings.answer_timeout, connect=min(10.0, self.settings.answer_timeout)),
            limits=library.Limits(max_connections=self.settings.requests_at_once),
            follow_redirects=False,
            verify=self.url.startswith("https:"),  # else reading the certificates is time lost
        )
        return client

    def identity(self) -> dict[str, Any]:
        """What its answers depend on beside the question. The key is not among it."""
        return {"endpoint": self.url, "model": self.model, "temperature": self.settings.temperature}

    def ask(self, question: Question) -> str:
        """Ask, and again after failures that may pass, each time after a longer wait.

        Args:
            question: What is asked.

        Returns:
            The text of the answer.

        Raises:
            NoAnswer: If this question gets no answer.
            InputError: If no question would get one: the endpoint cannot be reached or is broken, refuses the key or
                does not know the model, or the limit of tokens is reached.
        """
        try:
            return self._ask_patiently(question)
        except InputError:
            self._stopped.set()  # other threads need not wait for their turn
            raise

    def _ask_patiently(self, question: Question) -> str:
        tries = busy = 0
        while True:
            self._wait_for_turn()
            try:
                answer = self._ask_once(question)
            except _ChangedParameters:
                continue
            except _TryAgain as error:
                busy, tries = (busy + 1, tries) if error.is_busy else (busy, tries + 1)
                if busy > MOST_BUSY:
                    raise InputError(
                        f"{self.url} had too many requests {busy} times ({error}). What was made is kept; run the same "
                        "command again later, with fewer requests at once.",
                        "requests_at_once",
                    ) from None
                if tries > self.settings.retries:
                    raise self._failure(f"{error}, {tries} times" if tries > 1 else str(error)) from None
                self._postpone(error.wait if error.wait is not None else _backoff(tries + busy))
                continue
            with self._health.lock:
                self._health.answered, self._health.failures = True, 0
            return answer

    def _ask_once(self, question: Question) -> str:
        body = self._parameters.body(question)
        messages = [{"role": "system", "content": question.system}, {"role": "user", "content": question.user}]
        with self.spending.reserve(question.most_tokens) as reservation:
            try:
                document = self._post({"model": self.model, "messages": messages, **body})
            except _TryAgain as error:
                reservation.settle(reservation.most if error.is_cut else 0)
                raise
            except (NoAnswer, _ChangedParameters, InputError):
                reservation.settle(0)
                raise
            reservation.settle(_cost(document, question))
        return _content_of(document)

    def _post(self, body: dict[str, Any]) -> Any:
        """Send one request; gives the JSON of the response."""
        library = http_library()
        url = f"{self.url}/chat/completions"
        assert self._client is not None, "ask within a with block"
        try:
            with self._client.stream("POST", url, json=body) as response:
                text = self._without_key(self._read(response))
        except (library.ConnectError, library.ConnectTimeout) as error:
            if not self._health.answered:
                raise InputError(
                    f"{self.url} cannot be reached ({self._without_key(reason_of(error))}); check the URL, and that "
                    "the server runs.",
                    "endpoint",
                ) from None
            raise _TryAgain("the endpoint cannot be reached") from None
        except library.TimeoutException:
            raise _TryAgain(f"no answer within {self.settings.answer_timeout:g} s", is_cut=True) from None
        except library.TransportError as error:  # such as an answer that is cut off
            raise _TryAgain(f"the connection broke ({self._without_key(reason_of(error))})", is_cut=True) from None
        except (library.HTTPError, library.InvalidURL) as error:
            raise InputError(
                f"{self.url} cannot be asked ({self._without_key(reason_of(error))}).", "endpoint"
            ) from None
        if response.status_code != 200:
            self._refused(response.status_code, response.headers, text, body)
        return _parsed(text)

    def _read(self, response: httpx.Response) -> str:
        """The body of a response. The time limit is for all of it: some servers send blanks while they work."""
        data, start = bytearray(), time.monotonic()
        for chunk in response.iter_bytes():
            data += chunk
            if time.monotonic() - start > self.settings.answer_timeout:
                raise _TryAgain(f"no answer within {self.settings.answer_timeout:g} s", is_cut=True)
            if len(data) > LONGEST_RESPONSE:
                raise _TryAgain(f"the response is longer than {LONGEST_RESPONSE:,} bytes", is_cut=True)
        return data.decode("utf-8", "replace")

    def _refused(self, status: int, headers: Any, text: str, body: dict[str, Any]) -> None:
        """Raise what the status of a response means."""
        said = _message_of(text)
        quoted = f"HTTP {status}" + (f": {said}" if said else "")
        if status in (401, 403):
            which = f"the key in ${self.settings.key_variable}" if self._key else "a request without a key"
            raise InputError(
                f"{self.url} refuses {which} ({quoted}); set the environment variable {self.settings.key_variable} to "
                "a valid key.",
                "key_variable",
            )
        if 300 <= status < 400:
            target = printable(self._without_key(str(headers.get("location", "another place"))))[:LONGEST_QUOTE]
            raise InputError(
                f"{self.url} redirects to {target}; texts and key are sent to the endpoint that "
                "you name alone, so name that one.",
                "endpoint",
            )
        if status == 404:
            raise InputError(
                f"{self.url} knows no model {self.model!r}, or is no OpenAI-compatible endpoint ({quoted}); check both "
                "names.",
                "model",
                "endpoint",
            )
        if status == 402 or "insufficient_quota" in text:
            raise InputError(f"The account of {self.url} is used up ({quoted}); what was made is kept.", "endpoint")
        # llama-cpp-python says 500 of a parameter that it does not know.
        is_parameter = status not in _OVERLOADED and (status < 500 or "response_format" in text)
        if is_parameter and self._parameters.leave_out(text, body):
            raise _ChangedParameters
        if status in _OVERLOADED or status >= 500:
            raise _TryAgain(quoted, _retry_after(headers), is_busy=status == 429)
        raise self._failure(quoted)

    def _failure(self, reason: str) -> NoAnswer:
        """Count a request that failed for good.

        Raises:
            InputError: If nothing but such requests comes.
        """
        with self._health.lock:
            self._health.failures += 1
            if self._health.failures >= MOST_FAILURES:
                raise InputError(
                    f"{self.url} failed {self._health.failures} requests in a row, the last with: {reason}. What was "
                    "made is kept; run the same command again when the endpoint works.",
                    "endpoint",
                )
        return NoAnswer(reason, is_final=True)

    def _postpone(self, seconds: float) -> None:
        """Let no thread ask before that: a server that is overloaded is so for all of them."""
        if seconds > LONGEST_RETRY_AFTER:
            raise InputError(
                f"{self.url} asks to wait {seconds:,.0f} s. What was made is kept; run the same command again then.",
                "endpoint",
            )
        with self._health.lock:
            self._health.not_before = max(self._health.not_before, time.monotonic() + seconds)

    def _wait_for_turn(self) -> None:
        while (left := self._health.not_before - time.monotonic()) > 0:
            if self._stopped.wait(left):
                raise NoAnswer("the run was stopped", is_final=True)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if len(self._key) >= SHORTEST_SECRET else text


def http_library() -> Any:
    """httpx2, or httpx of which it is the successor: one of them comes with huggingface_hub."""
    try:
        import httpx2
    except ImportError:  # on Python 3.10
        import httpx

        return httpx
    return httpx2


def base_url(url: str) -> str:
    """The URL below which the endpoint has `/chat/completions`.

    Args:
        url: As users write it: with or without `/v1`, with or without `/chat/completions`.

    Raises:
        InputError: If it is none, or holds a password or a query.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise InputError(
            f"endpoint is {url!r}, which is no URL such as http://localhost:8000/v1; give one.",
            "endpoint",
            begins_with_setting=True,
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            "The URL of the endpoint holds a name, a password or a query, which would be written to files; give the "
            "URL alone, and the key in the environment.",
            "endpoint",
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def _backoff(tries: int) -> float:
    """Twice as long each time, a bit at random, so that threads do not come back together."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (tries - 1)) * random.uniform(0.75, 1.25)


def _retry_after(headers: Any) -> float | None:
    """The seconds that a server asks to wait, which it says as a number or as a date."""
    value = str(headers.get("retry-after", "")).strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    left: timedelta = date.replace(tzinfo=date.tzinfo or timezone.utc) - datetime.now(timezone.utc)
    return max(0.0, left.total_seconds())


def _parsed(text: str) -> Any:
    """The JSON of a response."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _TryAgain("the response is no JSON", is_cut=True) from None


def _content_of(document: Any) -> str:
    """The answer in a response."""
    try:
        choice = document["choices"][0]
        message = choice["message"]
        content = message["content"]
    except (KeyError, IndexError, TypeError):
        raise NoAnswer("the response holds no answer") from None
    if choice.get("finish_reason") == "length":
        raise NoAnswer(
            "the answer was cut at its limit of tokens; raise thinking_tokens if the model thinks before it answers"
        )
    if not isinstance(content, str) or not content.strip():
        refusal = printable(str(message.get("refusal") or ""))[:LONGEST_QUOTE]
        raise NoAnswer(f"the model refused: {refusal}" if refusal else "the answer is empty")
    return content


def _cost(document: Any, question: Question) -> int:
    """The tokens that a response says it cost; the most that it can have cost, if it says nothing."""
    try:
        return max(0, int(document["usage"]["total_tokens"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return question.most_tokens


def _message_of(text: str) -> str:
    """The first words of what a server says of an error, on one line."""
    try:
        error = json.loads(text)
        error = error.get("error", error) if isinstance(error, dict) else error
        said = error.get("message", "") if isinstance(error, dict) else error
    except (ValueError, RecursionError):
        said = "" if "<html" in text.lower() else text
    return printable(str(said))[:LONGEST_QUOTE]


def printable(text: str) -> str:
    """A text of a server on one line, without what a terminal would obey or could not print."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
