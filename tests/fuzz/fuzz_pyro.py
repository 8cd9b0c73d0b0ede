"""Pyro4's messages, with the right key and without: at both ends of a connection."""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import Callable
from unittest import mock

import msgpack
from fuzz_mutation import MSGPACK, headed
from fuzz_sockets import HEAD, KEY, Answering, FakeSocket, arrived, describe, signed
from fuzz_target import Target
from fuzz_wire import COMMANDS, MESSAGES, REPLIES, control, exchange
from Pyro4 import constants, errors, message, util

from hpdist.cluster.directory import Names, find_dispatcher, list_runs, list_workers
from hpdist.cluster.transport import client as pyro_client
from hpdist.cluster.transport.address import split_address
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import DispatcherEndpoint
from hpdist.cluster.transport.name_registry import make_daemon
from hpdist.cluster.transport.pyro import NONCE_BYTES, OBJECT_ID, Reader, session_mark
from hpdist.cluster.transport.server import GuardedDaemon
from hpdist.core.model.errors import TransportError
from hpdist.core.model.json_codec import decode

_ENDS = (errors.CommunicationError, errors.SecurityError, struct.error, UnicodeDecodeError)
"""What ends a connection that is served; Pyro4's thread for it contains them."""

_PACKED = headed(MSGPACK, HEAD)


@functools.cache
def dispatcher() -> GuardedDaemon:
    """A dispatcher's daemon, which serves nobody by itself."""
    daemon = GuardedDaemon("127.0.0.1", 0, KEY, 8)
    daemon.register(DispatcherEndpoint(exchange, control), OBJECT_ID)
    return daemon


@functools.cache
def nameserver() -> GuardedDaemon:
    """A nameserver's daemon, which serves nobody by itself."""
    return make_daemon("127.0.0.1", 0, KEY, None)


def close() -> None:
    """Stop both."""
    for made in (dispatcher, nameserver):
        if made.cache_info().currsize:
            made().stop()
            made.cache_clear()


# ------------------------------------------------------------------- at the server


def _introduce(daemon: GuardedDaemon, sock: FakeSocket) -> None:
    """Whoever only introduces himself is no peer; what is signed was meant for whoever signed."""
    conn = arrived(daemon, sock)
    admitted = daemon._handshake(conn)
    assert not daemon._connections.is_authenticated(conn)
    if admitted:
        daemon._clientDisconnect(conn)
    daemon._connections.remove(conn)
    signed = b"HMAC" in sock.sent
    _read_all(sock.sent, KEY if signed else None)


def _stranger(data: bytes) -> None:
    _introduce(dispatcher(), FakeSocket(data[1:], piece=1 + (data[0] if data else 0)))


def _introduction(daemon: Callable[[], GuardedDaemon], data: bytes) -> None:
    deaf = len(data) > 2 and data[2] == 1
    _introduce(daemon(), FakeSocket(signed(data), deaf=deaf))


def _call(daemon: GuardedDaemon, hello: bytes, data: bytes) -> None:
    """The call is served or the connection ends; what is answered is signed and can be read."""
    sock = FakeSocket(signed(hello))
    conn = arrived(daemon, sock)
    assert daemon._handshake(conn)
    sock.sent, sock._said = b"", signed(data, 1, session_mark(conn.nonce, 1))
    try:
        daemon.handleRequest(conn)
    finally:
        daemon._clientDisconnect(conn)
        daemon._connections.remove(conn)
        for reply in _read_all(sock.sent):
            if reply.type == message.MSG_RESULT and not reply.flags:
                assert decode(msgpack.unpackb(reply.data))["v"] == 1


def _read_all(sent: bytes, key: bytes | None = KEY) -> list[message.Message]:
    sock = FakeSocket(sent)
    reader, found = Reader(sock, 0xFF), []
    while sock._said or reader._arrived:
        reader.expect(1.0)
        found.append(message.Message.recv(reader, hmac_key=key))
    return found


def _call_dispatcher(data: bytes) -> None:
    _call(dispatcher(), _HELLO, data)


def _call_nameserver(data: bytes) -> None:
    try:
        sock = FakeSocket(signed(_HELLO_THERE))
        conn = arrived(nameserver(), sock)
        assert nameserver()._handshake(conn)
        sock.sent, sock._said = b"", signed(data, 1, session_mark(conn.nonce, 1))
        try:
            nameserver().handleRequest(conn)
        finally:
            nameserver()._clientDisconnect(conn)
            nameserver()._connections.remove(conn)
            _read_all(sock.sent)
    finally:
        nameserver().objectsById[constants.NAMESERVER_NAME].storage.clear()


# ------------------------------------------------------------------- at the client


def _dialled(sock: FakeSocket) -> mock._patch:
    return mock.patch.object(socket, "create_connection", return_value=sock)


def _foreseen() -> mock._patch:
    """A client whose nonce is known, so that a greeting made beforehand can be right."""
    return mock.patch.object(pyro_client, "make_nonce", return_value=bytes(NONCE_BYTES))


def _rogue(data: bytes) -> None:
    with _foreseen(), _dialled(FakeSocket(data[1:], piece=1 + (data[0] if data else 0))):
        Connection("the dispatcher", OBJECT_ID, "127.0.0.1", 1, KEY, 1.0).close()


