"""Parts of rows in which the machine, the network or an answer is odd."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from call_faults import Plan
from call_proxy import CallProxy
from stage import RUN, TIMING, Actor, Line, Stage

from hpdist.cluster.transport.address import split_address
from hpdist.core.journal.run_key import find_key

#: Options of workers that call by way of the proxy.
THROUGH = {"proxy": "proxy-address"}


def odd_master(stage: Stage, jobs: int = 0, **options: Any) -> Actor:
    """Start a master as `Stage.master` does, with the options of ``odd_master.py``."""
    stage.jobs = jobs or stage.jobs
    stage.plan = [[0, 0, stage.jobs, 1.0]]
    timing = {**TIMING, **options.pop("timing", {})}
    options = {"nameserver": True, "wait": True, "jobs": stage.jobs, "timing": timing, **options}
    return stage.start("odd_master", json.dumps(options))


def odd_worker(stage: Stage, label: str = "", **options: Any) -> Actor:
    """Start a worker as `Stage.worker` does, with the options of ``odd_worker.py``."""
    label = label or f"w{len(stage.actors)}"
    actor = stage.start("odd_worker", json.dumps({"label": label, "isolation": "none", **options}))
    actor.label = label
    return actor


@contextmanager
def proxied(stage: Stage, *plans: Plan, key: bytes = b"") -> Iterator[CallProxy]:
    """A proxy to the dispatcher of the run, for workers that are started with `THROUGH`."""
    with CallProxy(lambda: split_address(stage.address()), *plans, key=key) as proxy:
        draft = stage.file("proxy.new")
        draft.write_text(proxy.address)
        draft.rename(stage.file(THROUGH["proxy"]))
        yield proxy


def key_of(stage: Stage) -> bytes:
    """The key of the run, once there is a dispatcher."""
    stage.address()
    return find_key(RUN, stage.directory / RUN, create=False)


def lost(stage: Stage, worker: Actor) -> list[Line]:
    """Records by which this worker was given up."""
    return [
        record
        for record in stage.journal("worker")
        if record["state"] == "lost" and worker.label in record["worker"]["worker_id"]
    ]


# ------------------------------------------------------------------ a network that can be cut


class Network(Protocol):
    """Two machines: the run's, and one far away, whose processes reach it over a line."""

    near: dict[str, Any]  #: options of scripts that run here
    far: dict[str, Any]

    def cut(self, way: str) -> None:
        """Lose silently what goes "to the master", "to the worker", or "both" ways."""
        ...

    def heal(self) -> None: ...


NEAR, FAR = "10.203.78.1", "10.203.79.1"


@contextmanager
def network(stage: Stage) -> Iterator[Network]:
    """Two machines as network namespaces; where these cannot be made, a proxy between them."""
    try:
        namespaces = Namespaces()
    except OSError:
        with proxied(stage) as proxy:
            yield Throttle(proxy)
        return
    try:
        yield namespaces
    finally:
        namespaces.close()


class Namespaces:
    """Network namespaces with a router between them; needs root."""

    def __init__(self) -> None:
        name = uuid.uuid4().hex[:8]
        self.router = f"hp-r-{name}"
        self.hosts = {f"hp-a-{name}": NEAR, f"hp-b-{name}": FAR}
        here, there = self.hosts
        self.near, self.far = {"netns": here, "host": NEAR}, {"netns": there}
        try:
            _run("ip", "netns", "add", self.router)
            for host, address in self.hosts.items():
                self._connect(host, address)
            self._forward(True)
        except BaseException:
            self.close()
            raise

    def _connect(self, host: str, address: str) -> None:
        hop, nic = address[:-1] + "2", f"v{host[3]}{host[-8:]}"
        _run("ip", "netns", "add", host)
        peer = ("type", "veth", "peer", "name", "up0", "netns", host)
        _run("ip", "-n", self.router, "link", "add", nic, *peer)
        for netns, link, own in ((self.router, nic, hop), (host, "up0", address)):
            _run("ip", "-n", netns, "address", "add", f"{own}/30", "dev", link)
            _run("ip", "-n", netns, "link", "set", link, "up")
            _run("ip", "-n", netns, "link", "set", "lo", "up")
        _run("ip", "-n", host, "route", "add", "default", "via", hop)

    def _forward(self, on: bool) -> None:
        setting = f"net.ipv4.ip_forward={int(on)}"
        _run("ip", "netns", "exec", self.router, "sysctl", "-q", "-w", setting)

    def cut(self, way: str) -> None:
        if way == "both":
            self._forward(False)
        else:
            self._hole("add", NEAR if way == "to the master" else FAR)

    def heal(self) -> None:
        self._forward(True)
        for address in (NEAR, FAR):
            self._hole("del", address, check=False)

    def _hole(self, verb: str, address: str, *, check: bool = True) -> None:
        _run("ip", "-n", self.router, "route", verb, "blackhole", f"{address}/32", check=check)

    def close(self) -> None:
        for name in (*self.hosts, self.router):  # the interfaces go with them
            _run("ip", "netns", "del", name, check=False)


class Throttle:
    """The proxy as a line that can be cut, where there is no right to make namespaces."""

    def __init__(self, proxy: CallProxy) -> None:
        self._proxy = proxy
        self.near: dict[str, Any] = {}
        self.far: dict[str, Any] = THROUGH

    def cut(self, way: str) -> None:
        self._proxy.partition(requests=way != "to the worker", replies=way != "to the master")

    def heal(self) -> None:
        self._proxy.heal()


def _run(*command: str, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
