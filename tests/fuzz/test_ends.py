"""Both ends of a connection without any network: what each accepts, and how long it waits."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import msgpack
import pytest
from fuzz_sockets import KEY, Answering, FakeSocket, arrived, describe, signed
from Pyro4 import errors, message, util

from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import DispatcherEndpoint
from hpdist.cluster.transport.pyro import HANDSHAKE_S, MESSAGE_S, OBJECT_ID, Reader, session_mark
from hpdist.cluster.transport.server import GuardedDaemon
from hpdist.core.model.errors import AuthenticationError, ProtocolMismatch, TransportError
from hpdist.core.model.json_codec import encode
from hpdist.core.remote.channel import exchange
from hpdist.core.remote.messages import Poll
from hpdist.core.remote.replies import Reply, write_reply

UNSIGNED = 8
HELLO = msgpack.packb({"handshake": "hpdist", "object": OBJECT_ID})
CALL = msgpack.packb((OBJECT_ID, "exchange", ("{}",), {}))


def result(value: object, **more: Any) -> bytes:
    return describe(message.MSG_RESULT, msgpack.packb(value), **more)


# ------------------------------------------------------------------- the server's end


class Desk:
    """A daemon that serves nobody by itself, and what it was asked."""

    def __init__(self) -> None:
        self.served: list[Mapping[str, Any]] = []
        self.daemon = GuardedDaemon("127.0.0.1", 0, KEY, 8)
        self.daemon.register(DispatcherEndpoint(self._answer, self._answer), OBJECT_ID)

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.served.append(asked)
        return write_reply(Reply("ok", 1))

    def introduce(self, said: bytes, **more: Any) -> tuple[bool, Any]:
        conn = arrived(self.daemon, FakeSocket(said, **more))
        return self.daemon._handshake(conn), conn

    def call(self, conn: Any, said: bytes) -> None:
        conn.sock._said = said
        self.daemon.handleRequest(conn)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.daemon.stop()


def test_an_introduction_is_awaited_two_seconds_at_most(desk: Desk) -> None:
    admitted, conn = desk.introduce(signed(describe(message.MSG_CONNECT, HELLO)), piece=7)
    assert admitted
    assert len(conn.sock.patience) > 3
    assert all(limit is not None and limit <= HANDSHAKE_S for limit in conn.sock.patience)


def test_a_message_that_was_begun_is_not_awaited_for_ever() -> None:
    sock = FakeSocket(signed(describe(message.MSG_INVOKE, CALL)), piece=7)
    reader = Reader(sock)
    reader.expect()
    message.Message.recv(reader, hmac_key=KEY)
    first, *others = sock.patience
    assert first is None
    assert all(limit is not None and limit <= MESSAGE_S for limit in others)


@pytest.mark.parametrize("flags", [1 << bit for bit in range(16)])
def test_a_flag_that_was_not_allowed_ends_the_reading(flags: int) -> None:
    whole = message.Message(message.MSG_INVOKE, CALL, 6, flags, 0, {}, KEY).to_bytes()
    reader = Reader(FakeSocket(whole))
    reader.expect(1.0)
    with pytest.raises(errors.ProtocolError, match="flags"):
        reader.recv(24)


@pytest.mark.parametrize("size", [1001, -1, 2**31 - 1])
def test_more_than_is_expected_is_not_read(size: int) -> None:
    header = signed(describe(message.MSG_INVOKE, CALL))[:24]
    sock = FakeSocket(header + b"x" * 2000)
    reader = Reader(sock)
    reader.expect(1.0, 1000)
    reader.recv(24)
    before = len(sock.patience)
    with pytest.raises(errors.ProtocolError, match="announced"):
        reader.recv(size)
    assert len(sock.patience) == before


@pytest.mark.parametrize("serializer", [1, 2, 3, 4, 5, 7, 99])
def test_a_peer_that_speaks_another_serializer_is_not_let_in(desk: Desk, serializer: int) -> None:
    hello = describe(message.MSG_CONNECT, HELLO, serializer=serializer)
    admitted, conn = desk.introduce(signed(hello))
    assert not admitted
    assert b"is not accepted" in conn.sock.sent


def test_a_peer_without_the_key_is_not_let_in(desk: Desk) -> None:
    hello = describe(message.MSG_CONNECT, HELLO, tricks=UNSIGNED)
    admitted, conn = desk.introduce(signed(hello))
    assert not admitted
    assert b"HMAC" not in conn.sock.sent, "he could show it as his own"


def test_a_peer_that_is_gone_before_it_is_told_is_not_counted(desk: Desk) -> None:
    admitted, conn = desk.introduce(signed(describe(message.MSG_CONNECT, HELLO)), deaf=True)
    assert not admitted
    assert not desk.daemon._connections.is_authenticated(conn)


def test_a_peer_is_counted_from_its_first_call_to_its_end(desk: Desk) -> None:
    _, conn = desk.introduce(signed(describe(message.MSG_CONNECT, HELLO)))
    assert not desk.daemon._connections.is_authenticated(conn)
    desk.call(conn, signed(describe(4, CALL), 1, session_mark(conn.nonce, 1)))
    assert desk.daemon._connections.is_authenticated(conn)
    desk.daemon._connections.remove(conn)
    assert not desk.daemon._connections.is_authenticated(conn), "it would be counted for ever"


def test_a_call_is_served_once_and_on_its_own_connection_only(desk: Desk) -> None:
    hello, call = signed(describe(message.MSG_CONNECT, HELLO)), describe(4, CALL)
    _, conn = desk.introduce(hello)
    recorded = signed(call, 1, session_mark(conn.nonce, 1))
    desk.call(conn, recorded)
    assert len(desk.served) == 1
    _, another = desk.introduce(hello)
    for again in (conn, another):
        with pytest.raises(errors.SecurityError):
            desk.call(again, recorded)
    assert len(desk.served) == 1, "a recorded call was served again"


# ------------------------------------------------------------------- the client's end


def answering(description: bytes, **more: Any) -> Any:
    """Dial a server that greets as it should, and answers calls with what is described."""
    sock = FakeSocket(answer=Answering(description), **more)
    return mock.patch.object(socket, "create_connection", return_value=sock)


def invoke(description: bytes) -> object:
    with answering(description):
        connection = Connection("the server", OBJECT_ID, "127.0.0.1", 1, KEY, 5.0)
    try:
        return connection.invoke("exchange", ("{}",), 5.0)
    finally:
        connection.close()


def test_what_was_asked_for_is_returned() -> None:
    assert invoke(result("text")) == "text"


def test_a_client_waits_no_longer_than_it_was_told() -> None:
    with answering(result("text"), piece=7) as dialled:
        connection = Connection("the server", OBJECT_ID, "127.0.0.1", 1, KEY, 5.0)
        connection.invoke("exchange", ("{}",), 5.0)
        connection.close()
    limits = dialled.return_value.patience
    assert all(limit is not None and limit <= 5.0 for limit in limits), "no limit at all"


def test_an_answer_to_another_call_is_refused() -> None:
    one_late = bytearray(result("text"))
    one_late[3] = 1
    with pytest.raises(TransportError, match="another call"):
        invoke(bytes(one_late))


def test_an_answer_that_was_recorded_is_refused() -> None:
    with answering(result("text")) as dialled:
        connection = Connection("the server", OBJECT_ID, "127.0.0.1", 1, KEY, 5.0)
    dialled.return_value._answer._count = -1  # as of an earlier call
    with pytest.raises(TransportError, match="not made for this call"):
        connection.invoke("exchange", ("{}",), 5.0)


def test_an_answer_in_another_serializer_is_refused() -> None:
    with pytest.raises(ProtocolMismatch, match="another serializer"):
        invoke(result("text", serializer=2))


def test_an_answer_without_the_key_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="another key"):
        invoke(result("text", tricks=UNSIGNED))


def test_no_object_is_made_of_what_a_server_sends() -> None:
    exit_ = {"__class__": "builtins.SystemExit", "__exception__": True, "args": ["bye"]}
    with mock.patch.object(util.SerializerBase, "dict_to_class") as make:
        assert invoke(result(exit_)) == exit_
        with pytest.raises(TransportError, match=r"builtins\.SystemExit: bye"):
            invoke(result(exit_, flags=message.FLAGS_EXCEPTION))
    make.assert_not_called()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "what"),
        ("epoch", None),
        ("acknowledged", [[1]]),
        ("cancel", [[1, -1]]),
        ("recall", [["a", "b"]]),
        ("assignments", [{"job_id": 1, "attempt": 1, "payload": {}}]),
        ("shutdown", {"drain": "no", "reason": ""}),
        ("settings", {"lease_s": 30.0, "heartbeat_s": 0.0, "poll_s": 1.0}),
    ],
)
def test_a_reply_that_a_worker_could_not_obey_is_refused_by_name(name: str, value: object) -> None:
    reply = write_reply(Reply("ok", 1)) | {name: value}
    with answering(result(encode(reply))):
        channel = DispatcherChannel(KEY, "127.0.0.1:1", "run")
        with pytest.raises(ProtocolMismatch, match=name):
            exchange(channel, Poll(worker="w", incarnation="0" * 8, request=1))
        channel.close()
