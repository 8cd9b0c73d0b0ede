"""The nameserver: keys, names, notes, deaths."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import Pyro4
import pytest

from hpdist.cluster.directory import (
    Names,
    find_dispatcher,
    list_runs,
    list_workers,
    register_dispatcher,
    register_worker,
    remove_run,
    remove_worker,
)
from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.transport import server as pyro_server
from hpdist.core.journal.connection_file import read_connection
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    MasterNotFound,
    NameServerNotFound,
    ProtocolMismatch,
    TransportError,
)
from hpdist.core.model.values import WorkerInfo

URI = "PYRO:hpdist@127.0.0.1:4711"
OTHER_KEY = b"o" * 32

Place = tuple[str, int, bytes]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HPDIST_KEY", "HPDIST_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("hpdist.core.journal.run_key._environment_key", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A running nameserver of run "mnist": host, port and key."""
    with NameServer("mnist", tmp_path) as server:
        host, port = server.start()
        yield host, port, find_key("mnist", tmp_path / "mnist", create=False)
    assert not [t for t in threading.enumerate() if t.name.startswith(("hpdist", "housekeeper"))]


@pytest.fixture
def names(place: Place) -> Iterator[Names]:
    with Names(*place) as names:
        yield names


# ------------------------------------------------------------------------------ names


def test_a_dispatcher_is_found_by_its_run(names: Names, place: Place) -> None:
    register_dispatcher(names, "mnist", URI, {"epoch": 3, "host": "node7"})
    host, port, key = place
    assert find_dispatcher(host, port, "mnist", key) == URI
    entry = names.entries("hpdist.")["hpdist.mnist.dispatcher"]
    assert entry.metadata == {"kind": "dispatcher", "run": "mnist", "epoch": "3", "host": "node7"}


def test_a_dispatcher_that_moved_is_found_at_its_new_place(names: Names, place: Place) -> None:
    host, port, key = place
    register_dispatcher(names, "mnist", URI)
    register_dispatcher(names, "mnist", URI + "1")
    assert find_dispatcher(host, port, "mnist", key) == URI + "1"


def test_an_unknown_run_is_answered_with_those_that_are_served(names: Names, place: Place) -> None:
    host, port, key = place
    with pytest.raises(MasterNotFound, match="serves no run yet"):
        find_dispatcher(host, port, "mnist", key)
    register_dispatcher(names, "cifar", URI)
    register_dispatcher(names, "adult", URI)
    with pytest.raises(MasterNotFound, match=r"(?s)'mnist'.*serves runs adult, cifar"):
        find_dispatcher(host, port, "mnist", key)
    assert list_runs(names) == ["adult", "cifar"]


def test_workers_are_listed_under_the_address_of_their_dispatcher(names: Names) -> None:
    info = WorkerInfo("node7.12", "abcdef01", host="node7", pid=12, slots=2, device="cuda:0")
    register_worker(names, "mnist", info, URI, "busy")
    register_worker(names, "mnist.2", WorkerInfo("x", "abcdef01"), URI)
    (worker_id, entry), = list_workers(names, "mnist").items()  # fmt: skip
    assert (worker_id, entry.uri) == ("node7.12", URI)
    assert entry.metadata == {
        "kind": "worker", "run": "mnist", "host": "node7", "pid": "12", "state": "busy",
        "slots": "2", "device": "cuda:0",
    }  # fmt: skip


def test_a_worker_that_left_is_not_listed(names: Names) -> None:
    register_worker(names, "mnist", WorkerInfo("x", "abcdef01"), URI)
    remove_worker(names, "mnist", "x")
    remove_worker(names, "mnist", "never was")
    assert list_workers(names, "mnist") == {}


def test_the_end_of_a_run_leaves_its_successor_alone(names: Names) -> None:
    for number, uri in enumerate((URI, URI + "1")):
        register_dispatcher(names, "mnist", uri)
        register_worker(names, "mnist", WorkerInfo(f"w{number}", "abcdef01"), uri)
    remove_run(names, "mnist", URI)
    assert list_runs(names) == ["mnist"]
    assert list(list_workers(names, "mnist")) == ["w1"]
    remove_run(names, "mnist", URI + "1")
    assert list_runs(names) == []
    assert list_workers(names, "mnist") == {}


