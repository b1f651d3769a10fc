"""What can be reached through the running demo: its page, and no file, no other host, no other interface."""

import http.client
import json
import random
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import refused
from ranked import write_questions

from benchmarks.running_demo import RunningDemo, running_demo
from clear_ir.serve.demo_page import MOST_QUESTION_LETTERS
from clear_ir.serve.demo_server import MOST_BYTES

pytestmark = pytest.mark.skipif(not find_spec("gradio"), reason="Gradio is not installed: pip install 'clear-ir[demo]'")

#: Runs clear-ir, and notes what the process reaches and opens.
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
SECRET = "a-secret-that-no-answer-holds"
#: Interfaces of the library behind the page that it does not need.
CLOSED = """
/config /config/ /info /docs /redoc /openapi.json /token /app_id /user /login /login_check /logout /monitoring
/monitoring/summary /manifest.json /pwa_icon /robots.txt /svelte/x /runs /gradio_api/info /gradio_api/openapi.json
/gradio_api/upload /gradio_api/upload_progress /gradio_api/startup-events /gradio_api/deep_link /gradio_api/runs
/gradio_api/run/answer /gradio_api/run/predict /gradio_api/api/answer /gradio_api/call/answer /gradio_api/call/v2/answer
/gradio_api/component_server /gradio_api/process_recording /gradio_api/vibe-edit /gradio_api/vibe-code
/gradio_api/dev/reload /gradio_api/mcp/ /gradio_api/mcp/sse /gradio_api/mcp/schema /gradio_api/theme.css
/gradio_api/stream/a/1/2/playlist.m3u8 /gradio_api/custom_component/x/client/component/index.js /gradio_api/file /.git
""".split()


@pytest.fixture(scope="module")
def canary():
    """A web server that nobody should call; what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    file = tmp_path_factory.mktemp("private") / "secret.txt"
    file.write_text(SECRET)
    return file


class NotedDemo(RunningDemo):
    """A demo with the notes on its process."""

    log: Path

    def noted(self, *events):
        """What the process did, of these kinds."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(events)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory, tiny_folder, other_folder):
    folder = tmp_path_factory.mktemp("demo")
    NotedDemo.log = folder / "noted.txt"
    models = ("--model", tiny_folder, "--model", other_folder, "--cache", folder / "cache")
    program = ("-c", PROGRAM, str(NotedDemo.log))
    with running_demo(folder, *models, "--data", write_questions(folder / "data"), program=program) as running:
        yield NotedDemo(running.process, running.port)


def events(stream):
    return [json.loads(line[5:]) for line in stream.decode().splitlines() if line.startswith("data:")]


def test_it_answers_and_no_analytics_file_or_host_is_touched(demo):
    status, stream = demo.call(["what moon", "en", True], "usual")
    assert status == 200
    last = events(stream)[-2]
    assert last["success"], stream
    assert "The right passage is at rank" in last["output"]["data"][0]
    assert not demo.noted("socket.getaddrinfo", "subprocess.Popen", "os.system")
    assert not [line for line in demo.noted("socket.connect") if "127.0.0.1" not in line]
    assert not [*(demo.log.parent / "here").iterdir()], "nothing is written into the user's folder"
    assert demo.noted("open"), "the notes are taken"


def test_the_page_names_no_other_host_and_forbids_them(demo):
    status, page = demo.ask("GET", "/")
    assert status == 200
    assert str(demo.log.parent).encode() not in page, "no path of this computer"
    fetched = [part for part in page.decode().split("<") if part.startswith(("script src", "link", "img"))]
    assert fetched
    assert not [tag for tag in fetched if "//" in tag]
    connection = http.client.HTTPConnection("127.0.0.1", demo.port)
    connection.request("GET", "/")
    headers = connection.getresponse().headers
    connection.close()
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def ways_to(path, url):
    """Addresses under which servers of this kind give files and other hosts."""
    up = "../" * 12
    encoded = up.replace("/", "%2f")
    doubled = up.replace(".", "%2e")
    for target in (
        path,
        path.lstrip("/"),
        up + path.lstrip("/"),
        encoded + path.lstrip("/"),
        doubled + path.lstrip("/"),
    ):
        for place in ("/file=", "/file/", "/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/", "//"):
            yield place + target
    for place in ("/file=", "/gradio_api/file=", "/proxy=", "/gradio_api/proxy=", "/gradio_api/proxy=/"):
        yield place + url
        yield place + url.replace("/", "%2f")


def test_no_file_and_no_other_host_is_reached_by_a_path(demo, secret, canary):
    url, asked = canary
    tried = [*ways_to(str(secret), url), *ways_to("/etc/passwd", url), *ways_to("/proc/self/environ", url)]
    tried += ["/static/../../../routes.py", "/assets/..%2f..%2f..%2froutes.py", "/static/..\\..\\routes.py"]
    tried += ["/static/%00", *CLOSED]
    for path in tried:
        for method in ("GET", "HEAD", "POST"):
            status, body = demo.ask(method, path, b"{}" if method == "POST" else None)
            assert status in (400, 404), f"{method} {path}: {status}"
            assert SECRET.encode() not in body
            assert b"root:" not in body
    assert not asked
    opened = "\n".join(demo.noted("open"))
    assert not [target for target in (secret.name, "/etc/passwd", "/proc/self/environ") if target in opened]


