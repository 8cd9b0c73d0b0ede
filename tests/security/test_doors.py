"""Strangers at the two ports: calls, recordings, lengths, flags, rubbish, and too many of them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from attackers import (
    CONNECT,
    CONNECTFAIL,
    CONNECTOK,
    INVOKE,
    KEY,
    OTHER_KEY,
    PICKLE,
    PING,
    Idlers,
    Recorder,
    Rogue,
    answer_to,
    bomb,
    call,
    dial,
    echo,
    eventually,
    handshake,
    header,
    kind_of,
    message,
    messages_in,
    one_message,
    retyped,
)
from conftest import Door
from Pyro4 import message as pyro_message

from hpdist import Dispatcher, NameServer, Timing, Worker
from hpdist.cluster.directory import Names
from hpdist.cluster.transport import connections, pyro
from hpdist.cluster.transport import server as pyro_server
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.model.errors import AuthenticationError, TransportError, UnauthenticatedPeer

URI = "PYRO:hpdist@127.0.0.1:4711"

#: Everything that can be called at either daemon, and at the daemons' own objects.
METHODS = [
    ("hpdist", "exchange", ("{}",)),
    ("hpdist", "control", ('{"command":"stop"}',)),
    ("Pyro.NameServer", "list", ()),
    ("Pyro.NameServer", "list", (None, "(a|a)*$")),
    ("Pyro.NameServer", "count", ()),
    ("Pyro.NameServer", "ping", ()),
    ("Pyro.NameServer", "lookup", ("hpdist.mnist.dispatcher",)),
    ("Pyro.NameServer", "register", ("hpdist.mnist.dispatcher", URI, False, [])),
    ("Pyro.NameServer", "set_metadata", ("hpdist.mnist.dispatcher", [])),
    ("Pyro.NameServer", "remove", (None, "hpdist.")),
    ("Pyro.NameServer", "remove", (None, None, ".*")),
    ("Pyro.Daemon", "registered", ()),
    ("Pyro.Daemon", "info", ()),
    ("Pyro.Daemon", "get_metadata", ("hpdist",)),
    ("Pyro.Daemon", "ping", ()),
]


def connect(door: Door) -> Connection:
    return Connection("the server", door.object_id, *door.address, door.key, 10.0)


def still_serves(door: Door) -> bool:
    connection = connect(door)
    arguments = ("{}",) if door.method == "exchange" else ("x",)
    found = connection.invoke(door.method, arguments, 10.0)
    connection.close()
    return found is not None


# ------------------------------------------------------------------ calls without the key


@pytest.mark.parametrize("key", [None, b"", OTHER_KEY])
@pytest.mark.parametrize(("object_id", "method", "arguments"), METHODS)
def test_no_method_of_either_daemon_is_served_without_the_key(
    door: Door, object_id: str, method: str, arguments: tuple[Any, ...], key: bytes | None
) -> None:
    asked = call(object_id, method, arguments, key)
    for sent in ([asked], [handshake(object_id, key), asked], [message(PING, b"ping", key)]):
        said = answer_to(dial(door.address), *sent)
        assert [kind_of(each) for each in messages_in(said)] == [CONNECTFAIL]
    assert still_serves(door)


def test_forged_results_and_commands_without_the_key_reach_nobody() -> None:
    heard: list[Any] = []
    server = Server(lambda m: heard.append(m) or echo(m), lambda m: heard.append(m) or echo(m),
                    key=KEY, host="127.0.0.1")  # fmt: skip
    address = server.start()
    for method in ("exchange", "control"):
        for key in (None, OTHER_KEY):
            forged = call("hpdist", method, ('{"v":1,"kind":"poll","results":[]}',), key)
            answer_to(dial(address), handshake(key=key), forged)
    server.close()
    assert heard == []


def test_poison_and_wiping_need_the_key_and_reading_too(nameserver: Door) -> None:
    with Names(*nameserver.address, nameserver.key) as names:
        names.register("hpdist.mnist.dispatcher", URI, {"run": "mnist"})
        for key in (None, OTHER_KEY):
            for object_id, method, arguments in METHODS:
                answer_to(dial(nameserver.address), handshake(object_id, key),
                          call(object_id, method, arguments, key))  # fmt: skip
        assert names.entries("")["hpdist.mnist.dispatcher"].uri == URI
        with pytest.raises(AuthenticationError):
            Names(*nameserver.address, OTHER_KEY).entries("")


def test_with_the_key_neither_prefix_nor_pattern_wipes_the_names(nameserver: Door) -> None:
    with Names(*nameserver.address, nameserver.key) as names:
        names.register("hpdist.mnist.dispatcher", URI, {})
        for arguments in ((None, "hpdist."), (None, None, ".*")):
            with pytest.raises(TransportError, match="one at a time"):
                names._call("remove", *arguments)
        assert "hpdist.mnist.dispatcher" in names.entries("hpdist.")


# ------------------------------------------------------------------ recordings and mirrors


def test_what_a_stranger_is_told_cannot_be_shown_as_a_handshake(door: Door) -> None:
    for provoking in (b"GET / HTTP/1.1\r\n" * 4, message(INVOKE, b""), handshake(), header(PING)):
        told = answer_to(dial(door.address), provoking)
        assert b"HMAC" not in told
        again = answer_to(dial(door.address), retyped(told, CONNECT) if told else b"")
        assert not again or kind_of(again) == CONNECTFAIL


def test_a_recorded_session_is_served_to_nobody_a_second_time() -> None:
    heard: list[Any] = []
    server = Server(lambda m: heard.append(m) or echo(m), echo, key=KEY, host="127.0.0.1")
    recorder = Recorder(server.start())
    channel = DispatcherChannel(KEY, "{}:{}".format(*recorder.address), "run")
    channel.call({"worker": "w", "done": [1]})
    channel.call({"worker": "w", "done": [2]})
    channel.close()
    recorder.close()
    assert len(heard) == 2
    whole = bytes(recorder.sent)
    first, *calls = messages_in(whole)
    for replayed in (whole, first + calls[1], first + calls[0] * 2):
        answer_to(dial(server.address), replayed)
    server.close()
    assert len(heard) == 2


def test_a_recorded_change_of_the_nameserver_changes_nothing_again(nameserver: Door) -> None:
    recorder = Recorder(nameserver.address)
    with Names(*recorder.address, nameserver.key) as names:
        names.register("hpdist.mnist.dispatcher", URI, {})
        names.remove("hpdist.mnist.dispatcher")
    recorder.close()
    connect_, register, remove = messages_in(bytes(recorder.sent))
    for replayed in (connect_ + register + remove, connect_ + register):
        answer_to(dial(nameserver.address), replayed)
    with Names(*nameserver.address, nameserver.key) as names:
        assert names.entries("hpdist.") == {}


def test_without_the_mark_of_its_session_a_call_may_read_names_and_not_change_them(
    nameserver: Door,
) -> None:
    key, object_id = nameserver.key, nameserver.object_id
    for method, arguments, allowed in [
        ("list", ("hpdist.",), True),
        ("count", (), True),
        ("register", ("x", URI, False, []), False),
        ("set_metadata", ("x", []), False),
        ("remove", ("x",), False),
    ]:
        with dial(nameserver.address) as sock:
            sock.sendall(handshake(object_id, key) + call(object_id, method, arguments, key))
            one_message(sock)
            said = pyro_message.Message.from_header(one_message(sock)[:24])
        assert bool(said.flags & pyro_message.FLAGS_EXCEPTION) is not allowed, method


def test_recorded_answers_do_not_pass_for_those_of_the_dispatcher(dispatcher: Door) -> None:
    recorder = Recorder(dispatcher.address)
    channel = DispatcherChannel(KEY, "{}:{}".format(*recorder.address), "run")
    channel.call({"text": "first"})
    channel.close()
    recorder.close()
    ok, result = messages_in(bytes(recorder.got))

    def replay(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(ok)

    rogue = Rogue(replay)
    with pytest.raises(UnauthenticatedPeer, match="not the dispatcher"):
        DispatcherChannel(KEY, "{}:{}".format(*rogue.address), "run").call({})
    rogue.close()
    assert result


@pytest.mark.parametrize("trick", ["the former answer", "the call itself"])
def test_only_the_answer_to_this_very_call_is_believed(dispatcher: Door, trick: str) -> None:
    """Somebody on the path lets the handshake through, and answers the second call himself."""

    def between(sock: socket.socket) -> None:
        with dial(dispatcher.address) as there:
            for _ in range(2):
                asked = one_message(sock)
                there.sendall(asked)
                answered = one_message(there)
                sock.sendall(answered)
            second = one_message(sock)
            lie = answered if trick == "the former answer" else retyped(second, 5)
            seq = second[10:12]
            sock.sendall(with_seq(lie, seq))

    rogue = Rogue(between)
    connection = Connection("the dispatcher", "hpdist", *rogue.address, KEY, 10.0)
    assert "first" in connection.invoke("exchange", ('{"text":"first"}',), 10.0)
    with pytest.raises(TransportError, match="not made for this call"):
        connection.invoke("exchange", ('{"text":"second"}',), 10.0)
    rogue.close()


def with_seq(whole: bytes, seq: bytes) -> bytes:
    shifted = int.from_bytes(seq, "big") - int.from_bytes(whole[10:12], "big")
    total = (int.from_bytes(whole[22:24], "big") + shifted) & 0xFFFF
    return whole[:10] + seq + whole[12:22] + total.to_bytes(2, "big") + whole[24:]


# ------------------------------------------------------------------ lengths, flags, rubbish

LIES = [
    header(size=0x7FFFFFFF),
    header(size=-1),
    header(size=-(2**31)),
    header(size=pyro.MAX_BYTES),
    header(size=pyro.MAX_SHORT_BYTES + 1),
    header(annotations=0xFFFF),
    header(annotations=3) + b"abc",
    header(annotations=6) + b"\xff\xff\xff\xff\x00\x00",
    b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    bytes(24),
    os.urandom(4096),
    *[header(flags=1 << bit) for bit in range(16)],
]


@pytest.mark.parametrize("lie", LIES)
def test_whatever_a_stranger_sends_ends_only_his_own_connection(door: Door, lie: bytes) -> None:
    said = answer_to(dial(door.address), lie, handshake())
    assert len(said) < 1000
    assert still_serves(door)


def test_a_pickle_in_the_handshake_is_not_opened(door: Door, tmp_path: Path) -> None:
    mark = tmp_path / "went off"
    for key in (None, door.key):
        answer_to(dial(door.address), message(CONNECT, bomb(mark), key, number=PICKLE))
    assert not mark.exists()
    assert still_serves(door)


def test_after_the_handshake_rubbish_ends_the_connection_too(door: Door) -> None:
    for lie in LIES:
        said = answer_to(dial(door.address), handshake(door.object_id, door.key), lie, bytes(100))
        assert len(said) < 1000
    assert still_serves(door)


@pytest.mark.slow
def test_announced_lengths_cost_no_memory(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 60.0)
    before = psutil.Process().memory_info().rss
    largest = header(size=pyro.MAX_SHORT_BYTES) + bytes(pyro.MAX_SHORT_BYTES - 1)
    strangers = [dial(door.address) for _ in range(200)]
    for index, stranger in enumerate(strangers):
        stranger.sendall(largest if index % 2 else header(size=0x7FFFFFFF))
    assert still_serves(door)
    assert psutil.Process().memory_info().rss - before < 64 * 2**20
    for stranger in strangers:
        stranger.close()


def test_a_drip_of_bytes_is_cut_off_with_the_handshakes_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 0.3)
    stranger, over = dial(door.address), threading.Event()
    stranger.settimeout(0.02)
    began = time.monotonic()
    for byte in header(size=1000) + bytes(10_000):
        try:
            stranger.sendall(bytes([byte]))
            over.wait(0.02)
            if stranger.recv(1024) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    assert time.monotonic() - began < 20.0  # 200 s without a deadline
    stranger.close()


# ------------------------------------------------------------------ too many


class Cluster:
    """A nameserver, a dispatcher with jobs, and workers that are real but for being threads."""

    RUN = "mnist"

    def __init__(self, directory: Path) -> None:
        self.directory, self.results = directory, []  # type: ignore[var-annotated]
        self.nameserver = NameServer(self.RUN, directory)
        self.ports = [self.nameserver.start()]
        timing = Timing(lease_s=20.0, heartbeat_s=0.5, closed_s=5.0, poll_s=2.0)
        self.dispatcher = Dispatcher(self.results.append, self.RUN, nameserver=None,
                                     working_directory=directory, timing=timing)  # fmt: skip
        self.dispatcher.__enter__()
        host, _, port = self.dispatcher.service.uri.partition("@")[2].rpartition(":")
        self.ports.append((host, int(port)))
        self.workers: list[Worker] = []
        self._number = 0

    def join(self) -> Worker:
        worker = Worker(self.RUN, isolation="none", worker_id=len(self.workers))
        worker.initialize(lambda config: float(config["x"]))
        worker.load_nameserver_credentials(self.directory)
        worker.run(background=True)
        self.workers.append(worker)
        count = len(self.workers)
        eventually(lambda: self.dispatcher.number_of_workers() == count, "a worker's arrival")
        return worker

    def work(self, count: int) -> None:
        before = len(self.results)
        for _ in range(count):
            self.dispatcher.submit_job(self._number, config={"x": 1.0})
            self._number += 1
        eventually(lambda: len(self.results) == before + count, "the results")

    def close(self) -> None:
        for worker in self.workers:
            worker.leave("the test is over", at_once=True)
        for worker in self.workers:
            assert worker.wait(30.0)
        self.dispatcher.__exit__()
        self.nameserver.shutdown()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def test_a_hundred_idle_connections_at_each_port_keep_no_worker_out(cluster: Cluster) -> None:
    cluster.join()
    idlers = [Idlers(address, 100) for address in cluster.ports]
    try:
        cluster.work(20)  # the one who was there is not disturbed
        cluster.join()
        cluster.work(20)
    finally:
        for each in idlers:
            each.close()
    assert [result.result["loss"] for result in cluster.results] == [1.0] * 40
    assert all(each.opened >= 100 for each in idlers)


def test_a_flood_of_connections_keeps_no_worker_out(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_UNAUTHENTICATED", 32)
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 60.0)
    idlers = [Idlers(address, 100) for address in cluster.ports]
    try:
        cluster.join()
        cluster.work(5)
    finally:
        for each in idlers:
            each.close()
    # Those who were cut to make room came again, and again.
    assert all(each.opened > 100 for each in idlers)


def test_a_peer_with_the_key_is_never_cut_to_make_room(
    dispatcher: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_UNAUTHENTICATED", 4)
    peers = [connect(dispatcher) for _ in range(3)]
    for peer in peers:
        peer.invoke("exchange", ("{}",), 10.0)
    strangers = [dial(dispatcher.address) for _ in range(40)]
    for peer in peers:
        assert "ok" in peer.invoke("exchange", ("{}",), 10.0)
        peer.close()
    for stranger in strangers:
        stranger.close()


def test_the_address_that_takes_most_places_makes_room() -> None:
    table = connections.ConnectionTable(max_peers=8)
    for number in range(connections.MAX_UNAUTHENTICATED - 1):
        assert table.add(number, "10.0.0.66") is None
    assert table.add("somebody", "10.0.0.7") is None
    assert table.add("another", "10.0.0.8") == 0
    assert table.add("a third", "10.0.0.66") == 1
    table.remove("a third")
    table.authenticate("somebody")
    assert table.is_authenticated("somebody")


def test_a_replayed_handshake_occupies_no_place_of_a_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its sender cannot call, and the places of those who can stay free."""
    server = Server(echo, echo, key=KEY, host="127.0.0.1", max_workers=0)  # places for 64 peers
    server.start()
    silent = [dial(server.address) for _ in range(80)]
    for sock in silent:
        sock.sendall(handshake(key=KEY))
        assert kind_of(one_message(sock)) == CONNECTOK
    channel = DispatcherChannel(KEY, server.uri, "run")
    assert channel.call({})["kind"] == "ok"
    channel.close()
    for sock in silent:
        sock.close()
    server.close()
