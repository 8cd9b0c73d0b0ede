"""Two machines with a network between them and no disk in common, as network namespaces."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).with_name("cluster_scripts")
NEAR, FAR = "10.203.77.1", "10.203.77.2"
LIMIT_S = 60.0
ROLES = ("nameserver", "worker", "master")
#: Ends a command that takes too long.
LIMITED = ["timeout", "-s", "KILL", f"{LIMIT_S:g}"]
#: Runs a command where the first argument, a directory, looks empty.
HIDING = ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']


@dataclass
class Host:
    """A network namespace, and the directory that stands for its disk."""

    name: str
    nic: str
    disk: Path

    def ip(self, *command: str) -> None:
        run("ip", "-n", self.name, *command)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    number = os.getpid() % 100_000
    disk = tmp_path_factory.mktemp("disks")
    near = Host(f"hp-near-{number}", f"hpn{number}", disk / "near")
    far = Host(f"hp-far-{number}", f"hpf{number}", disk / "far")
    try:
        try:
            connect(near, far)
        except OSError as error:
            if os.environ.get("HPDIST_REQUIRE_ALL") == "1":
                raise
            pytest.skip(f"network namespaces cannot be made here: {error}")
        give_key(near, far)
        yield near, far
    finally:
        for host in (near, far):  # the interfaces go with them
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)


def connect(near: Host, far: Host) -> None:
    if shutil.which("ip") is None:
        raise OSError("there is no command ip")
    for host in (near, far):
        run("ip", "netns", "add", host.name)
    near.ip("link", "add", near.nic, "type", "veth", "peer", "name", far.nic, "netns", far.name)
    for host, address in ((near, NEAR), (far, FAR)):
        host.ip("address", "add", f"{address}/30", "dev", host.nic)
        host.ip("link", "set", host.nic, "up")
        host.ip("link", "set", "lo", "up")


def give_key(near: Host, far: Host) -> None:
    key = secrets.token_hex(32)
    for host in (near, far):
        host.disk.mkdir()
        file = host.disk / "key"
        file.touch(mode=0o600)
        file.write_text(key)


class Play:
    """Processes on both hosts, ended at the end."""

    def __init__(self, near: Host, far: Host, directory: str) -> None:
        self.near, self.far, self.directory = near, far, directory
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, role: str, port: int) -> None:
        """Start a part and wait until it is up, which is not to say that it has found anyone."""
        here, there = (self.far, self.near) if role == "worker" else (self.near, self.far)
        directory = here.disk / self.directory
        directory.mkdir(exist_ok=True)
        program = [sys.executable, str(SCRIPTS / f"far_{role}.py"), NEAR, str(port), self.near.nic]
        process = subprocess.Popen(
            [*LIMITED, "ip", "netns", "exec", here.name, *HIDING, str(there.disk), *program],
            cwd=directory,
            env={**os.environ, "HOME": str(directory), "HPDIST_KEY_FILE": str(here.disk / "key")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes[role] = process
        self.read_until(role, "up")

    def read_until(self, role: str, beginning: str) -> str:
        """Read what a part says until a line begins like this; return that line."""
        stream = self.processes[role].stdout
        assert stream is not None
        said = []
        for line in stream:
            said.append(line)
            if line.startswith(beginning):
                return line
        raise AssertionError(f"the {role} ended:\n{''.join(said)}")

    def close(self) -> None:
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def play(hosts: tuple[Host, Host], request: pytest.FixtureRequest) -> Iterator[Play]:
    play = Play(*hosts, request.node.callspec.id)
    yield play
    play.close()


ORDERS = list(itertools.permutations(ROLES))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_a_run_on_two_hosts_finishes_in_any_order_of_start(
    play: Play, order: tuple[str, ...]
) -> None:
    for role in order:
        play.start(role, 9100 + ORDERS.index(order))
    told = json.loads(play.read_until("master", "{"))
    assert told["uri"].startswith(f"PYRO:hpdist@{NEAR}:")
    assert told["states"] == ["completed"] * 13
    assert play.processes["master"].wait(LIMIT_S) == 0
    assert play.processes["worker"].wait(LIMIT_S) == 0
    models = sorted((play.far.disk / play.directory / "configs").rglob("model"))
    assert len(models) == 13
    assert not (play.near.disk / play.directory / "configs").exists()