def test_made_up_paths_of_every_kind(demo, secret):
    draw = random.Random(0)
    parts = r"gradio_api file= queue join data static assets .. %2e%2e %2f // \ . ? proxy= upload heartbeat".split()
    parts += [*"session_hash=a %ff %00 ; @127.0.0.1 * ~ #".split(), str(secret)]
    for _ in range(400):
        path = "/" + "".join(draw.choice(["/", ""]) + draw.choice(parts) for _ in range(draw.randint(1, 6)))
        if "heartbeat/" in path or "queue/data" in path:  # they go on for ever, as they should
            continue
        status, body = demo.ask(draw.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]), path)
        assert status < 500, path
        assert SECRET.encode() not in body, path
    assert demo.ask("GET", "/")[0] == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "TRACE", "CONNECT", "POST"])
def test_other_methods_are_refused(demo, method):
    assert demo.ask(method, "/", b"" if method == "POST" else None)[0] in (400, 404)


def test_another_name_or_another_page_is_refused(demo):
    """A site that gives its own name this address, and one that calls the demo from a browser."""
    assert demo.ask("GET", "/", headers={"Host": "evil.example"})[0] == 421
    assert demo.ask("GET", "/", headers={"Host": f"127.0.0.1.evil.example:{demo.port}"})[0] == 421
    assert demo.ask("GET", "/", headers={"Host": f"localhost:{demo.port}"})[0] == 200
    join = "/gradio_api/queue/join"
    assert demo.ask("POST", join, b"{}", {"Origin": "http://evil.example"})[0] == 403
    assert demo.ask("POST", join, b"{}", {"Origin": "null"})[0] == 403
    same = {"Host": f"127.0.0.1:{demo.port}", "Origin": f"http://127.0.0.1:{demo.port}"}
    assert demo.ask("POST", join, b"{}", same)[0] == 422, "it passes the gate, and says nothing that is understood"


def test_large_calls_and_those_that_are_none_are_refused(demo):
    call = {"data": ["what moon", "en", False], "fn_index": 2, "session_hash": "x"}
    join = "/gradio_api/queue/join"

    def status_of(body, chunked=False):
        if chunked:
            return demo.ask("POST", join, headers={"Transfer-Encoding": "chunked"}, chunks=[body])[0]
        return demo.ask("POST", join, body, {"Content-Type": "application/json"})[0]

    plain = json.dumps(call).encode()
    assert status_of(plain) == 200
    spaces = b" " * (MOST_BYTES - len(plain))
    assert status_of(plain + spaces) == 200
    assert status_of(plain + spaces + b" ") == 413
    assert status_of(plain + spaces + b" ", chunked=True) == 413
    nested = {"data": ["x", [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}], False]}
    for changed in ({"data": None}, {"data": {}}, {"fn_index": 99}, {"fn_index": None}, {"fn_index": []}, nested):
        assert status_of(json.dumps(call | changed).encode()) == 422, changed
    for other in (b"", b"null", b"[]", b"[" * 60_000, b"\xff", b"{}"):
        assert status_of(other) == 422, other
    assert demo.call(["x" * (MOST_QUESTION_LETTERS + 1), "en", False], "long")[0] == 200


def test_made_up_calls_reach_nothing(demo, secret, canary):
    """Values of other types, files by path and by address, other functions and sessions."""
    url, asked = canary
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}, "orig_name": "x", "mime_type": "text/plain"}
    values = [
        file,
        {**file, "url": url},
        {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}},
        [file],
        {"a": file},
        str(secret),
        f"file://{secret}",
        url,
        None,
        True,
        -1,
        10**30,
        1e308,
        [],
        {},
        [[[[]]]],
        "\u0000",
        "{{7*7}}",
        "__class__",
        "all",
        "en",
        "what moon",
    ]
    draw = random.Random(0)
    answered = 0
    for number in range(120):
        data = [draw.choice(values) for _ in range(draw.choice([3, 3, 3, 3, 0, 1, 2, 5]))]
        status, stream = demo.call(data, f"s{number}", draw.choice([0, 1, 2, 2, 2, 3, -1, 99]))
        assert status in (200, 422), stream
        answered += status == 200
        assert SECRET.encode() not in stream
        assert b"Traceback" not in stream
    assert answered > 20, "many calls came through to the page's functions"
    assert not asked
    assert not [line for line in demo.noted("open") if secret.name in line]
    assert not demo.noted("socket.getaddrinfo")
    assert demo.call(["what moon", "en", True], "afterwards")[0] == 200