def test_the_client_of_pyro_can_read_it(names: Names, place: Place) -> None:
    register_dispatcher(names, "mnist", URI)
    host, port, key = place
    with Pyro4.locateNS(host, port, broadcast=False, hmac_key=key) as proxy:
        proxy._pyroTimeout = 10.0
        assert str(proxy.lookup("hpdist.mnist.dispatcher")) == URI
        assert "hpdist.mnist.dispatcher" in proxy.list(prefix="hpdist.")


def test_regular_expressions_are_refused(names: Names, place: Place) -> None:
    host, port, key = place
    with Pyro4.locateNS(host, port, broadcast=False, hmac_key=key) as proxy:
        proxy._pyroTimeout = 10.0
        with pytest.raises(Pyro4.errors.NamingError, match="prefix"):
            proxy.list(regex="(a|a)*$")
    with pytest.raises(NameServerNotFound, match="one at a time"):
        names._call("remove", None, None, "(a|a)*$")


# ------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("key", [None, b"", OTHER_KEY])
def test_a_client_of_pyro_without_the_key_is_refused(place: Place, key: bytes | None) -> None:
    host, port, _ = place
    with pytest.raises(Pyro4.errors.NamingError):
        Pyro4.locateNS(host, port, broadcast=False, hmac_key=key)


def test_another_key_is_said_to_be_another_key(place: Place) -> None:
    host, port, _ = place
    with pytest.raises(AuthenticationError, match="another key"):
        find_dispatcher(host, port, "mnist", OTHER_KEY)


def test_nameservers_of_two_runs_with_two_keys_live_in_one_process(
    place: Place, tmp_path: Path
) -> None:
    with NameServer("cifar", tmp_path) as other:
        key = find_key("cifar", tmp_path / "cifar", create=False)
        with Names(*other.start(), key) as theirs:
            assert theirs.entries("hpdist.") == {}
        with Names(*place) as ours:
            assert ours.entries("hpdist.") == {}
        with pytest.raises(AuthenticationError):
            find_dispatcher(*other.start(), "cifar", place[2])


def test_a_short_key_is_enough_for_loopback_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPDIST_KEY", "ab" * 16)
    with NameServer("mnist", tmp_path) as server:
        assert server.start()[1] > 0
    monkeypatch.setattr("hpdist.cluster.nameserver.bind_host", lambda *_: "192.0.2.1")
    with pytest.raises(ConfigurationError, match=r"16 bytes, too few to listen at 192\.0\.2\.1"):
        NameServer("mnist", tmp_path).start()


# -------------------------------------------------------------------- notes and ports


def test_the_note_tells_where_it_is_and_not_the_key(place: Place, tmp_path: Path) -> None:
    host, port, key = place
    path = tmp_path / "mnist" / "connection.json"
    note = read_connection(path)
    assert note is not None
    assert (note["address"], note["run_id"]) == (f"{host}:{port}", "mnist")
    assert (note["pid"], note["host"]) == (os.getpid(), socket.gethostname())
    assert set(note["versions"]) == {"hpdist", "Pyro4", "python"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key.hex() not in path.read_text()


def test_the_note_goes_when_the_nameserver_goes(tmp_path: Path) -> None:
    server = NameServer("mnist", tmp_path)
    server.start()
    server.shutdown()
    server.shutdown()
    assert read_connection(tmp_path / "mnist" / "connection.json") is None


def test_without_a_directory_nothing_but_the_key_is_written(home: Path) -> None:
    with NameServer("mnist") as server:
        with Names(*server.start(), find_key("mnist", create=False)) as names:
            assert names.entries("hpdist.") == {}
        files = [path.name for path in home.rglob("*") if path.is_file()]
    assert files == ["key"]


def test_starting_twice_is_starting_once(tmp_path: Path) -> None:
    with NameServer("mnist", tmp_path) as server:
        assert server.start() == server.start()


def test_a_second_nameserver_of_a_run_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"has a nameserver at 127\.0\.0\.1:{place[1]}"):
        NameServer("mnist", tmp_path).start()
    assert read_connection(tmp_path / "mnist" / "connection.json") is not None


