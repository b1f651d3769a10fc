"""`clear-ir push` against a server on loopback that speaks the Hub's calls."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tiny import make_training_rows, settings

from clear_ir.train.run import train_model


class Hub(ThreadingHTTPServer):
    """A hub with one model, `me/known`, which is public. Large files go to a store of their own, as on the real one."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Calls)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos, self.stored, self.commits, self.calls = {"me/known": False}, {}, [], []
        self.refuses_commits = False


class Calls(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, document=None, **headers):
        body = json.dumps(document or {}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        hub, name = self.server, self.path.split("?")[0].removeprefix("/api/models/")
        hub.calls.append(f"GET {name}")
        if name in hub.repos:
            return self.answer(200, {"id": name, "private": hub.repos[name], "siblings": []})
        return self.answer(404, {"error": "Repository not found"}, **{"X-Error-Code": "RepoNotFound"})

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
        self.server.stored[self.path.rpartition("/")[2]] = data
        self.answer(200)

    def do_POST(self):  # noqa: PLR0911, one for each call
        hub, path = self.server, self.path.split("?")[0]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hub.calls.append(f"POST {path}")
        assert self.headers["Authorization"] == "Bearer hf_test"
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            if name in hub.repos:
                return self.answer(409, {"error": "exists", "url": f"{hub.url}/{name}"})
            hub.repos[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            return self.answer(200, {"url": f"{hub.url}/{name}"})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if "/preupload/" in path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {file: "lfs" if file.endswith(".safetensors") else "regular" for file in files}
            return self.answer(
                200, {"files": [{"path": f, "uploadMode": m, "shouldIgnore": False} for f, m in modes.items()]}
            )
        if path.endswith("/objects/batch"):
            actions = [
                {**thing, "actions": {"upload": {"href": f"{hub.url}/store/{thing['oid']}"}}}
                for thing in json.loads(body)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": actions})
        if hub.refuses_commits:
            return self.answer(403, {}, **{"X-Error-Message": "no right to write"})
        hub.commits.append([json.loads(line) for line in body.splitlines()])
        return self.answer(200, {"success": True, "commitOid": "0" * 40, "commitUrl": f"{hub.url}/me/m/commit/0"})


@pytest.fixture
def hub():
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_folder):
    folder = tmp_path_factory.mktemp("push") / "m"
    train_model(str(tiny_folder), make_training_rows(), settings(max_steps=1, dev_share=0.0), folder)
    (folder / "tensorboard").mkdir(exist_ok=True)
    (folder / "tensorboard" / "events.my-computer").write_text("x")
    return folder


def push(hub, *arguments, answer="", token="hf_test"):
    changed = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": "/nowhere"}
    environment = {**os.environ, **changed, "HF_TOKEN": token}
    command = [sys.executable, "-m", "clear_ir", "push", *map(str, arguments)]
    return subprocess.run(command, env=environment, input=answer, capture_output=True, text=True)


def test_the_files_arrive_as_shown_in_one_commit(hub, model, tiny_folder):
    done = push(hub, model, "me/new", "--private", answer="y\n")
    assert done.returncode == 0, done.stderr
    assert hub.repos["me/new"] is True
    assert "to me/new, private. It is new." in done.stdout
    assert f"Uploaded: {hub.url}/me/new" in done.stdout
    assert f"recipe.yaml names a path of this computer: {tiny_folder}" in done.stdout
    (commit,) = hub.commits
    arrived = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"])
        if line["key"] == "file"
        else hub.stored[line["value"]["oid"]]
        for line in commit
        if line["key"] != "header"
    }
    on_disk = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    card = on_disk["README.md"].decode().replace("path/to/this/model", "me/new")
    assert 'SentenceTransformer("me/new")' in card
    expected = {name: data for name, data in on_disk.items() if not name.startswith("tensorboard")}
    assert arrived == {**expected, "README.md": card.encode()}
    assert {line.split()[-1] for line in done.stdout.splitlines() if line.startswith("  ")} == set(expected)


def test_nothing_is_sent_before_the_answer(hub, model):
    for answer in ("n\n", "", "\n"):
        assert push(hub, model, "me/known", answer=answer).returncode == 130
    # The library may ask for other things that are no model's.
    assert [call for call in hub.calls if "/api/" not in call] == ["GET me/known"] * 3
    assert not [call for call in hub.calls if call.startswith("POST")]
    done = push(hub, model, "me/known", "--yes")
    assert done.returncode == 0, done.stderr
    assert "public: everybody can read it. It exists; files of the same names are replaced." in done.stdout
    assert len(hub.commits) == 1


def test_what_cannot_be_pushed_is_refused_in_a_sentence(hub, model, tmp_path):
    hub.refuses_commits = True
    for arguments, token, sentence in (
        ((tmp_path, "me/new"), "hf_test", "has no modules.json"),
        ((model, "new"), "hf_test", "write user/name"),
        ((model, "me/a b"), "hf_test", "is no name of a model on the Hub"),
        ((model, "me/known", "--private"), "hf_test", "exists and is public"),
        ((model, "me/known"), "", "You are not logged in to the Hub"),
        ((model, "me/known"), "hf_test", "no right to write"),
    ):
        done = push(hub, *arguments, "--yes", token=token)
        assert (done.returncode, sentence in done.stderr) == (2, True), (sentence, done.stderr)
        assert "Traceback" not in done.stderr
    assert hub.commits == []
    gone = Hub()
    gone.server_close()
    done = push(gone, model, "me/known", "--yes")
    assert (done.returncode, "The Hub could not be reached" in done.stderr) == (2, True), done.stderr
