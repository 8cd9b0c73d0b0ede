"""Server and channel over real sockets: keys, silence, lies, and ends."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import Pyro4
import pytest
from Pyro4 import message as pyro_message
from Pyro4 import util as pyro_util

from hpdist.cluster.transport import connections, pyro
from hpdist.cluster.transport import server as pyro_server
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    ProtocolMismatch,
    TransportError,
)
from hpdist.core.model.events import (
    AttemptFinished,
    WorkerJoined,
)
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Launch,
    Registered,
)
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.run.inbox import QueueInbox
from hpdist.testing.executors import payload_of

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
HEADER = struct.Struct("!4sHHHHiHHHH")


def echo(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"v": 1, "kind": "ok", "epoch": 1, "said": dict(message)}


def header(kind: int = 1, size: int = 0, flags: int = 0, annotations: int = 0) -> bytes:
    total = kind + 48 + size + annotations + flags + 6 + 0x34E9
    return HEADER.pack(b"PYRO", 48, kind, flags, 0, size, 6, annotations, 0, total & 0xFFFF)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def own_threads() -> list[str]:
    ours = ("hpdist", "Pyro", "housekeeper")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(ours)]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(echo, echo, key=KEY, host="127.0.0.1")
    server.start()
    yield server
    server.close()
    until(lambda: not own_threads())


@pytest.fixture
def channel(server: Server) -> Iterator[DispatcherChannel]:
    channel = DispatcherChannel(KEY, server.uri, "run", timeout_s=10.0)
    yield channel
    channel.close()


def dial(server: Server) -> socket.socket:
    return socket.create_connection(server.address, 10.0)


def ended(sock: socket.socket) -> bool:
    """Whether the other side closes the connection within ten seconds."""
    sock.settimeout(10.0)
    with sock:
        try:
            while sock.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


# --------------------------------------------------------------------------- exchange


def test_a_message_arrives_and_its_reply_comes_back(channel: DispatcherChannel) -> None:
    said = channel.call({"worker": "w", "text": "é\U0001f600", "values": [1, 2.5, None]})["said"]
    assert said == {
        "v": 1, "run": "run", "worker": "w", "text": "é\U0001f600", "values": [1, 2.5, None],
    }  # fmt: skip


def test_control_reaches_the_other_handler() -> None:
    server = Server(echo, lambda command: echo({"command": command["command"]}), key=KEY,
                    host="127.0.0.1")  # fmt: skip
    server.start()
    channel = DispatcherChannel(KEY, server.uri, "run")
    assert channel.control({"command": "stop"})["said"] == {"command": "stop"}
    channel.close()
    server.close()


def test_a_message_of_the_largest_size_passes(channel: DispatcherChannel) -> None:
    text = "x" * (1024 * 1024)
    assert channel.call({"text": text})["said"]["text"] == text


@pytest.mark.parametrize("address", ["{}:{}", "hpdist://{}:{}", "PYRO:hpdist@{}:{}"])
def test_an_address_may_be_written_in_several_ways(server: Server, address: str) -> None:
    channel = DispatcherChannel(KEY, address.format(*server.address), "run")
    assert channel.call({})["kind"] == "ok"
    channel.close()


def test_the_address_is_asked_for_before_each_connection(server: Server) -> None:
    asked = []
    channel = DispatcherChannel(KEY, lambda: asked.append(1) or server.uri, "run")
    channel.call({})
    channel.call({})
    channel.close()
    channel.call({})
    channel.close()
    assert len(asked) == 2


def test_a_bug_in_the_dispatcher_is_told_as_data_and_the_server_lives() -> None:
    def broken(message: Mapping[str, Any]) -> dict[str, Any]:
        if message.get("break"):
            raise SystemError("secret detail")
        return echo(message)

    server = Server(broken, broken, key=KEY, host="127.0.0.1")
    server.start()
    channel = DispatcherChannel(KEY, server.uri, "run")
    with pytest.raises(ProtocolMismatch, match="bug") as caught:
        channel.call({"break": True})
    assert "secret" not in str(caught.value)
    assert channel.call({})["kind"] == "ok"
    channel.close()
    server.close()


def test_a_refusal_is_raised_with_the_words_of_the_dispatcher() -> None:
    executor = RemoteExecutor(Timing(), 1, "mnist")
    server = Server(executor.exchange, echo, key=KEY, host="127.0.0.1")
    server.start()
    channel = DispatcherChannel(KEY, server.uri, "cifar")
    with pytest.raises(ProtocolMismatch, match="serves run 'mnist'"):
        channel.call({"kind": "poll"})
    channel.close()
    server.close()


def test_a_dispatcher_that_was_replaced_has_no_say_over_workers_of_its_successor() -> None:
    old = RemoteExecutor(Timing(), 1, "run")
    server = Server(old.exchange, echo, key=KEY, host="127.0.0.1")
    server.start()
    channel = DispatcherChannel(KEY, server.uri, "run")
    with pytest.raises(TransportError, match=r"replaced.*newer dispatcher \(epoch 2\)") as caught:
        channel.call({"kind": "poll", "epoch": 2})
    assert type(caught.value) is TransportError
    with pytest.raises(ProtocolMismatch, match="incarnation"):
        channel.call({"kind": "poll", "epoch": 1, "worker": "w"})
    channel.close()
    server.close()


def test_a_worker_is_served_from_registration_to_acknowledgement() -> None:
    inbox, executor = QueueInbox(), RemoteExecutor(Timing(), 1, "run")
    executor.start(inbox.post)
    server = Server(executor.exchange, echo, key=KEY, host="127.0.0.1")
    server.start()

    def loop() -> None:
        for _, event in inbox.take(time.monotonic() + 10):
            if isinstance(event, WorkerJoined):
                executor.perform(
                    [Registered("w", "aaaaaaaa"), Launch("w", "aaaaaaaa", 1, 1, payload)]
                )
            if isinstance(event, AttemptFinished):
                executor.perform([Acknowledge("w", "aaaaaaaa", 1, 1)])

    channel, payload = DispatcherChannel(KEY, server.uri, "run"), payload_of({"x": 1})
    who = {"epoch": 0, "worker": "w", "incarnation": "aaaaaaaa"}
    with ThreadPoolExecutor(1) as pool:
        pool.submit(loop)
        reply = channel.call({**who, "request": 0, "kind": "register", "info": {}})
        assert reply["assignments"] == [{"job_id": 1, "attempt": 1, "payload": payload.to_json()}]
        pool.submit(loop)
        result = {"job_id": 1, "attempt": 1, "outcome": {"loss": 1.0}}
        poll = {**who, "request": 1, "kind": "poll", "wait": 10, "results": [result]}
        reply = channel.call(poll)
        assert reply["acknowledged"] == [[1, 1]]
        channel.close()
        assert channel.call(poll) == reply
    channel.close()
    executor.close(1.0)
    server.close()


# ------------------------------------------------------------------------------- keys


def test_a_wrong_key_is_refused_and_said_so(server: Server) -> None:
    with pytest.raises(AuthenticationError, match="another key"):
        DispatcherChannel(OTHER_KEY, server.uri, "run").call({})


def test_two_servers_with_two_keys_live_in_one_process(server: Server) -> None:
    other = Server(echo, echo, key=OTHER_KEY, host="127.0.0.1")
    other.start()
    for key, there, right in ((KEY, server, True), (KEY, other, False), (OTHER_KEY, other, True)):
        channel = DispatcherChannel(key, there.uri, "run")
        if right:
            assert channel.call({})["kind"] == "ok"
        else:
            with pytest.raises(AuthenticationError):
                channel.call({})
        channel.close()
    other.close()


@pytest.mark.parametrize("serializer", ["serpent", "json", "marshal", "msgpack"])
def test_a_client_without_a_key_is_refused(server: Server, serializer: str) -> None:
    with Pyro4.Proxy(server.uri) as proxy:
        proxy._pyroSerializer = serializer
        proxy._pyroTimeout = 10.0
        with pytest.raises(Pyro4.errors.PyroError):
            proxy._pyroBind()


@pytest.mark.parametrize("serializer", ["serpent", "json", "marshal"])
def test_another_serializer_is_refused_though_the_key_is_right(
    server: Server, serializer: str
) -> None:
    with Pyro4.Proxy(server.uri) as proxy:
        proxy._pyroHmacKey, proxy._pyroSerializer, proxy._pyroTimeout = KEY, serializer, 10.0
        with pytest.raises(Pyro4.errors.CommunicationError):
            proxy._pyroBind()


def test_a_server_without_a_key_is_not_made() -> None:
    with pytest.raises(ConfigurationError, match="key"):
        Server(echo, echo, key=b"", host="127.0.0.1").start()


def test_no_setting_of_pyro_is_changed(server: Server, channel: DispatcherChannel) -> None:
    before = Pyro4.config.asDict()
    channel.call({})
    assert Pyro4.config.asDict() == before
    fresh = Pyro4.configuration.Configuration().asDict()
    assert before == fresh


@pytest.mark.parametrize("name", ["LOGWIRE", "DETAILED_TRACEBACK", "COMPRESSION"])
def test_unsafe_settings_of_pyro_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pyro4.config, name, True)
    with pytest.raises(ConfigurationError, match=f"unset PYRO_{name}"):
        Server(echo, echo, key=KEY, host="127.0.0.1").start()


# --------------------------------------------------------------------- rogue clients


def test_silent_strangers_do_not_keep_others_out(
    server: Server, channel: DispatcherChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 60.0)
    channel.call({})
    strangers = [dial(server) for _ in range(60)]
    assert channel.call({})["kind"] == "ok"
    newcomer = DispatcherChannel(KEY, server.uri, "run")
    assert newcomer.call({})["kind"] == "ok"
    newcomer.close()
    for stranger in strangers:
        stranger.close()


def test_silent_strangers_are_shown_the_door(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 0.05)
    assert all(ended(dial(server)) for _ in range(5))


def test_the_stranger_who_waits_longest_makes_room_for_whoever_comes(
    server: Server, channel: DispatcherChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 60.0)
    monkeypatch.setattr(connections, "MAX_UNAUTHENTICATED", 5)
    channel.call({})
    strangers = [dial(server) for _ in range(5)]
    until(lambda: own_threads().count("hpdist-pyro-connection") == 6)
    newcomer = DispatcherChannel(KEY, server.uri, "run")
    assert newcomer.call({})["kind"] == "ok"
    newcomer.close()
    assert ended(strangers.pop(0))
    strangers += [dial(server) for _ in range(20)]
    assert all(ended(stranger) for stranger in strangers[:19])
    assert channel.call({})["kind"] == "ok"
    for stranger in strangers:
        stranger.close()


def test_a_drip_of_bytes_does_not_prolong_the_handshake(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 0.3)
    stranger, stopped = dial(server), threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            for byte in header(size=1000) + bytes(500):
                stranger.sendall(bytes([byte]))
                if stopped.wait(0.02):
                    return

    with ThreadPoolExecutor(1) as pool:
        pool.submit(drip)
        assert ended(stranger)
        stopped.set()


@pytest.mark.parametrize(
    "data",
    [
        header(size=0x7FFFFFFF),
        header(size=-1),
        header(size=-(2**31)),
        header(size=pyro.MAX_BYTES + 1),
        header(kind=4),
        header(annotations=3) + b"abc",
        header(annotations=6) + b"\xff\xff\xff\xff\x00\x00",
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        os.urandom(4096),
        b"\x00" * 24,
        *[header(flags=1 << bit) for bit in range(7)],
    ],
)
def test_rubbish_ends_its_own_connection_only(
    server: Server, channel: DispatcherChannel, data: bytes
) -> None:
    channel.call({})
    with dial(server) as stranger:
        stranger.sendall(data)
        assert ended(stranger)
    assert channel.call({})["kind"] == "ok"


@pytest.mark.parametrize(
    "flags",
    [
        pyro_message.FLAGS_COMPRESSED,
        pyro_message.FLAGS_ONEWAY,
        pyro_message.FLAGS_BATCH,
        pyro_message.FLAGS_KEEPSERIALIZED,
    ],
)
def test_flags_are_refused_of_a_peer_with_the_key_too(server: Server, flags: int) -> None:
    connection = Connection("the server", "hpdist", *server.address, KEY, 10.0)
    data = pyro.serializer().dumpsCall("hpdist", "exchange", ("{}",), {})
    mark = {pyro.SESSION: pyro.session_mark(connection._nonce, 1)}
    request = pyro_message.Message(4, data, 6, flags, 1, mark, KEY)
    connection._sock.sendall(request.to_bytes())
    assert ended(connection._sock)
    connection.close()


@pytest.mark.parametrize("together", [True, False])
def test_a_message_that_was_begun_must_be_completed_in_time(
    server: Server, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pyro, pyro_server):
        monkeypatch.setattr(module, "MESSAGE_S", 0.2)
    connection = Connection("the server", "hpdist", *server.address, KEY, 10.0)
    data = pyro.serializer().dumpsCall("hpdist", "exchange", ("{}",), {})
    mark = {pyro.SESSION: pyro.session_mark(connection._nonce, 1)}
    whole = pyro_message.Message(4, data, 6, 0, 1, mark, KEY).to_bytes()
    begun = header(kind=4, size=1000)
    connection._sock.sendall(whole + begun if together else begun[:5])
    assert ended(connection._sock)
    connection.close()


def test_calls_sent_together_are_served_one_after_the_other(server: Server) -> None:
    connection = Connection("the server", "hpdist", *server.address, KEY, 10.0)
    data = pyro.serializer().dumpsCall("hpdist", "exchange", ("{}",), {})
    calls = b""
    for number in (1, 2):
        mark = {pyro.SESSION: pyro.session_mark(connection._nonce, number)}
        calls += pyro_message.Message(4, data, 6, 0, number, mark, KEY).to_bytes()
    connection._sock.sendall(calls)
    for number in (1, 2):
        connection._reader.expect(10.0)
        assert pyro_message.Message.recv(connection._reader, hmac_key=KEY).seq == number
    connection.close()


def test_a_recorded_call_is_not_served_again() -> None:
    served = []
    server = Server(lambda m: served.append(m) or echo(m), echo, key=KEY, host="127.0.0.1")
    server.start()
    connection = Connection("the server", "hpdist", *server.address, KEY, 10.0)
    data = pyro.serializer().dumpsCall("hpdist", "exchange", ("{}",), {})
    mark = {pyro.SESSION: pyro.session_mark(connection._nonce, 1)}
    recorded = pyro_message.Message(4, data, pyro.serializer().serializer_id, 0, 1, mark, KEY)
    connection._sock.sendall(recorded.to_bytes())
    until(lambda: len(served) == 1)
    connection._sock.sendall(recorded.to_bytes())
    assert ended(connection._sock)
    connection.close()
    another = Connection("the server", "hpdist", *server.address, KEY, 10.0)
    another._sock.sendall(recorded.to_bytes())
    assert ended(another._sock)
    another.close()
    assert len(served) == 1
    server.close()


@pytest.mark.parametrize("method", ["_answer", "__class__", "shutdown", "exchange.__call__"])
def test_nothing_but_the_two_methods_can_be_called(server: Server, method: str) -> None:
    connection = Connection("the server", "hpdist", *server.address, KEY, 10.0)
    with pytest.raises(TransportError, match="could not handle the call"):
        connection.invoke(method, ("{}",), 10.0)


@pytest.mark.parametrize("text", ["", "[]", '{"x":NaN}', "{", 5, None, ["x"]])
def test_text_that_is_no_message_is_refused_as_data(server: Server, text: Any) -> None:
    connection = Connection("the server", "hpdist", *server.address, KEY, 10.0)
    assert '"kind":"refused"' in connection.invoke("exchange", (text,), 10.0)
    connection.close()


def test_more_workers_than_allowed_are_turned_away_with_a_word() -> None:
    server = Server(echo, echo, key=KEY, host="127.0.0.1", max_workers=0)
    server.start()
    channels = [DispatcherChannel(KEY, server.uri, "run") for _ in range(64)]
    for channel in channels:
        channel.call({})
    with pytest.raises(TransportError, match="64 connections are in use"):
        DispatcherChannel(KEY, server.uri, "run").call({})
    channels[0].close()
    late = DispatcherChannel(KEY, server.uri, "run")

    def gets_in() -> bool:
        try:
            return late.call({})["kind"] == "ok"
        except TransportError:
            return False

    until(gets_in)
    for channel in [*channels, late]:
        channel.close()
    server.close()


def test_a_hundred_connections_arriving_at_once_are_all_served(server: Server) -> None:
    def visit(number: int) -> int:
        channel = DispatcherChannel(KEY, server.uri, "run")
        try:
            return int(channel.call({"number": number})["said"]["number"])
        finally:
            channel.close()

    with ThreadPoolExecutor(50) as pool:
        assert sorted(pool.map(visit, range(100))) == list(range(100))


# --------------------------------------------------------------------- rogue servers


class Rogue:
    """Listens, and answers each connection by ``answer(socket)``."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                self._answer(sock)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class Bomb:
    """Leaves a mark when it is unpickled."""

    went_off = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Bomb, "went_off", True))


