"""Mutual TLS over real sockets: who gets in, who does not, and what can be seen on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import select
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from Pyro4 import message as pyro_message

from hpdist import Master, NameServer, Timing, Worker
from hpdist.cli import certificates
from hpdist.cli.certificates import make_certificates
from hpdist.cli.main import run as hpdist
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.cluster.transport.encryption import NEEDS_TLS
from hpdist.cluster.transport.pyro import make_nonce, serializer
from hpdist.cluster.transport.tls import Tls, find_tls, read_tls
from hpdist.core.attempt.spawned_process import child_environment
from hpdist.core.journal.connection_file import write_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import AuthenticationError, ConfigurationError, TransportError
from hpdist.core.space.space import Space
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimizers import RandomSearch

KEY = b"k" * 32
RUN = "secret-run"
LIMIT_S = 30.0


def echo(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"v": 1, "kind": "ok", "epoch": 1, "said": dict(message)}


def heard(sock: socket.socket) -> bytes:
    """What the other side says until it closes the connection."""
    said = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := sock.recv(65_536):
            said += data
    return said


def ended(sock: socket.socket) -> bool:
    """Whether the other side closes the connection within ten seconds."""
    sock.settimeout(10.0)
    with sock:
        try:
            while sock.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("HPDIST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("hpdist.core.journal.run_key._environment_key", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("issued")
    for name in ("ours", "theirs"):
        make_certificates(directory / name, RUN, 1)
    return directory


@pytest.fixture
def tls(issued: Path) -> Tls:
    return read_tls(issued / "ours")


@pytest.fixture
def other(issued: Path) -> Tls:
    return read_tls(issued / "theirs")


@contextlib.contextmanager
def serving(handler: Callable[..., dict[str, Any]], tls: Tls | None) -> Iterator[Server]:
    server = Server(handler, handler, key=KEY, host="127.0.0.1", tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def connected(address: str, tls: Tls | None, **options: Any) -> Iterator[DispatcherChannel]:
    channel = DispatcherChannel(KEY, address, RUN, tls=tls, **options)
    try:
        yield channel
    finally:
        channel.close()


@pytest.fixture
def server(tls: Tls) -> Iterator[Server]:
    with serving(echo, tls) as server:
        yield server


class Listener:
    """Listens, and has each connection to itself, one after the other."""

    def __init__(self, treat: Callable[[socket.socket], None]) -> None:
        self._treat = treat
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(LIMIT_S)
                self._treat(sock)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


class Relay(Listener):
    """Sits between a client and ``server``, and notes all that passes by."""

    def __init__(self, server: Server) -> None:
        super().__init__(self._pass_on)
        self._server, self.seen = server, bytearray()

    def _pass_on(self, client: socket.socket) -> None:
        with socket.create_connection(self._server.address, LIMIT_S) as server:
            ways = {client: server, server: client}
            while True:
                for sock in select.select(list(ways), [], [], LIMIT_S)[0]:
                    data = sock.recv(65_536)
                    if not data:
                        return
                    self.seen += data
                    ways[sock].sendall(data)


# ------------------------------------------------------------------ who belongs to the run


def test_who_has_the_runs_certificate_gets_in(server: Server, tls: Tls) -> None:
    with connected(server.uri, tls) as channel:
        assert channel.call({"text": "é"})["said"]["text"] == "é"
        assert channel._connection is not None
        assert channel._connection._sock.version() == "TLSv1.3"


def test_a_message_of_the_largest_size_passes_both_ways(server: Server, tls: Tls) -> None:
    text = "x" * (1024 * 1024)
    with connected(server.uri, tls) as channel:
        for _ in range(3):
            assert channel.call({"text": text})["said"]["text"] == text


def test_many_arriving_at_once_are_all_served(server: Server, tls: Tls) -> None:
    def visit(number: int) -> int:
        with connected(server.uri, tls) as channel:
            return int(channel.call({"number": number})["said"]["number"])

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(visit, range(32))) == list(range(32))


def test_the_key_is_asked_for_as_well(server: Server, tls: Tls) -> None:
    with pytest.raises(AuthenticationError, match="another key"):
        DispatcherChannel(b"o" * 32, server.uri, RUN, tls=tls).call({})


def test_a_whole_run_goes_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / RUN
    assert hpdist(["keys", "tls", str(run)]) == 0
    shutil.copytree(run / "tls", tmp_path / "copy")
    timing = Timing(lease_s=10.0, heartbeat_s=0.5, closed_s=2.0, poll_s=2.0)
    space, jobs = Space.of({"x": (0.0, 1.0)}), SingleFidelity(num_configs=6)
    with NameServer(RUN, tmp_path) as names:
        host, port = names.start()
        near = Worker(RUN, isolation="none")
        near.load_nameserver_credentials(tmp_path)
        far = Worker(RUN, host, port, isolation="none")  # knows no directory of the run
        monkeypatch.setenv("HPDIST_KEY_FILE", str(run / "key"))
        with pytest.raises(AuthenticationError, match="HPDIST_TLS_DIR"):
            RunAddress(RUN, host, port).dispatcher()
        monkeypatch.setenv("HPDIST_TLS_DIR", str(tmp_path / "copy"))
        master = Master(RUN, RandomSearch(space), jobs, working_directory=tmp_path,
                        nameserver=None, timing=timing)  # fmt: skip
        for worker in (near, far):
            worker.initialize(lambda config: float(config["x"]))
            worker.run(background=True)
        results = master.run(1, min_n_workers=2)
        with pytest.raises(AuthenticationError, match="HPDIST_TLS_DIR"):
            DispatcherChannel(find_key(RUN, run), master.dispatcher.service.uri, RUN).call({})
        master.shutdown(shutdown_workers=True)
        assert near.wait(LIMIT_S)
        assert far.wait(LIMIT_S)
    assert len(results.evaluations) == 6


# ------------------------------------------------------------------ who does not


def test_a_client_of_another_run_turns_away_by_himself(server: Server, other: Tls) -> None:
    with pytest.raises(AuthenticationError, match="no certificate of the authority in") as caught:
        DispatcherChannel(KEY, server.uri, RUN, tls=other).call({})
    assert "HPDIST_TLS_DIR" in str(caught.value)


@pytest.mark.parametrize("certificate", ["theirs", None])
def test_a_client_who_does_not_care_who_answers_is_kept_out(
    issued: Path, tls: Tls, certificate: str | None
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        files = issued / certificate
        context.load_cert_chain(files / "cert.pem", files / "key.pem")
    asked: list[Any] = []
    request = pyro_message.Message(
        pyro_message.MSG_CONNECT,
        serializer().dumps({"handshake": "hpdist", "object": "hpdist"}),
        serializer().serializer_id, 0, 0, hmac_key=KEY,
    ).to_bytes()  # fmt: skip
    with serving(lambda message: asked.append(message) or echo(message), tls) as server:
        sock = socket.create_connection(server.address, LIMIT_S)
        with context.wrap_socket(sock) as secured:
            with contextlib.suppress(OSError):  # it may have been cut off by then
                secured.sendall(request)
            assert not heard(secured)
        rogue = dataclasses.replace(tls, client=context)
        with pytest.raises(AuthenticationError, match="does not accept the certificate"):
            DispatcherChannel(KEY, server.uri, RUN, tls=rogue).call({})
    assert asked == []


def test_a_plain_client_with_the_key_is_told_what_is_missing(server: Server) -> None:
    with pytest.raises(AuthenticationError) as caught:
        DispatcherChannel(KEY, server.uri, RUN).call({})
    assert NEEDS_TLS in str(caught.value)
    assert "--tls-dir or HPDIST_TLS_DIR=" in str(caught.value)


def test_a_plain_client_without_the_key_is_told_of_the_key(server: Server) -> None:
    with pytest.raises(AuthenticationError, match="another key"):
        DispatcherChannel(b"o" * 32, server.uri, RUN).call({})


def test_a_server_without_tls_is_told_from_a_rogue(tls: Tls) -> None:
    with (
        serving(echo, None) as plain,
        pytest.raises(AuthenticationError, match="does not use TLS") as caught,
    ):
        DispatcherChannel(KEY, plain.uri, RUN, tls=tls).call({})
    assert str(tls.directory) in str(caught.value)


def test_nothing_is_said_to_a_rogue_server(tls: Tls, other: Tls) -> None:
    told: list[bytes] = []

    def answer(sock: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = other.directory
        context.load_cert_chain(files / "cert.pem", files / "key.pem")
        with context.wrap_socket(sock, server_side=True) as secured:
            told.append(secured.recv(1))

    with (
        Listener(answer) as rogue,
        pytest.raises(AuthenticationError, match="no certificate of the authority"),
    ):
        DispatcherChannel(KEY, rogue.address, RUN, tls=tls).call({})
    assert told == []


def test_nobody_on_the_way_can_take_the_tls_off(tls: Tls) -> None:
    heard = bytearray()

    def answer(sock: socket.socket) -> None:
        heard.extend(sock.recv(65_536))
        data = serializer().dumps(make_nonce().hex())
        number = serializer().serializer_id
        reply = pyro_message.Message(pyro_message.MSG_CONNECTOK, data, number, 0, 0, hmac_key=KEY)
        sock.sendall(reply.to_bytes())
        with contextlib.suppress(OSError):
            while data := sock.recv(65_536):
                heard.extend(data)

    with (
        Listener(answer) as proxy,
        pytest.raises(AuthenticationError, match="does not use TLS"),
    ):
        DispatcherChannel(KEY, proxy.address, RUN, tls=tls).call({"text": "private"})
    assert heard[:1] == b"\x16"
    assert b"PYRO" not in heard


@pytest.mark.slow
def test_strangers_who_say_no_more_block_nobody_and_are_cut_off(server: Server, tls: Tls) -> None:
    beginnings = [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"PYRO", b"\x16" * 600]
    strangers = [socket.create_connection(server.address, LIMIT_S) for _ in range(50)]
    for number, sock in enumerate(strangers):
        sock.sendall(beginnings[number % len(beginnings)])
    with connected(server.uri, tls) as channel:
        assert channel.call({})["kind"] == "ok"
    assert all([ended(sock) for sock in strangers])


@pytest.mark.parametrize("data", [b"\x16\x03\x01\xff\xff" + b"\0" * 70_000, b"GET / HTTP/1.1\r\n"])
def test_garbage_ends_its_own_connection_only(server: Server, tls: Tls, data: bytes) -> None:
    sock = socket.create_connection(server.address, LIMIT_S)
    with contextlib.suppress(ConnectionError):
        sock.sendall(data * 3)
    assert ended(sock)
    with connected(server.uri, tls) as channel:
        assert channel.call({})["kind"] == "ok"


def test_a_silent_server_is_given_up_in_time(tls: Tls) -> None:
    released = threading.Event()
    with Listener(lambda sock: released.wait(LIMIT_S) and None) as silent:
        with pytest.raises(TransportError, match=r"no reply .* within 0\.2 s"):
            DispatcherChannel(KEY, silent.address, RUN, timeout_s=0.2, tls=tls).call({})
        released.set()


def test_a_server_that_hangs_up_is_worth_another_try(tls: Tls) -> None:
    with (
        Listener(lambda sock: sock.recv(1) and None) as closing,
        pytest.raises(TransportError, match="closed the connection") as caught,
    ):
        DispatcherChannel(KEY, closing.address, RUN, tls=tls).call({})
    assert not isinstance(caught.value, AuthenticationError)


# ------------------------------------------------------------------ what can be seen


@pytest.mark.parametrize("secured", [False, True])
def test_nothing_is_to_be_read_on_the_way(tls: Tls, secured: bool) -> None:
    used = tls if secured else None
    with serving(echo, used) as server, Relay(server) as relay:
        with connected(relay.address, used) as channel:
            channel.call({"text": "my-loss"})
        seen = bytes(relay.seen)
    words = (RUN.encode(), b"my-loss", b"PYRO", b"HPDS", b"hpdist")
    assert [word in seen for word in words] == [not secured] * len(words)


def test_an_answer_given_while_the_server_closes_is_encrypted_too(tls: Tls) -> None:
    entered, released = threading.Event(), threading.Event()

    def slow(message: Mapping[str, Any]) -> dict[str, Any]:
        if message.get("slow"):
            entered.set()
            released.wait(LIMIT_S)
        return echo(message)

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(slow, tls))
        relay = stack.enter_context(Relay(server))
        busy = stack.enter_context(connected(relay.address, tls))
        idle = stack.enter_context(connected(server.uri, tls))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        answer = pool.submit(busy.call, {"slow": True, "text": "my-loss"})
        assert entered.wait(LIMIT_S)
        idle.call({})
        closing = pool.submit(server.close, LIMIT_S)
        assert idle._connection is not None
        idle._connection._sock.settimeout(LIMIT_S)
        assert heard(idle._connection._sock) == b""  # no connection is read from any more
        released.set()
        assert answer.result(LIMIT_S)["said"]["text"] == "my-loss"
        closing.result(LIMIT_S)
        assert b"my-loss" not in relay.seen


def test_hanging_up_from_another_thread_ends_a_waiting_call_at_once(tls: Tls) -> None:
    called, released = threading.Event(), threading.Event()

    def slow(message: Mapping[str, Any]) -> dict[str, Any]:
        called.set()
        released.wait(60)
        return echo(message)

    with serving(slow, tls) as server, connected(server.uri, tls, timeout_s=60.0) as channel:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(channel.call, {})
            assert called.wait(LIMIT_S)
            channel.close()
            with pytest.raises(TransportError):
                future.result(20)
        released.set()
        assert channel.call({})["kind"] == "ok"


# ------------------------------------------------------------------ the files


def test_certificates_are_found_where_the_key_is(
    tls: Tls, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / RUN
    assert find_tls(RUN, run) is None
    for place in (home / ".hpdist" / RUN / "tls", run / "tls", tmp_path / "named"):
        shutil.copytree(tls.directory, place)
        if place.name == "named":
            monkeypatch.setenv("HPDIST_TLS_DIR", str(place))
        found = find_tls(RUN, run)
        assert found is not None
        assert found.directory == place
        assert found.fingerprint == tls.fingerprint
    assert RunAddress(RUN, "127.0.0.1", 1).tls() == found


def test_new_certificates_are_taken_up_without_a_restart(tmp_path: Path) -> None:
    directory = tmp_path / "r" / "tls"
    directory.parent.mkdir()
    make_certificates(directory, "r", 1)
    before = find_tls("r", directory.parent)
    assert find_tls("r", directory.parent) is before
    make_certificates(directory, "r", 1, force=True)
    after = find_tls("r", directory.parent)
    assert before is not None
    assert after is not None
    assert after.fingerprint != before.fingerprint


def test_all_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_certificates(tmp_path / "tls", "r", 1)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.pem": 0o600, "cert.pem": 0o600, "key.pem": 0o600}
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_no_private_key_of_the_authority_is_kept(tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls", "r", 1)
    texts = [path.read_text() for path in (tmp_path / "tls").iterdir()]
    assert sum(text.count("PRIVATE KEY-----") for text in texts) == 2  # its begin and its end
    authority = read_tls(tmp_path / "tls").server
    with pytest.raises(ssl.SSLError, match=r"KEY_VALUES_MISMATCH|key values mismatch"):
        authority.load_cert_chain(tmp_path / "tls" / "ca.pem", tmp_path / "tls" / "key.pem")


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
@pytest.mark.parametrize("harm", ["missing", "open", "foreign", "nonsense", "empty", "link"])
def test_files_that_cannot_be_trusted_are_refused_and_never_done_without(
    issued: Path, tmp_path: Path, name: str, harm: str
) -> None:
    file = tmp_path / "r" / "tls" / name
    shutil.copytree(issued / "ours", file.parent)
    words = "cannot be used together"
    if harm == "missing":
        file.unlink()
        words = f"there is no {file}"
    elif harm == "open":
        file.chmod(0o644)
        words = f"other users may open {file}"
    elif harm == "foreign":
        shutil.copy(issued / "theirs" / name, file)
    elif harm == "nonsense":
        file.write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    elif harm == "empty":
        file.write_text("")
    else:
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
        words = f"{file} cannot be read"
    with pytest.raises(ConfigurationError) as caught:
        find_tls("r", tmp_path / "r")
    assert words in str(caught.value)
    if harm not in ("open", "link"):
        assert f"hpdist keys tls {tmp_path / 'r'} --force" in str(caught.value)


def test_a_private_key_with_a_password_is_refused_and_not_asked_for(
    issued: Path, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization as s

    directory = tmp_path / "r" / "tls"
    shutil.copytree(issued / "ours", directory)
    key = s.load_pem_private_key((directory / "key.pem").read_bytes(), None)
    locked = s.BestAvailableEncryption(b"word")
    (directory / "key.pem").write_bytes(
        key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked)
    )
    with pytest.raises(ConfigurationError, match="cannot be used together"):
        find_tls("r", directory.parent)


@pytest.mark.parametrize(
    ("backdated", "days", "word"), [(1, -0.5, "expired on"), (-1, 2, "is valid from")]
)
def test_certificates_out_of_date_are_named_with_date_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backdated: int, days: float, word: str
) -> None:
    monkeypatch.setattr(certificates, "BACKDATED", datetime.timedelta(days=backdated))
    run = tmp_path / "r"
    run.mkdir()
    make_certificates(run / "tls", "r", days)
    with pytest.raises(ConfigurationError) as caught:
        NameServer("r", tmp_path).start()
    offset = days if word == "expired on" else 1
    date = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)
    for part in (f"{run / 'tls' / 'cert.pem'} {word} {date:%Y-%m-%d}", "hpdist keys tls"):
        assert part in str(caught.value)


def test_certificates_that_expire_while_a_run_goes_on_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "BACKDATED", datetime.timedelta(days=1))
    make_certificates(tmp_path / "tls", "r", -0.5)
    old = read_tls(tmp_path / "tls")  # as a process has them that was started in time
    with (
        serving(echo, old) as server,
        pytest.raises(AuthenticationError, match=r"cert\.pem expired on .* UTC"),
    ):
        DispatcherChannel(KEY, server.uri, RUN, tls=old).call({})


def test_children_are_not_told_where_the_certificates_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPDIST_TLS_DIR", "somewhere")
    assert "HPDIST_TLS_DIR" not in child_environment({})


# ------------------------------------------------------------------ the command


def test_existing_certificates_are_replaced_on_demand_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hpdist(["keys", "tls", "r"]) == 0
    first = read_tls(tmp_path / "r" / "tls")
    assert hpdist(["keys", "tls", "r"]) == 2
    assert "--force" in capsys.readouterr().err
    assert read_tls(tmp_path / "r" / "tls").fingerprint == first.fingerprint
    assert hpdist(["keys", "tls", "r", "--force", "--days", "2"]) == 0
    second = read_tls(tmp_path / "r" / "tls")
    assert second.fingerprint != first.fingerprint
    assert second.fingerprint in capsys.readouterr().out
    assert abs(second.ends - time.time() - 2 * 86_400) < 3600


def test_no_certificates_are_made_under_a_living_nameserver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = {"address": "127.0.0.1:1", "run_id": "r", "pid": os.getpid(), "format": 1,
            "host": socket.gethostname(), "started": 0.0, "versions": {}}  # fmt: skip
    run = RunDirectory(tmp_path / "r")
    run.create()
    write_connection(run.connection, note)
    assert hpdist(["keys", "tls", "r"]) == 2
    assert "has a nameserver at 127.0.0.1:1" in capsys.readouterr().err
    assert not run.tls.exists()


def test_the_command_shows_dates_and_fingerprint_and_nothing_private(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find_key("r", tmp_path / "r")
    assert hpdist(["keys", "show", "r"]) == 0
    assert "TLS:         none" in capsys.readouterr().out
    assert hpdist(["keys", "tls", "r", "--days", "1"]) == 0
    capsys.readouterr()
    assert hpdist(["keys", "show", "r"]) == 0
    said = capsys.readouterr().out
    tls = read_tls(tmp_path / "r" / "tls")
    assert f"fingerprint: {tls.fingerprint}" in said
    assert time.strftime("%Y-%m-%d %H:%M", time.gmtime(tls.ends)) in said
    assert "over" not in said
    assert (tmp_path / "r" / "tls" / "key.pem").read_text().splitlines()[1] not in said


def test_without_cryptography_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    assert hpdist(["keys", "tls", "r"]) == 2
    assert 'pip install "hpdist[tls]"' in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("command", ["nameserver --run r", "worker bowl.py:f --run r"])
def test_a_directory_named_on_the_command_line_must_hold_certificates(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setattr("hpdist.cluster.transport.pyro.harden_process", lambda: None)
    monkeypatch.setenv("HPDIST_TLS_DIR", "")  # so that it is forgotten after the test
    (tmp_path / "bowl.py").write_text("def f(config): return 0.0\n")
    find_key("r", tmp_path / "r")
    note = {"address": "127.0.0.1:1", "run_id": "r", "pid": 1, "format": 1,
            "host": "elsewhere", "started": 0.0, "versions": {}}  # fmt: skip
    write_connection(tmp_path / "r" / "connection.json", note)
    assert hpdist([*command.split(), "--tls-dir", "nowhere"]) == 2
    assert f"there is no {tmp_path / 'nowhere' / 'ca.pem'}" in capsys.readouterr().err
