"""`clear-ir demo` in a process of its own, for measurements, pictures and tests."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Number of the page's function that answers a typed question.
ANSWER = 2


@dataclass(frozen=True)
class RunningDemo:
    """A demo that is being served on this computer.

    Args:
        process: It is served by this process.
        port: Its port.
    """

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def wait(self) -> None:
        """Wait until the page can be reached."""
        for _ in range(300):
            with suppress(ConnectionRefusedError):
                self.ask("GET", "/")
                return
            time.sleep(0.1)
        raise RuntimeError("The demo does not answer.")

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        chunks: Sequence[bytes] = (),
    ) -> tuple[int, bytes]:
        """Status and content of an answer. The path goes out as it is, without being tidied up.

        Args:
            method: GET, POST or another.
            path: The path.
            body: What is sent, with its length.
            headers: Further headers; `Host` replaces the usual one.
            chunks: What is sent piece by piece, without a length.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(chunks or body, encode_chunked=bool(chunks))
            answer = connection.getresponse()
            return answer.status, answer.read(2**22)
        finally:
            connection.close()

    def call(self, values: Sequence[Any], session: str, function: int = ANSWER) -> tuple[int, bytes]:
        """Call a function of the page as the page does: the status, and all that is said until the call ends."""
        call = json.dumps({"data": values, "fn_index": function, "session_hash": session, "event_data": None})
        status, answer = self.ask("POST", "/gradio_api/queue/join", call.encode(), {"Content-Type": "application/json"})
        if status != 200:
            return status, answer
        return status, self.ask("GET", f"/gradio_api/queue/data?session_hash={session}")[1]


@contextmanager
def running_demo(
    folder: Path, *arguments: object, program: Sequence[str] = ("-m", "clear_ir")
) -> Iterator[RunningDemo]:
    """Start a demo on a free port. It ends with the block.

    Args:
        folder: Where it runs, in the folder `here`, and leaves what it prints, as `output.txt`.
        arguments: Those of `clear-ir demo`.
        program: What Python is told, to run clear-ir.
    """
    output = folder / "output.txt"
    command = [sys.executable, *program, "demo", "--port", "0", *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    (folder / "here").mkdir(exist_ok=True)
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=folder / "here", env=environment, stdout=file, stderr=file)
    try:
        demo = RunningDemo(process, _port_in(process, output))
        demo.wait()
        yield demo
    finally:
        process.terminate()
        process.wait(timeout=20)


def _port_in(process: subprocess.Popen[bytes], output: Path) -> int:
    """The port that a starting demo names."""
    while process.poll() is None:
        if address := re.search(r"http://\S+:(\d+) ", output.read_text()):
            return int(address[1])
        time.sleep(0.1)
    raise RuntimeError(f"The demo ended: {output.read_text()}")