def _greeting(data: bytes) -> None:
    with _foreseen(), _dialled(FakeSocket(answer=lambda request: signed(data))):
        Connection("the dispatcher", OBJECT_ID, "127.0.0.1", 1, KEY, 1.0).close()


def _answering(data: bytes) -> FakeSocket:
    """A peer that greets as it should, and answers all calls with what ``data`` describes."""

    return FakeSocket(answer=Answering(data))


def _answer(data: bytes) -> None:
    with _dialled(_answering(data)):
        channel = DispatcherChannel(KEY, "127.0.0.1:1", "run")
        try:
            assert channel.call({"kind": "poll"})["kind"] in ("ok", "unregistered")
        finally:
            channel.close()


def _list_of_names(data: bytes) -> None:
    with _dialled(_answering(data)):
        with Names("127.0.0.1", 1, KEY) as names:
            list_workers(names, "run")
            list_runs(names)
        split_address(find_dispatcher("127.0.0.1", 1, "run", KEY))


# ------------------------------------------------------------------- what is right


def _packed(value: object) -> bytes:
    data: bytes = msgpack.packb(value)
    return data


def _calls(object_id: str, *calls: tuple[str, tuple[object, ...]]) -> tuple[bytes, ...]:
    return tuple(
        describe(message.MSG_INVOKE, _packed((object_id, method, arguments, {})))
        for method, arguments in calls
    )


_HELLO = describe(message.MSG_CONNECT, _packed({"handshake": "hpdist", "object": OBJECT_ID}))
_HELLO_THERE = describe(
    message.MSG_CONNECT, _packed({"handshake": "hpdist", "object": constants.NAMESERVER_NAME})
)
_ASKING = bytearray(_HELLO_THERE)
_ASKING[1] = message.FLAGS_META_ON_CONNECT
_WELCOME = describe(message.MSG_CONNECTOK, _packed("00" * 32))
_DENIED = describe(message.MSG_CONNECTFAIL, _packed("all 8 connections are in use"))
_ERROR = {"__class__": "Pyro4.errors.NamingError", "__exception__": True, "args": ["unknown"],
          "attributes": {"_pyroTraceback": ["x"]}}  # fmt: skip
_RAISED = describe(message.MSG_RESULT, _packed(_ERROR), flags=message.FLAGS_EXCEPTION)
_ENTRIES = {
    "hpdist.run.dispatcher": ("PYRO:hpdist@127.0.0.1:9", ["kind=dispatcher", "run=run", "epoch=1"]),
    "hpdist.run.worker.w": ("PYRO:hpdist@127.0.0.1:9", ["kind=worker", "run=run", "host=h"]),
}
_RAW_HELLO, _RAW_WELCOME = b"\xff" + signed(_HELLO), b"\xff" + signed(_WELCOME)
_CALLS = _calls(
    OBJECT_ID,
    *(("exchange", (text.decode(),)) for text in MESSAGES),
    *(("control", (text.decode(),)) for text in COMMANDS),
)
_NAMING = (
    ("list", ("hpdist.", None, None, None, True)),
    ("register", ("hpdist.x", "PYRO:hpdist@127.0.0.1:9", False, ["kind=dispatcher"])),
    ("remove", ("hpdist.x",)),
    ("lookup", ("Pyro.NameServer",)),
    ("set_metadata", ("hpdist.x", ["a=b"])),
)
_SERPENT = tuple(
    describe(
        message.MSG_INVOKE,
        util.get_serializer("serpent").dumpsCall(constants.NAMESERVER_NAME, method, arguments, {}),
        serializer=1,
    )
    for method, arguments in _NAMING
)

TARGETS = (
    Target("stranger at the dispatcher", _stranger, (_RAW_HELLO,)),
    Target(
        "introduction to the dispatcher",
        functools.partial(_introduction, dispatcher),
        (_HELLO,),
        form=_PACKED,
    ),
    Target(
        "introduction to the nameserver",
        functools.partial(_introduction, nameserver),
        (_HELLO_THERE, bytes(_ASKING)),
        form=_PACKED,
    ),
    Target("call of the dispatcher", _call_dispatcher, _CALLS, _ENDS, _PACKED),
    Target(
        "call of the nameserver",
        _call_nameserver,
        _calls(constants.NAMESERVER_NAME, *_NAMING),
        _ENDS,
        _PACKED,
    ),
    Target("call of the nameserver in serpent", _call_nameserver, _SERPENT, _ENDS),
    Target("rogue server", _rogue, (_RAW_WELCOME,), (TransportError,)),
    Target("greeting of a server", _greeting, (_WELCOME, _DENIED), (TransportError,), _PACKED),
    Target(
        "answer of a dispatcher",
        _answer,
        (*(describe(message.MSG_RESULT, _packed(text.decode())) for text in REPLIES), _RAISED),
        (TransportError,),
        _PACKED,
    ),
    Target(
        "answer of a nameserver",
        _list_of_names,
        (describe(message.MSG_RESULT, _packed(_ENTRIES)), _RAISED),
        (TransportError,),
        _PACKED,
    ),
)
