"""Rogue servers: whatever a worker, a master, a tool or the command line dials."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Pyro4
import pytest
from attackers import (
    CONNECT,
    CONNECTFAIL,
    CONNECTOK,
    INVOKE,
    KEY,
    LIMIT_S,
    OTHER_KEY,
    PICKLE,
    RESULT,
    Rogue,
    answer_to,
    bomb,
    dial,
    eventually,
    handshake,
    kind_of,
    message,
    one_message,
)
from Pyro4 import message as pyro_message

from hpdist import Dispatcher, Master, NameServer, Timing, Worker
from hpdist.cli.main import run as command
from hpdist.cluster import worker_process
from hpdist.cluster.directory import Names, register_dispatcher
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.transport import pyro
from hpdist.cluster.transport.address import split_address
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.core.journal.connection_file import write_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    TransportError,
    UnauthenticatedPeer,
)
from hpdist.core.space.space import Space
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimizers import RandomSearch

Listen = Callable[..., Rogue]
TIMING = Timing(lease_s=20.0, heartbeat_s=0.3, closed_s=5.0, poll_s=1.0)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "went off"


@pytest.fixture
def listen(mark: Path) -> Iterator[Listen]:
    """Rogue servers that answer with a pickle, as of another key if told."""
    made = []

    def answer(sock: socket.socket, key: bytes | None, kind: int) -> None:
        one_message(sock)
        sock.sendall(message(kind, bomb(mark), key, number=PICKLE))

    def begin(key: bytes | None = None, kind: int = CONNECTOK, port: int = 0) -> Rogue:
        made.append(Rogue(lambda sock: answer(sock, key, kind), port))
        return made[-1]

    yield begin
    for rogue in made:
        rogue.close()


WAYS = pytest.mark.parametrize(
    ("key", "kind"),
    [(key, kind) for key in (None, OTHER_KEY) for kind in (CONNECTOK, CONNECTFAIL, RESULT)],
)


# ------------------------------------------------------------------ each client by itself


@WAYS
def test_no_client_opens_a_pickle_of_a_rogue(
    listen: Listen, mark: Path, key: bytes | None, kind: int
) -> None:
    rogue = listen(key, kind)
    host, port = rogue.address
    clients: list[Callable[[], object]] = [
        lambda: DispatcherChannel(KEY, f"{host}:{port}", "run").call({}),
        lambda: DispatcherChannel(KEY, f"{host}:{port}", "run").control({"command": "stop"}),
        lambda: Names(host, port, KEY).entries("hpdist."),
        lambda: RunAddress("mnist", host, port).dispatcher(),
    ]
    for ask in clients:
        with pytest.raises((AuthenticationError, UnauthenticatedPeer)):
            ask()
    assert rogue.visits == len(clients)
    assert not mark.exists()


@pytest.mark.parametrize("in_reply", [False, True])
def test_not_even_one_with_the_key_gets_a_pickle_opened(mark: Path, in_reply: bool) -> None:
    """In the handshake, or in the answer to a call after a handshake that is as it should be."""

    def answer(sock: socket.socket) -> None:
        asked = one_message(sock)
        pickled = message(RESULT if in_reply else CONNECTOK, bomb(mark), KEY, number=PICKLE)
        if in_reply:
            theirs = pyro.serializer().loads(asked[-_size(asked) :])["handshake"]
            nonce = bytes.fromhex(theirs) + bytes(16)
            sock.sendall(message(CONNECTOK, pyro.serializer().dumps(nonce.hex()), KEY))
            one_message(sock)
            right = pyro.session_mark(nonce, 1, reply=True)
            pickled = message(RESULT, bomb(mark), KEY, right, number=PICKLE, seq=1)
        sock.sendall(pickled)

    rogue = Rogue(answer)
    with pytest.raises(UnauthenticatedPeer):
        DispatcherChannel(KEY, "{}:{}".format(*rogue.address), "run").call({})
    rogue.close()
    assert not mark.exists()


def _size(whole: bytes) -> int:
    return int(pyro_message.Message.from_header(whole[:24]).data_size)


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_an_exception_that_is_sent_ends_nobody(name: str) -> None:
    content = {"__class__": name, "__exception__": True, "args": [7], "attributes": {}}

    def answer(sock: socket.socket) -> None:
        asked = one_message(sock)
        theirs = pyro.serializer().loads(asked[-_size(asked) :])["handshake"]
        nonce = bytes.fromhex(theirs) + bytes(16)
        sock.sendall(message(CONNECTOK, pyro.serializer().dumps(nonce.hex()), KEY))
        one_message(sock)
        right = pyro.session_mark(nonce, 1, reply=True)
        data, flags = pyro.serializer().dumps(content), pyro_message.FLAGS_EXCEPTION
        sock.sendall(message(RESULT, data, KEY, right, flags=flags, seq=1))

    rogue = Rogue(answer)
    with pytest.raises(TransportError, match="could not handle the call"):
        DispatcherChannel(KEY, "{}:{}".format(*rogue.address), "run").call({})
    rogue.close()


# ------------------------------------------------------------------ worker and master


def worker_of(directory: Path, **options: object) -> Worker:
    worker = Worker("mnist", isolation="none", **options)  # type: ignore[arg-type]
    worker.initialize(lambda config: float(config["x"]))
    worker.load_nameserver_credentials(directory)
    return worker


def note_of(address: tuple[str, int]) -> dict[str, object]:
    return {
        "format": 1, "address": "{}:{}".format(*address), "run_id": "mnist", "pid": os.getpid(),
        "host": socket.gethostname(), "started": 1.0, "versions": {},
    }  # fmt: skip


@WAYS
def test_a_worker_led_to_a_rogue_ends_with_a_word(
    listen: Listen, mark: Path, tmp_path: Path, key: bytes | None, kind: int
) -> None:
    run = RunDirectory(tmp_path / "mnist")
    run.create()
    find_key("mnist", run.path)
    write_connection(run.connection, note_of(listen(key, kind).address))
    with pytest.raises((AuthenticationError, UnauthenticatedPeer), match="127"):
        worker_of(tmp_path).run()
    assert not mark.exists()


def test_a_master_dials_a_rogue_in_the_nameserver_and_goes_on(
    listen: Listen, mark: Path, tmp_path: Path
) -> None:
    """The only address that a master takes from the nameserver: a former master of its run."""
    rogue = listen()
    space, known = Space.of({"x": (0.0, 1.0)}), "hpdist.mnist.dispatcher"
    with ThreadPoolExecutor(1) as pool, NameServer("mnist", tmp_path) as nameserver:
        address = nameserver.start()
        with Names(*address, find_key("mnist", tmp_path / "mnist")) as names:
            register_dispatcher(names, "mnist", "PYRO:hpdist@{}:{}".format(*rogue.address))
            poison = names.entries("")[known].uri
            search = RandomSearch(space), SingleFidelity(num_configs=2)
            options = {"nameserver": None, "working_directory": tmp_path, "timing": TIMING}
            with Master("mnist", *search, **options) as master:  # type: ignore[arg-type]
                running = pool.submit(master.run)
                eventually(lambda: names.entries("")[known].uri != poison, "the master's entry")
                worker = worker_of(tmp_path)
                worker.run(background=True)
                assert len(running.result(LIMIT_S).evaluations) == 2
    assert worker.wait(LIMIT_S)
    assert rogue.visits == 1
    assert not mark.exists()


class Rerouted:
    """A dispatcher whose address a rogue takes over, and gives back."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.results: list[object] = []
        self.dispatcher = Dispatcher(self.results.append, "mnist", nameserver=None, port=port,
                                     working_directory=directory, timing=TIMING)  # fmt: skip
        self.dispatcher.__enter__()
        self.port = split_address(self.dispatcher.service.uri)[1]

    def work(self, number: int) -> None:
        self.dispatcher.submit_job(number, config={"x": 1.0})
        eventually(lambda: self.results, "a result")

    def close(self, *, workers_too: bool) -> None:
        self.dispatcher.shutdown(shutdown_workers=workers_too)