@pytest.mark.parametrize("key", [None, b"x" * 32, KEY])
@pytest.mark.parametrize("kind", [2, 3, 5])
def test_a_rogue_server_cannot_make_the_client_unpickle(key: bytes | None, kind: int) -> None:
    bomb = pickle.dumps(Bomb())
    number = pyro_util.PickleSerializer.serializer_id

    def answer(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(pyro_message.Message(kind, bomb, number, 0, 0, hmac_key=key).to_bytes())

    rogue = Rogue(answer)
    with pytest.raises((AuthenticationError, ProtocolMismatch)):
        DispatcherChannel(KEY, rogue.address, "run").call({})
    rogue.close()
    assert not Bomb.went_off


def test_a_hardened_process_cannot_unpickle_even_with_a_proxy_of_pyro(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pyro_util, "_serializers_by_id", dict(pyro_util._serializers_by_id))
    monkeypatch.setattr(Pyro4.config, "MAX_MESSAGE_SIZE", 0)
    pyro.harden_process()
    bomb = pickle.dumps(Bomb())

    def answer(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(pyro_message.Message(2, bomb, 4, 0, 0).to_bytes())

    rogue = Rogue(answer)
    with Pyro4.Proxy(f"PYRO:x@{rogue.address}") as proxy:
        proxy._pyroTimeout = 10.0
        with pytest.raises(Pyro4.errors.PyroError):
            proxy._pyroBind()
    rogue.close()
    assert not Bomb.went_off


def test_a_hardened_process_still_serves_and_tells_of_wrong_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pyro_util, "_serializers_by_id", dict(pyro_util._serializers_by_id))
    monkeypatch.setattr(Pyro4.config, "MAX_MESSAGE_SIZE", 0)
    pyro.harden_process()
    server = Server(echo, echo, key=KEY, host="127.0.0.1")
    server.start()
    with pytest.raises(AuthenticationError):
        DispatcherChannel(OTHER_KEY, server.uri, "run").call({})
    channel = DispatcherChannel(KEY, server.uri, "run")
    assert channel.call({"x": "y" * 1_000_000})["kind"] == "ok"
    channel.close()
    server.close()


@pytest.mark.parametrize(
    "data",
    [
        header(kind=2, size=0x7FFFFFFF),
        header(kind=2, size=-5),
        header(kind=2, flags=pyro_message.FLAGS_COMPRESSED),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        header(kind=2, annotations=3) + b"abc",
    ],
)
def test_lies_of_a_server_are_refused(data: bytes) -> None:
    def answer(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(data)

    rogue = Rogue(answer)
    with pytest.raises(ProtocolMismatch, match="is not the dispatcher"):
        DispatcherChannel(KEY, rogue.address, "run").call({})
    rogue.close()


def test_an_exception_of_the_server_is_told_and_not_raised() -> None:
    class Loud:
        def exchange(self, text: str) -> str:
            raise SystemExit(text)

    Pyro4.expose(Loud)
    daemon = pyro_server.GuardedDaemon("127.0.0.1", 0, KEY, 8)
    daemon.register(Loud(), "hpdist")
    daemon.serve("hpdist-test-accept")
    connection = Connection("the server", "hpdist", *daemon.address, KEY, 10.0)
    with pytest.raises(TransportError):
        connection.invoke("exchange", ("bye",), 10.0)
    daemon.stop()


# ------------------------------------------------------------------- silence and ends


def test_a_silent_server_is_given_up_in_time() -> None:
    released = threading.Event()
    rogue = Rogue(lambda sock: released.wait(30) and None)
    with pytest.raises(TransportError, match="no reply from the dispatcher"):
        DispatcherChannel(KEY, rogue.address, "run", timeout_s=0.1).call({})
    released.set()
    rogue.close()


def test_an_answer_may_take_as_long_as_the_message_allows() -> None:
    released = threading.Event()
    server = Server(lambda m: released.wait(30) and echo(m), echo, key=KEY, host="127.0.0.1")
    server.start()
    channel = DispatcherChannel(KEY, server.uri, "run", timeout_s=0.2)
    with pytest.raises(TransportError, match=r"within 0\.3 s"):
        channel.call({"wait": 0.1})
    timer = threading.Timer(0.4, released.set)
    timer.start()
    assert channel.call({"wait": 20.0})["kind"] == "ok"
    timer.join()
    channel.close()
    server.close()


def test_a_call_that_failed_is_made_on_a_new_connection_the_next_time(server: Server) -> None:
    channel = DispatcherChannel(KEY, server.uri, "run")
    channel.call({})
    assert channel._connection is not None
    pyro.cut(channel._connection._sock)
    with pytest.raises(TransportError, match="closed the connection"):
        channel.call({})
    assert channel.call({})["kind"] == "ok"
    channel.close()


def test_hanging_up_from_another_thread_ends_a_waiting_call_at_once() -> None:
    called, released = threading.Event(), threading.Event()

    def slow(message: Mapping[str, Any]) -> dict[str, Any]:
        called.set()
        released.wait(60)
        return echo(message)

    server = Server(slow, echo, key=KEY, host="127.0.0.1")
    server.start()
    channel = DispatcherChannel(KEY, server.uri, "run", timeout_s=60.0)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(channel.call, {})
        assert called.wait(20)
        channel.close()
        with pytest.raises(TransportError):
            future.result(20)
    released.set()
    assert channel.call({})["kind"] == "ok"
    channel.close()
    server.close()


def test_the_loop_is_told_whose_connection_ended() -> None:
    gone: list[tuple[str, str]] = []
    server = Server(echo, echo, key=KEY, host="127.0.0.1",
                    on_disconnect=lambda *who: gone.append(who))  # fmt: skip
    server.start()
    channel = DispatcherChannel(KEY, server.uri, "run")
    channel.call({"worker": "w", "incarnation": "abc"})
    quiet = DispatcherChannel(KEY, server.uri, "run")
    quiet.call({})
    quiet.close()
    channel.close()
    until(lambda: bool(gone))
    server.close()
    assert gone == [("w", "abc")]


def test_closing_ends_connections_and_threads_and_lets_answers_out() -> None:
    entered, released = threading.Event(), threading.Event()

    def slow(message: Mapping[str, Any]) -> dict[str, Any]:
        if message.get("slow"):
            entered.set()
            released.wait(30)
        return echo(message)

    server = Server(slow, echo, key=KEY, host="127.0.0.1")
    server.start()
    idle, busy = (
        DispatcherChannel(KEY, server.uri, "run"),
        DispatcherChannel(KEY, server.uri, "run"),
    )
    idle.call({})
    stranger = dial(server)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(busy.call, {"slow": True})
        assert entered.wait(20)
        closing = pool.submit(server.close, 20.0)
        assert ended(stranger)
        released.set()
        assert answer.result(20)["kind"] == "ok"
        closing.result(20)
    for channel in (idle, busy):
        with pytest.raises(TransportError):
            channel.call({})
        channel.close()
    stranger.close()
    server.close()
    until(lambda: not own_threads())


def test_a_closed_server_leaves_its_port_free_at_once(server: Server) -> None:
    channel = DispatcherChannel(KEY, server.uri, "run")
    channel.call({})
    host, port = server.address
    server.close()
    again = Server(echo, echo, key=KEY, host=host, port=port)
    assert again.start() == (host, port)
    with pytest.raises(TransportError):
        channel.call({})
    assert channel.call({})["kind"] == "ok"
    channel.close()
    again.close()


def test_a_port_that_is_taken_is_named(server: Server) -> None:
    host, port = server.address
    with pytest.raises(TransportError, match=f"port {port} is in use"):
        Server(echo, echo, key=KEY, host=host, port=port).start()


def test_an_address_of_another_machine_cannot_be_listened_at() -> None:
    with pytest.raises(TransportError, match=r"cannot listen at 192\.0\.2\.1"):
        Server(echo, echo, key=KEY, host="192.0.2.1").start()


def test_each_way_of_not_reaching_has_its_own_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match="connection refused"):
        DispatcherChannel(KEY, f"127.0.0.1:{port}", "run").call({})
    with pytest.raises(TransportError, match="unknown host"):
        DispatcherChannel(KEY, "no-such-host.invalid:99", "run").call({})
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    with pytest.raises(TransportError, match=r"timed out after 0\.2 s"):
        DispatcherChannel(KEY, "{}:{}".format(*full.getsockname()), "run", timeout_s=0.2).call({})
    for sock in [*waiting, full]:
        sock.close()


def test_ipv6_is_served_where_there_is_ipv6() -> None:
    server = Server(echo, echo, key=KEY, host="::1")
    try:
        server.start()
    except TransportError as error:
        pytest.skip(f"no IPv6 here: {error.cause}")
    assert server.uri.startswith("PYRO:hpdist@[::1]:")
    channel = DispatcherChannel(KEY, server.uri, "run")
    assert channel.call({})["kind"] == "ok"
    channel.close()
    server.close()