def test_a_port_that_is_taken_is_named(place: Place, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=f"port {place[1]} is in use"):
        NameServer("cifar", tmp_path, port=place[1]).start()


def test_the_former_port_taken_by_somebody_else_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        with NameServer("mnist", tmp_path) as server:
            server.start()
            path = tmp_path / "mnist" / "connection.json"
            note = json.loads(path.read_text()) | {"address": f"127.0.0.1:{port}"}
        path.touch(mode=0o600)
        path.write_text(json.dumps(note))
        with NameServer("mnist", tmp_path) as server:
            assert server.start()[1] != port


@pytest.mark.parametrize("run_id", ["../x", "", "a/b", ".x"])
def test_a_run_id_that_is_no_name_is_refused(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a run"):
        NameServer(run_id, tmp_path)


# -------------------------------------------------------------------- silence and death


def test_silent_strangers_do_not_keep_others_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyro_server, "HANDSHAKE_S", 60.0)
    strangers = [socket.create_connection(place[:2], 10.0) for _ in range(60)]
    with Names(*place) as names:
        assert names.entries("hpdist.") == {}
    for stranger in strangers:
        stranger.close()


def test_a_stopped_nameserver_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        host, port = stopped.getsockname()
        with pytest.raises(NameServerNotFound, match=r"within 0\.1 s"):
            find_dispatcher(host, port, "mnist", OTHER_KEY, timeout_s=0.1)


def test_each_way_of_not_finding_it_has_its_own_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NameServerNotFound, match=r"(?s)cannot reach the nameserver.*refused.*do:"):
        find_dispatcher("127.0.0.1", port, "mnist", OTHER_KEY)
    with pytest.raises(NameServerNotFound, match="unknown host"):
        find_dispatcher("no-such-host.invalid", 99, "mnist", OTHER_KEY)


def test_something_else_at_the_port_is_recognized() -> None:
    def serve(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65_536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with pytest.raises(ProtocolMismatch, match="is not the nameserver"):
            find_dispatcher(*listener.getsockname(), "mnist", OTHER_KEY)
        thread.join()


SERVE = """
import sys, threading
from hpdist.cluster.nameserver import NameServer
NameServer("mnist", sys.argv[1]).start()
print("ready", flush=True)
threading.Event().wait()
"""


def start_process(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def address_of(directory: Path) -> tuple[str, int]:
    note = read_connection(directory / "mnist" / "connection.json")
    assert note is not None
    host, _, port = note["address"].rpartition(":")
    return host, int(port)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(20)
    assert process.stdout is not None
    process.stdout.close()


def test_a_nameserver_that_was_killed_comes_back_at_its_port(tmp_path: Path) -> None:
    process = start_process(tmp_path)
    host, port = address_of(tmp_path)
    key = find_key("mnist", tmp_path / "mnist", create=False)
    with Names(host, port, key) as names:
        register_dispatcher(names, "mnist", URI)
        end(process)
        with pytest.raises(NameServerNotFound):
            names.entries("hpdist.")
        with NameServer("mnist", tmp_path) as again:
            assert again.start() == (host, port)
            assert names.entries("hpdist.") == {}
            register_dispatcher(names, "mnist", URI)
            assert find_dispatcher(host, port, "mnist", key) == URI


def test_a_nameserver_that_is_stopped_by_a_signal_blocks_nobody(tmp_path: Path) -> None:
    process = start_process(tmp_path)
    key = find_key("mnist", tmp_path / "mnist", create=False)
    with Names(*address_of(tmp_path), key, timeout_s=0.5) as names:
        names.entries("hpdist.")
        process.send_signal(signal.SIGSTOP)
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(NameServerNotFound, match=r"0\.5 s"):
                names.entries("hpdist.")
        assert time.monotonic() - began < 60
        process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        while True:
            try:
                assert names.entries("hpdist.") == {}
                break
            except NameServerNotFound:
                assert time.monotonic() < deadline
    end(process)