def test_a_rogue_at_the_port_of_a_dead_dispatcher_sends_no_worker_home(
    listen: Listen, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that both are dispatchers of one run, as a master and its next session are
    book = uuid.uuid4()
    monkeypatch.setattr("hpdist.cluster.dispatcher.uuid.uuid4", lambda: book)
    with NameServer("mnist", tmp_path):
        first = Rerouted(tmp_path)
        worker = worker_of(tmp_path)
        worker.run(background=True)
        first.work(1)
        # it was killed, so that its entry is still there
        names = Names(*RunAddress("mnist", directory=tmp_path / "mnist").nameserver(),
                      find_key("mnist", tmp_path / "mnist"))  # fmt: skip
        first.close(workers_too=False)
        rogue = listen(port=first.port)
        with names:
            register_dispatcher(names, "mnist", first.dispatcher.service.uri, {"epoch": 0})
        eventually(lambda: rogue.visits >= 2, "a visit to the rogue")
        assert not worker.wait(0)
        rogue.close()
        second = Rerouted(tmp_path)
        eventually(lambda: second.dispatcher.number_of_workers() == 1, "the worker's return")
        second.close(workers_too=True)
        assert worker.wait(LIMIT_S)
    assert not mark.exists()


def test_a_rogue_at_the_port_of_a_dead_nameserver_loses_no_worker(
    listen: Listen, tmp_path: Path
) -> None:
    """It asks for the way, is lied to, and goes where the dispatcher was before."""
    nameserver = NameServer("mnist", tmp_path)
    port = nameserver.start()[1]
    cluster = Rerouted(tmp_path)
    worker = worker_of(tmp_path)
    worker.run(background=True)
    cluster.work(1)
    nameserver.shutdown()
    rogue = listen(port=port)
    write_connection(tmp_path / "mnist" / "connection.json", note_of(rogue.address))
    assert cluster.dispatcher.service._server is not None
    daemon = cluster.dispatcher.service._server._daemon
    assert daemon is not None
    for conn in list(daemon._threads._running.values()):
        pyro.cut(conn.sock)
    cluster.results.clear()
    cluster.work(2)
    assert rogue.visits >= 1
    cluster.close(workers_too=True)
    assert worker.wait(LIMIT_S)


def test_a_key_that_was_made_anew_reaches_the_workers_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = uuid.uuid4()
    monkeypatch.setattr("hpdist.cluster.dispatcher.uuid.uuid4", lambda: book)
    with NameServer("mnist", tmp_path):
        first = Rerouted(tmp_path)
        worker = worker_of(tmp_path)
        worker.run(background=True)
        first.work(1)
        first.close(workers_too=False)
    former = find_key("mnist", tmp_path / "mnist")
    assert command(["keys", "rotate", str(tmp_path / "mnist")]) == 0
    assert find_key("mnist", tmp_path / "mnist") != former
    with NameServer("mnist", tmp_path):
        second = Rerouted(tmp_path)
        eventually(lambda: second.dispatcher.number_of_workers() == 1, "the worker's return")
        second.close(workers_too=True)
        assert worker.wait(LIMIT_S)


# ------------------------------------------------------------------ the command line

SCRIPT = """
space = {"x": (0.0, 1.0)}
def train(config):
    return config["x"]
"""


@pytest.mark.parametrize("verb", ["worker", "master", "control"])
def test_no_command_opens_a_pickle_of_a_rogue(
    listen: Listen, mark: Path, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rogue, script, run = listen(), tmp_path / "script.py", RunDirectory(tmp_path / "mnist")
    script.write_text(SCRIPT)
    options = ["--run", str(run.path), "--trials", "1"]
    assert command(["run", str(script), *options, "--executor", "serial"]) == 0
    records = run.journal.read_bytes().splitlines(keepends=True)
    run.journal.write_bytes(b"".join(records[:-1]))  # as if this process still ran it
    find_key("mnist", run.path)
    write_connection(run.connection, note_of(rogue.address))
    arguments = {
        "worker": ["worker", str(script), "--run", str(run.path)],
        "master": ["master", str(script), "--run", str(run.path), "--trials", "2", "--wait", "0"],
        "control": ["control", str(run.path), "stop"],
    }
    assert command(arguments[verb]) == 3
    said = capsys.readouterr().err
    assert "has another key than this process" in said
    assert "Traceback" not in said
    assert rogue.visits >= 1
    assert not mark.exists()


def hpdist(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpdist.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


#: What a program of hpdist can still unpickle with Pyro4 once it works: nothing.
HARDENED = """
import sys
from Pyro4 import config, util
import hpdist.cluster.transport.pyro as pyro
told = []
real = pyro.harden_process
def harden():
    real()
    told.append(sorted(util._serializers_by_id))
pyro.harden_process = harden
from hpdist.cli.main import run
run(sys.argv[1:])
print(told, config.MAX_MESSAGE_SIZE == pyro.MAX_BYTES)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["worker", "script.py", "--run", "mnist", "--wait", "0"],
        ["master", "script.py", "--run", "mnist", "--trials", "1", "--wait", "0"],
        ["run", "script.py", "--run", "mnist", "--trials", "1", "--workers", "1"],
        ["nameserver", "--run", "mnist", "--run-id", "both-is-wrong"],
        ["control", "mnist", "stop"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_each_program_that_opens_connections_unlearns_to_unpickle(
    arguments: list[str], tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "mnist")
    run.create()
    find_key("mnist", run.path)
    (tmp_path / "script.py").write_text(SCRIPT)
    if arguments[0] in ("worker", "master"):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = closed.getsockname()
        write_connection(run.connection, note_of(address))
    done = subprocess.run([sys.executable, "-c", HARDENED, *arguments], cwd=tmp_path,
                          capture_output=True, text=True, timeout=100, check=False)  # fmt: skip
    safe, limited = done.stdout.strip().splitlines()[-1].rsplit(" ", 1)
    assert json.loads(safe)[0] == [1, 2, 6], done.stderr
    assert limited == "True"


def test_a_worker_that_was_started_as_a_process_unlearns_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began: list[str] = []
    monkeypatch.setattr(worker_process, "harden_process", lambda: began.append("hardened"))
    with pytest.raises(EOFError):
        worker_process._serve(b"")
    assert began == ["hardened"]


# ------------------------------------------------------------------ Pyro4's settings

SETTINGS = [
    ("PYRO_LOGWIRE", "1"),
    ("PYRO_DETAILED_TRACEBACK", "1"),
    ("PYRO_REQUIRE_EXPOSE", "0"),
    ("PYRO_COMPRESSION", "1"),
    ("PYRO_SERVERTYPE", "multiplex"),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_program_refuses_an_environment_that_makes_pyro_unsafe(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    done = hpdist("nameserver", "--run", tmp_path / "mnist")
    assert done.returncode == 2
    assert f"unset {name}" in done.stderr


PERMISSIVE = """
import sys
from hpdist.cluster.transport.dispatcher_server import Server
server = Server(lambda m: {}, lambda m: {}, key=b"k" * 32, host="127.0.0.1")
print("{}:{}".format(*server.start()), flush=True)
sys.stdin.read()
server.close()
"""


def test_no_variable_makes_a_daemon_take_pickles(mark: Path, tmp_path: Path) -> None:
    loose = {"PYRO_SERIALIZERS_ACCEPTED": "pickle,marshal,json", "PYRO_SERIALIZER": "pickle"}
    process = subprocess.Popen([sys.executable, "-c", PERMISSIVE], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **loose})  # fmt: skip
    assert process.stdout is not None
    address = split_address(process.stdout.readline())
    hello = handshake(key=KEY)
    for number in (3, 4, 5, 7):
        said = answer_to(dial(address), message(CONNECT, bomb(mark), KEY, number=number))
        assert kind_of(said) == CONNECTFAIL
        with dial(address) as sock:
            sock.sendall(hello + message(INVOKE, bomb(mark), KEY, number=number))
            assert kind_of(one_message(sock)) == CONNECTOK
            sock.shutdown(socket.SHUT_WR)
            answer_to(sock)
    with dial(address) as sock:
        sock.sendall(hello)
        assert kind_of(one_message(sock)) == CONNECTOK
    process.communicate("", timeout=LIMIT_S)
    assert not mark.exists()


def test_a_connection_in_this_process_changes_no_setting_of_pyro() -> None:
    before = Pyro4.config.asDict()
    with pytest.raises(TransportError):
        Connection("nobody", "hpdist", "127.0.0.1", 1, KEY, 1.0)
    assert Pyro4.config.asDict() == before


def test_a_key_file_is_needed_before_anything_is_dialled(listen: Listen, tmp_path: Path) -> None:
    rogue = listen()
    run_address = RunAddress("mnist", *rogue.address, tmp_path / "mnist")
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "key").write_text("ab" * 32)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        run_address.dispatcher()
    assert rogue.visits == 0
