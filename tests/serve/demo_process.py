"""`clear-ir demo` in a process of its own, which notes what it reaches and opens."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """
import sys

log = open(sys.argv.pop(1), "w", buffering=1)

def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "open", "subprocess.Popen", "os.system"):
        log.write(f"{event} {arguments!r}\\n")

sys.addaudithook(note)
from clear_ir.cli.app import main
main()
"""


@dataclass
class RunningDemo:
    """A demo that is being served."""

    process: subprocess.Popen
    port: int
    log: Path

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method, path, body=None, headers=None, chunks=None):
        """Status and body of a request; the path goes out as it is, without being tidied up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
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

    def join(self, data, session, function=2):
        """Ask what the page asks: status of the call, and all that its event stream says."""
        call = json.dumps({"data": data, "fn_index": function, "session_hash": session, "event_data": None})
        status, answer = self.ask("POST", "/gradio_api/queue/join", call.encode(), {"Content-Type": "application/json"})
        if status != 200:
            return status, answer
        return status, self.ask("GET", f"/gradio_api/queue/data?session_hash={session}")[1]

    def noted(self, *events):
        """What the process did, of these kinds."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(events)]


@contextmanager
def running_demo(folder, *arguments):
    """Start a demo on a free port; it ends with the block."""
    log, output = folder / "noted.txt", folder / "output.txt"
    command = [sys.executable, "-c", PROGRAM, str(log), "demo", "--port", "0", *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    (folder / "here").mkdir()
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=folder / "here", env=environment, stdout=file, stderr=file)
    try:
        yield RunningDemo(process, _port_that_answers(process, output), log)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _port_that_answers(process, output):
    """The port that the demo names. It answers a moment later."""
    for _ in range(600):
        address = re.search(r"http://127.0.0.1:(\d+) ", output.read_text())
        with suppress(ConnectionRefusedError):
            if address and RunningDemo(process, int(address[1]), output).ask("GET", "/")[0] == 200:
                return int(address[1])
        assert process.poll() is None, output.read_text()
        time.sleep(0.1)
    raise AssertionError(f"the demo does not answer: {output.read_text()}")
