"""Where a key could be seen, and ports that could be open: all processes of a run, watched."""

from __future__ import annotations

import ast
import base64
import logging
import os
import secrets
import stat
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from attackers import LIMIT_S, eventually

import hpdist
from hpdist.cli.main import run as command
from hpdist.cluster.directory import Names
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.transport.address import split_address
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.journal.connection_file import read_connection
from hpdist.core.journal.run_key import Key, find_key
from hpdist.core.model.errors import ConfigurationError, TransportError

SCRIPT = """
import time
from pathlib import Path
HERE = Path(__file__).parent
space = {"x": (0.0, 1.0)}
def train(config, budget, ctx):
    print("evaluating")
    (ctx.directory / "model").touch()
    (HERE / "began").touch()
    until = time.monotonic() + 60
    while not (HERE / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    if config["x"] > 0.5:
        raise ValueError("told with a traceback")
    return config["x"]
"""

#: Imported by each Python process of the run: everything is logged, whatever it says itself.
LOG_ALL = """
import logging, os, sys
logging.basicConfig(filename=os.environ["LOG_ALL"], level=1)
logging.Logger.setLevel = lambda self, level: None
logging.Logger.propagate = property(lambda self: True, lambda self, value: None)
"""

NO_UMASK = "import os, sys; os.umask(0); from hpdist.cli.main import main; main(sys.argv[1:])"


@dataclass
class Seen:
    """What somebody who looks around sees while a run goes on, and after it."""

    command_lines: dict[int, str] = field(default_factory=dict)
    environments: dict[int, bytes] = field(default_factory=dict)
    child_files: list[str] = field(default_factory=list)
    listening: list[Any] = field(default_factory=list)
    datagrams: list[Any] = field(default_factory=list)
    names: str = ""
    connection: str = ""
    modes: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    first: int = 0


def look(found: Seen, process: psutil.Process) -> None:
    found.command_lines[process.pid] = " ".join(process.cmdline())
    found.environments[process.pid] = Path(f"/proc/{process.pid}/environ").read_bytes()
    for each in process.net_connections("inet"):
        if each.status == psutil.CONN_LISTEN:
            found.listening.append(each.laddr)
        elif each.status == psutil.CONN_NONE:
            found.datagrams.append(each)
    if "hpdist.core.attempt.child_main" in found.command_lines[process.pid]:
        links = Path(f"/proc/{process.pid}/fd").iterdir()
        found.child_files += [os.readlink(link) for link in links]


@pytest.fixture(scope="module")
def secret() -> str:
    return secrets.token_hex(32)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, secret: str) -> Seen:
    """A run of one worker whose key came with the environment, logged in full, without umask."""
    directory = tmp_path_factory.mktemp("leaks")
    (directory / "script.py").write_text(SCRIPT)
    (directory / "site").mkdir()
    (directory / "site" / "sitecustomize.py").write_text(LOG_ALL)
    environment = {name: v for name, v in os.environ.items() if not name.startswith("HPDIST_")}
    environment |= {
        "HPDIST_KEY": secret, "HOME": str(directory), "LOG_ALL": str(directory / "all.log"),
        "PYTHONPATH": f"{directory / 'site'}:{environment.get('PYTHONPATH', '')}",
    }  # fmt: skip
    arguments = ["run", "script.py", "--run", "a/mnist", "--trials", "4", "--workers", "1"]
    options = ["--budget", "1:1", "--debug"]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", NO_UMASK, *arguments, *options],
                                   cwd=directory, env=environment, stdout=output,
                                   stderr=output)  # fmt: skip
    found, run = Seen(first=process.pid), directory / "a" / "mnist"
    try:
        eventually((directory / "began").exists, "the first evaluation")
        top = psutil.Process(process.pid)
        for each in [top, *top.children(recursive=True)]:
            look(found, each)
        found.connection = (run / "connection.json").read_text()
        note = read_connection(run / "connection.json")
        assert note is not None
        with Names(*split_address(note["address"]), bytes.fromhex(secret)) as names:
            found.names = repr(names.entries(""))
        (directory / "go").touch()
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        found.modes[name] = stat.S_IMODE(path.stat().st_mode)
        if path.is_file():
            found.files[name] = path.read_bytes()
    return found


def forms(secret: str) -> list[bytes]:
    """How a key could be written: as digits, as it is, in base64, as Python shows bytes."""
    raw = bytes.fromhex(secret)
    return [secret.encode(), secret.upper().encode(), raw, base64.b64encode(raw),
            repr(raw)[2:-1].encode()]  # fmt: skip


def shows(text: bytes | str, secret: str) -> bool:
    data = text.encode() if isinstance(text, str) else text
    return any(form in data for form in forms(secret))


# ------------------------------------------------------------------ watched from outside


@pytest.mark.slow
def test_no_command_line_shows_the_key(seen: Seen, secret: str) -> None:
    lines = seen.command_lines
    assert any("hpdist.core.attempt.child_main" in line for line in lines.values())
    assert any("hpdist.cli.main worker" in line for line in lines.values())
    assert not [line for line in lines.values() if shows(line, secret)]


def test_no_process_that_is_started_has_the_key_in_its_environment(seen: Seen, secret: str) -> None:
    assert shows(seen.environments[seen.first], secret)  # where its user put it
    others = {pid: data for pid, data in seen.environments.items() if pid != seen.first}
    assert len(others) >= 2
    assert not [pid for pid, data in others.items() if shows(data, secret)]
    assert not [pid for pid, data in others.items() if b"HPDIST_KEY" in data]