def test_what_is_asked_is_not_kept(demo):
    """The cache has the passages, and a question adds nothing to it."""
    cache = demo.log.parent / "cache"

    def files():
        return {file: file.stat().st_mtime_ns for file in cache.rglob("*") if file.is_file()}

    before = files()
    assert before, "the passages are kept"
    assert demo.call(["a question that nobody asked before", "en", False], "once")[0] == 200
    assert files() == before


def test_ctrl_c_ends_it_well(tmp_path, tiny_folder):
    models = ("--model", tiny_folder, "--data", write_questions(tmp_path / "data"))
    with running_demo(tmp_path, *models, "--host", "0.0.0.0") as opened:
        assert opened.call(["what moon", "en", False], "first")[0] == 200
        assert opened.ask("GET", "/", headers={"Host": "computer.example"})[0] == 200
        waiting = http.client.HTTPConnection("127.0.0.1", opened.port)
        waiting.request("GET", "/gradio_api/queue/data?session_hash=open")  # an open page
        opened.process.send_signal(signal.SIGINT)
        assert opened.process.wait(timeout=20) == 0
        waiting.close()
    said = (tmp_path / "output.txt").read_text()
    assert "Everybody who reaches this computer can read the collection" in said
    assert said.endswith("Stopped.\n")


def test_upload_is_closed_and_leaves_nothing(demo, secret):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../evil.txt"\r\n\r\nevil\r\n--x--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in ("/upload", "/gradio_api/upload", "/gradio_api/upload?upload_id=1"):
        assert demo.ask("POST", path, body, kind)[0] == 404
    assert not [line for line in demo.noted("open") if "evil" in line]


QUEUE = """
import threading
from starlette.testclient import TestClient
from clear_ir.serve.demo_page import MOST_WAITING, build_page
from clear_ir.serve.demo_server import page_application

go_on, running, most_running = threading.Event(), [], 0

class SlowDemo:
    collection = type("Named", (), {"name": "slow", "passages": {"p": None}})
    indexes = {"m": None}
    langs = ["en"]

    def examples(self):
        return []

    def answer(self, question, pool, with_scores):
        global most_running
        running.append(question)
        most_running = max(most_running, len(running))
        go_on.wait(30)
        running.pop()
        return "done"

with TestClient(page_application(build_page(SlowDemo()))) as client:
    calls = [
        {"data": ["q", "en", False], "fn_index": 1 + i % 2, "session_hash": f"s{i}"} for i in range(MOST_WAITING + 10)
    ]
    statuses = [client.post("/gradio_api/queue/join", json=call).status_code for call in calls]
    go_on.set()
assert MOST_WAITING <= statuses.count(200) <= MOST_WAITING + 2, statuses
assert set(statuses) == {200, 503}, statuses
assert most_running == 1, most_running
"""


def test_the_queue_has_an_end():
    """One question is answered at a time; `MOST_WAITING` wait; further ones are refused."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", QUEUE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_wrong_inputs(run, tmp_path, data, tiny_folder, demo, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", SimpleNamespace(__version__="6.31.0"))  # none of them reaches it
    with_model = ("--model", tiny_folder, "--data", data)
    refused(run("demo", "--model", tiny_folder, "--data", tmp_path / "none"), tmp_path / "none")
    refused(run("demo", "--model", tmp_path / "none", "--data", data, "--port", 0), tmp_path / "none")
    refused(run("demo", *with_model, "--port", demo.port), f"Port {demo.port} of 127.0.0.1", "--port", "in use")
    refused(run("demo", *with_model, "--port", 70000), "--port")
    refused(run("demo", *with_model, "--host", "192.0.2.1", "--port", 0), "192.0.2.1", "--host")
    refused(run("demo", *with_model, "--host", "no.such.host.invalid", "--port", 0), "no.such.host.invalid", "--host")
    refused(run("demo", *with_model, "--model", "a", "--model", "b"), "3 models", "--model")
    refused(run("demo", *with_model, "--model", f"{tiny_folder}/"), "named twice", "--model")
    refused(run("demo", "--data", data), "'--model'")
    (data / "corpus.jsonl").write_text("")
    refused(run("demo", *with_model), "corpus.jsonl")
    old = SimpleNamespace(__version__="5.9.1")
    for installed, sentence in ((old, "newer Gradio than 5.9.1"), (None, "gradio is missing")):
        monkeypatch.setitem(sys.modules, "gradio", installed)
        refused(run("demo", *with_model), "The demo needs", sentence, "pip install 'clear-ir[demo]'")


def test_the_notes_would_show_a_file_that_is_opened(demo):
    """The guard of the tests above: the page's own files are in the notes."""
    page = demo.ask("GET", "/")[1].decode()
    script = page.split('src="./assets/')[1].split('"')[0]
    assert demo.ask("GET", f"/assets/{script}")[0] == 200
    assert [line for line in demo.noted("open") if Path(script).name in line]
