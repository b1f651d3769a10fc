"""A chat endpoint on loopback that translates by a rule, and fails as it is told."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Faults that pass, and faults of an answer. After each of them the same question gets a good answer.
PASSING = ["429", "429 seconds", "429 date", "500", "503", "broken body", "cut", "slow", "drip", "html"]
OF_ANSWER = [
    "broken json", "wrong count", "more", "no choices", "no message", "duplicate", "refusal", "refusal field", "empty",
    "null", "length", "list", "not text", "other numbers", "half character", "example",
]  # fmt: skip


class Stub:
    """What the server does, and what it was asked.

    Args:
        answer: Gives the answer for one text of a request, from the text and the system prompt.
        fault: Gives the name of a fault for the request of a number, counted from 0, and its texts; None for none.
        refused: Parameters that the server does not know.
        key: The key that it wants; None for none.
    """

    def __init__(
        self,
        answer: Callable[[str, str], Any] | None = None,
        fault: Callable[[int, list[str]], str | None] = lambda number, texts: None,
        refused: tuple[str, ...] = (),
        key: str | None = None,
    ) -> None:
        self.answer = answer or (lambda text, system: f"{language_in(system)} {text}")
        self.fault, self.refused, self.key = fault, refused, key
        self.asked: list[list[str]] = []
        self.answered: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.times: list[float] = []
        self.running = self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = self.refusal = ""
        self.status = 400  # of a refused parameter
        self.damage: Callable[[bytes], bytes] = lambda data: data  # of good responses
        self.tokens = 10  # that it says a text costs


def language_in(system: str) -> str:
    """The code of the target language in a prompt."""
    found = re.search(r"language code ([\w-]+)", system)
    return found[1] if found else "?"


@contextmanager
def served(stub: Stub):
    """Serve on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            with stub.lock:
                stub.running += 1
                stub.most_at_once = max(stub.most_at_once, stub.running)
            try:
                _handle(self, stub)
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with stub.lock:
                    stub.running -= 1

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that does not wait
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handle(handler: BaseHTTPRequestHandler, stub: Stub) -> None:
    body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
    assert handler.path == "/v1/chat/completions"
    system, user = (message["content"] for message in body["messages"])
    texts = json.loads(user)
    with stub.lock:
        number = len(stub.asked)
        stub.asked.append(list(texts.values()))
        stub.bodies.append(body)
        stub.times.append(time.monotonic())
    given = handler.headers.get("Authorization", "")
    if stub.key and given != f"Bearer {stub.key}":
        # Some proxies repeat the key that they refuse.
        return _send(handler, 401, {"error": {"message": stub.refusal or f"wrong key: {given}"}})
    for name in stub.refused:
        if name in body or body.get("response_format", {}).get("type") == name:
            said = {"max_tokens": "'max_tokens' is not supported; use 'max_completion_tokens'"}
            return _send(handler, stub.status, {"error": {"message": said.get(name, f"unknown parameter {name}")}})
    answers = {key: stub.answer(text, system) for key, text in texts.items()}
    fault = stub.fault(number, list(texts.values()))
    if fault:
        with stub.lock:
            stub.faults.append(fault)
    return _respond(handler, stub, answers, fault, list(texts.values()))


def _respond(
    handler: BaseHTTPRequestHandler, stub: Stub, answers: dict[str, Any], fault: str | None, texts: list[str]
) -> None:
    if fault and fault[:3].isdigit():
        date = formatdate(math.ceil(time.time() + 0.2), usegmt=True)  # it has whole seconds
        headers = {"429 seconds": "0.05", "429 date": date, "429 long": "4000"}
        return _send(handler, int(fault[:3]), {"error": {"message": f"no: {fault}"}}, headers.get(fault))
    if fault in ("slow", "drip"):
        return _drip(handler) if fault == "drip" else time.sleep(0.6)
    if fault in ("html", "broken body"):
        return _raw(handler, *((502, b"<html>bad gateway</html>") if fault == "html" else (200, b'{"choices": [')))
    content = json.dumps(answers)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
    if fault in OF_ANSWER:
        _spoil(fault, answers, choice, message)
    document: dict[str, Any] = {"choices": [choice], "usage": {"total_tokens": stub.tokens * len(answers)}}
    if fault == "no choices":
        document["choices"] = []
    if fault == "cut":
        data = json.dumps(document).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.close_connection = True
        return None
    if not fault:
        with stub.lock:
            stub.answered += texts
    return _raw(handler, 200, stub.damage(json.dumps(document).encode()))


def _drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a blank now and then, as servers do that keep a connection open."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        time.sleep(0.05)
    handler.close_connection = True


def _spoil(fault: str, answers: dict[str, Any], choice: dict[str, Any], message: dict[str, Any]) -> None:
    """Damage an answer."""
    last = max(answers, key=int)
    content = json.dumps(answers)
    message["content"] = {
        "broken json": content[:-3],
        "wrong count": json.dumps({key: value for key, value in answers.items() if key != last}),
        "more": json.dumps(answers | {str(len(answers) + 1): "more"}),
        "other numbers": json.dumps({str(int(key) - 1): value for key, value in answers.items()}),
        "duplicate": content[:-1] + f', "{last}": "again"}}',
        "refusal": "I'm sorry, I can't help with that.",
        "empty": " ",
        "list": json.dumps(list(answers.values())),
        "half character": json.dumps(answers | {last: "\ud800"}),
        "example": json.dumps(answers | {last: "The text in German."}),
        "not text": json.dumps(answers | {last: 7}),
    }.get(fault, None if fault in ("null", "refusal field") else content)
    if fault == "refusal field":
        message["refusal"] = "I will not."
    if fault == "length":
        choice["finish_reason"] = "length"
    if fault == "no message":
        del choice["message"]


def _send(handler: BaseHTTPRequestHandler, status: int, document: Any, retry_after: str | None = None) -> None:
    _raw(handler, status, json.dumps(document).encode(), {"Retry-After": retry_after} if retry_after else {})


def _raw(handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)