def test_no_log_shows_the_key_though_everything_is_logged(seen: Seen, secret: str) -> None:
    log = seen.files["all.log"].decode()
    assert "hpdist" in log and "Pyro4" in log and "DEBUG" in log  # noqa: PT018
    assert not shows(log, secret)
    assert not shows(seen.files["output"], secret)
    assert "told with a traceback" in seen.files["a/mnist/logs/worker-0.log"].decode()


def test_no_file_of_a_run_shows_the_key_and_neither_does_the_nameserver(
    seen: Seen, secret: str
) -> None:
    assert {"a/mnist/journal", "a/mnist/command.json"} <= seen.files.keys()
    assert not [name for name, data in seen.files.items() if shows(data, secret)]
    assert "mnist" in seen.connection
    assert not shows(seen.connection, secret)
    assert "hpdist.mnist.dispatcher" in seen.names
    assert not shows(seen.names, secret)


def test_the_objectives_process_holds_no_connection_and_no_file_of_the_run(seen: Seen) -> None:
    assert seen.child_files
    assert not [file for file in seen.child_files if file.startswith("socket:")]
    assert not [file for file in seen.child_files if file.endswith(("journal", "lock", "key"))]


def test_all_ports_are_on_loopback_and_none_takes_datagrams(seen: Seen) -> None:
    assert len(seen.listening) == 2  # nameserver and dispatcher; no worker listens
    assert {address.ip for address in seen.listening} == {"127.0.0.1"}
    assert seen.datagrams == []


def test_without_any_umask_the_run_directory_is_private_and_its_files_too(seen: Seen) -> None:
    assert (seen.modes["a"], seen.modes["a/mnist"]) == (0o755, 0o700)
    for name in ("journal", "command.json", "lock"):
        assert seen.modes[f"a/mnist/{name}"] == 0o600


# ------------------------------------------------------------------ looked at from inside


def test_a_key_shows_itself_in_no_text_and_no_traceback(secret: str) -> None:
    key = Key.fromhex(secret)
    texts = [repr(key), str(key), f"{key}", f"{key!r}", "%s %r" % (key, key), repr({"key": key})]  # noqa: UP031
    texts += [logging.LogRecord("", 0, "", 0, "%s", (key,), None).getMessage()]
    texts += [repr(DispatcherChannel(key, "h:1", "run")), repr(RunAddress("run", "h", 1))]
    with pytest.raises(TransportError) as caught:
        Connection("the nameserver", "hpdist", "127.0.0.1", 1, key, 1.0)
    inner = caught.value.__traceback__.tb_next  # type: ignore[union-attr]
    told = traceback.TracebackException(caught.type, caught.value, inner, capture_locals=True)
    texts.append("".join(told.format()))
    assert "<key of 32 bytes>" in texts[-1]
    assert not [text for text in texts if shows(text, secret)]


def test_the_key_that_is_found_hides_wherever_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    (tmp_path / "named").write_text(secret)
    (tmp_path / "named").chmod(0o600)
    found = [find_key("mnist", tmp_path), find_key("mnist")]
    monkeypatch.setenv("HPDIST_KEY_FILE", str(tmp_path / "named"))
    found.append(find_key("mnist"))
    monkeypatch.delenv("HPDIST_KEY_FILE")
    monkeypatch.setenv("HPDIST_KEY", secret)
    found.append(find_key("mnist"))
    assert {repr(key) for key in found} == {"<key of 32 bytes>"}


def test_hpdist_makes_no_proxy_which_would_carry_the_key_wherever_it_is_sent() -> None:
    package = Path(hpdist.__file__).parent
    for file in package.rglob("*.py"):
        names = {ast.unparse(node) for node in ast.walk(ast.parse(file.read_text()))
                 if isinstance(node, ast.Attribute | ast.Name)}  # fmt: skip
        assert not names & {"Proxy", "Pyro4.Proxy", "core.Proxy", "locateNS"}, file


# ------------------------------------------------------------------ exposed by accident


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0"])
@pytest.mark.parametrize("verb", ["nameserver", "run"])
def test_all_interfaces_at_once_are_refused(
    verb: str, host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    script = [str(tmp_path / "script.py")] if verb == "run" else []
    assert command([verb, *script, "--run", str(tmp_path / "mnist"), "--host", host]) == 2
    assert "stands for every interface" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "word"), [(b"", "needs a key"), (b"k" * 31, "31 bytes")])
def test_neither_daemon_listens_beyond_loopback_without_a_whole_key(
    key: bytes, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpdist.cluster.nameserver.find_key", lambda *_: key)
    monkeypatch.setattr("hpdist.cluster.nameserver.bind_host", lambda *_: "192.0.2.1")
    for start in (
        Server(lambda m: {}, lambda m: {}, key=key, host="192.0.2.1").start,
        NameServer("mnist", tmp_path).start,
    ):
        with pytest.raises(ConfigurationError, match=word):
            start()


def test_the_command_line_says_that_a_key_is_too_short_for_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HPDIST_KEY", "ab" * 16)
    monkeypatch.setattr("hpdist.cluster.nameserver.bind_host", lambda *_: "192.0.2.1")
    (tmp_path / "script.py").write_text(SCRIPT)
    script, run = str(tmp_path / "script.py"), str(tmp_path / "mnist")
    assert command(["run", script, "--run", run, "--trials", "1", "--host", "127.0.0.1"]) == 2
    assert "16 bytes, too few to listen at 192.0.2.1" in capsys.readouterr().err
