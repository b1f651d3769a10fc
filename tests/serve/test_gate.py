"""The gate before the demo's page, without the page, and the port that it stands on."""

import asyncio
import json
import socket

import pytest

from clear_ir.data.files import InputError
from clear_ir.serve.demo_server import CALLS, HEADERS, Gate, is_loopback, reserved_port


def pass_through(gate, method="GET", path="/", headers=(), messages=()):
    """The status of the answer, its headers, and what the application behind the gate got as body."""
    sent, got = [], []

    async def app(scope, receive, send):
        if scope["method"] == "POST":
            got.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    left = [*messages]

    async def receive():
        return left.pop(0)

    async def send(message):
        sent.append(message)

    gate.app = app
    scope = {"type": "http", "method": method, "path": path, "headers": [*headers]}
    asyncio.run(gate(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), got


def test_a_host_of_another_name_is_served_only_where_the_user_opened_the_demo():
    other = [(b"host", b"example.org:7860")]
    assert pass_through(Gate(None, {2}, only_loopback=True), headers=other)[0] == 421
    assert pass_through(Gate(None, {2}, only_loopback=False), headers=other)[0] == 200
    assert pass_through(Gate(None, {2}, only_loopback=True), headers=[(b"host", b"[::1]:7860")])[0] == 200
    assert pass_through(Gate(None, {2}, only_loopback=True), headers=[])[0] == 421


@pytest.mark.parametrize("path", ["/", "/config"])
def test_every_answer_forbids_other_hosts(path):
    gate = Gate(None, {2}, only_loopback=False)
    headers = pass_through(gate, path=path)[1]
    assert {name.lower().encode() for name in HEADERS} <= headers.keys()


def test_a_call_arrives_in_pieces_and_is_written_anew():
    body = b'{"data": [{"path": "/etc/passwd"}], "data": ["a", true, null, 1.5], "fn_index": 2, "more": {"a": 1}}'
    pieces = [
        {"type": "http.request", "body": body[:50], "more_body": True},
        {"type": "http.request", "body": body[50:]},
    ]
    gate = Gate(None, {2}, only_loopback=False)
    status, _, [got] = pass_through(gate, "POST", CALLS, messages=pieces)
    assert status == 200
    assert json.loads(got) == {"data": ["a", True, None, 1.5], "fn_index": 2, "more": {"a": 1}}
    assert b"passwd" not in got
    for value in ({"path": "/etc/passwd"}, ["/etc/passwd"]):
        refused = json.dumps({"data": ["a", value], "fn_index": 2}).encode()
        status, _, got = pass_through(gate, "POST", CALLS, messages=[{"type": "http.request", "body": refused}])
        assert (status, got) == (422, [])


def test_a_websocket_is_left_unanswered():
    async def never(*_):
        raise AssertionError("it reached the page")

    asyncio.run(Gate(never, {2}, True)({"type": "websocket", "path": "/"}, never, never))


def test_ports():
    with reserved_port("127.0.0.1", 0) as reserved:
        assert is_loopback(reserved)
        port = reserved.getsockname()[1]
        reserved.listen()
        with pytest.raises(InputError, match=f"Port {port} of 127.0.0.1") as refused, reserved_port("127.0.0.1", port):
            pass
        assert refused.value.settings == ("host", "port")
    with reserved_port("127.0.0.1", port):  # it is free again
        pass
    with reserved_port("0.0.0.0", 0) as reserved:
        assert not is_loopback(reserved)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_loopback_of_ipv6():
    try:
        with reserved_port("::1", 0) as reserved:
            assert is_loopback(reserved)
    except InputError:
        pytest.skip("this machine has no loopback address of IPv6")
