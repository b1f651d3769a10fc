"""Serve the demo page, and nothing else: no file, no upload, no other interface of the library behind it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Container, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from clear_ir.data.files import InputError, reason_of
from clear_ir.serve.ranking_html import TEMPLATES

#: Bytes of a call. A question of 1,000 letters needs less than a tenth.
MOST_BYTES = 2**16
#: Connections at once; further ones get the answer 503.
MOST_CONNECTIONS = 100

#: What the page asks for. Its files are those of the library: none begins with a dot, so that no path leads up.
PAGES = re.compile(r"/(theme\.css|favicon\.ico|gradio_api/queue/data|(assets|static)(/\w[\w.-]*)+)?")
CALLS = "/gradio_api/queue/join"
HEADERS = {
    # The browser refuses every address but this server's, whatever a text says. The library's scripts make functions
    # of texts, hence unsafe-eval.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; object-src 'none'; frame-ancestors 'none'; form-action 'none'; "
        "base-uri 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[socket.socket]:
    """Reserve a port, so that one that is taken is an error before the passages are encoded.

    Args:
        host: Name or address of this computer.
        port: The port; 0 for any that is free.

    Yields:
        A socket that does not listen yet.

    Raises:
        InputError: If the port is taken, or the host is none of this computer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of a demo that has just ended
        try:
            reserved.bind((host, port))
        except OSError as error:
            raise InputError(
                f"Port {port} of {host} cannot be used: {reason_of(error)}; give another port, or 0 for any that is "
                "free.",
                "host",
                "port",
            ) from None
        yield reserved


def is_loopback(reserved: socket.socket) -> bool:
    """Whether only this computer can reach a port."""
    return ip_address(reserved.getsockname()[0]).is_loopback


def page_application(page: Any) -> Any:
    """The ASGI application of a page, without the gate.

    Args:
        page: The page, a `gradio.Blocks`.
    """
    import fastapi
    import gradio as gr

    return gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page,
        "/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        # The readers' own fonts: none is fetched.
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css=(TEMPLATES / "demo.css").read_text(encoding="utf-8"),
    )


def serve_page(page: Any, reserved: socket.socket) -> None:
    """Serve a page until the user stops it.

    Args:
        page: The page, a `gradio.Blocks`.
        reserved: From `reserved_port`.
    """
    import uvicorn

    config = uvicorn.Config(
        Gate(page_application(page), page.fns, only_loopback=is_loopback(reserved)),
        log_level="warning",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[reserved])


class Gate:
    """Lets pass what the page needs.

    Args:
        app: The ASGI application behind it.
        functions: The numbers of the functions that the page calls.
        only_loopback: Refuse requests that call this computer by another name than its loopback: a site could give
            its own name this address, and then read what the page shows.
    """

    def __init__(self, app: Any, functions: Container[int], only_loopback: bool) -> None:
        self.app = app
        self.functions = functions
        self.only_loopback = only_loopback

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        from starlette.datastructures import MutableHeaders
        from starlette.responses import PlainTextResponse

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        status = self._refusal(scope) if scope["type"] == "http" else None
        if not status and scope.get("method") == "POST":
            body = await _read_body(receive)
            call = b"" if body is None else self._checked_call(body)
            status = 413 if body is None else None if call else 422
            receive = _replay(call, receive)
        if status:
            await PlainTextResponse("Not on this page.\n", status)(scope, receive, send_with_headers)
        elif scope["type"] != "websocket":  # the page uses none; without an answer it is closed
            await self.app(scope, receive, send_with_headers)

    def _refusal(self, scope: Any) -> int | None:
        """The status with which a request is refused for what its first lines say."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self.only_loopback and not re.fullmatch(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", host):
            return 421
        if "origin" in headers and headers["origin"].partition("://")[2] != host:
            return 403
        is_page = scope["method"] == "GET" and PAGES.fullmatch(scope["path"])
        return None if is_page or (scope["method"], scope["path"]) == ("POST", CALLS) else 404

    def _checked_call(self, body: bytes) -> bytes:
        """A call of one of the page's functions with texts, numbers and truth values; empty if it is another.

        The library copies the files that objects among the values name. The call is written anew, so that it cannot be
        read in two ways.
        """
        try:
            call = json.loads(body)
            plain = all(isinstance(value, str | int | float | None) for value in call["data"])
            known = isinstance(call["data"], list) and call["fn_index"] in self.functions
        except (ValueError, TypeError, KeyError, RecursionError):
            return b""
        return json.dumps(call).encode() if plain and known else b""


async def _read_body(receive: Any) -> bytes | None:
    """The body of a request; None if it is too large."""
    body, more = b"", True
    while more and len(body) <= MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return None if more or len(body) > MOST_BYTES else body


def _replay(body: bytes, receive: Any) -> Any:
    """What gives a body that was read, and then whatever comes after it."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Any:
        return messages.pop() if messages else await receive()

    return replayed
