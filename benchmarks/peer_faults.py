"""``python -m benchmarks.peer_faults --peer-python ENV/bin/python``: the same faults, two systems.

Each row starts nameserver, workers and master as processes, does something to them in the middle of
the run, and waits for the end, or until nothing has been evaluated for a while.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil

ROLES = Path(__file__).with_name("peers")
JOBS, WORKERS, AFTER = 40, 4, 8
STILL_S = 30.0
LIMIT_S = 150.0


@dataclass
class Run:
    """The processes of one run, in a directory of their own."""

    command: list[str]
    directory: Path
    stack: ExitStack
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, role: str, name: str = "") -> None:
        name = name or role
        out = self.stack.enter_context((self.directory / f"{name}.out").open("wb"))
        process = subprocess.Popen(
            [*self.command, role, str(JOBS)],
            cwd=self.directory,
            env={**os.environ, "HOME": str(self.directory)},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        self.processes[name] = process
        self.stack.callback(_end, process)

    def send(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def log(self) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError):
            lines = (self.directory / "evaluations.log").read_text().splitlines(keepends=True)
            return [json.loads(line) for line in lines if line.endswith("\n")]
        return []

    def count(self, event: str) -> int:
        return sum(line["event"] == event for line in self.log())

    def wait_for(self, number: int) -> None:
        until = time.monotonic() + LIMIT_S
        while self.count("end") < number:
            if time.monotonic() > until:
                output = (self.directory / "master.out").read_text()[-2000:]
                raise RuntimeError(f"only {self.count('end')} evaluations ended:\n{output}")
            time.sleep(0.05)

    def ports(self) -> list[int]:
        """Where its processes listen."""
        pids = {process.pid for process in self.processes.values()}
        connections = psutil.net_connections("tcp4")
        return sorted({c.laddr.port for c in connections if c.status == "LISTEN" and c.pid in pids})


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# ------------------------------------------------------------------------- what is done


def nothing(run: Run) -> None:
    """No fault, for comparison."""


def kill_worker(run: Run) -> None:
    """SIGKILL a worker in the middle of an evaluation."""
    run.send("worker0", signal.SIGKILL)


def stop_worker(run: Run) -> None:
    """SIGSTOP a worker for good."""
    run.send("worker0", signal.SIGSTOP)


def kill_nameserver(run: Run) -> None:
    """SIGKILL the nameserver for good."""
    run.send("nameserver", signal.SIGKILL)


def kill_master(run: Run) -> None:
    """SIGKILL the master, and start another one."""
    run.send("master", signal.SIGKILL)
    run.processes["master"].wait()
    run.start("master")


def second_master(run: Run) -> None:
    """Start a second master of the same run."""
    run.start("master", "second")


def silent_clients(run: Run) -> None:
    """60 connections to each port that say nothing."""
    for port in run.ports():
        for _ in range(60):
            with suppress(OSError):
                client = socket.create_connection(("127.0.0.1", port), 2.0)
                run.stack.callback(client.close)


def misbehave(how: str) -> Callable[[Run], None]:
    def ask(run: Run) -> None:
        (run.directory / f"misdeed-{how}").touch()

    ask.__doc__ = {
        "exit": "os._exit(3) in an evaluation",
        "segfault": "A segmentation fault in an evaluation",
        "sys.exit": "sys.exit(3) in an evaluation",
        "none": "An evaluation returns None",
        "text": "An evaluation returns text as its loss",
        "nan": "An evaluation returns NaN",
    }[how] + "."
    return ask


FAULTS = (
    *(nothing, kill_worker, stop_worker, kill_nameserver, kill_master, second_master),
    silent_clients,
    *(misbehave(how) for how in ("exit", "segfault", "sys.exit", "none", "text", "nan")),
)


# ------------------------------------------------------------------------- the outcome


def observe(command: list[str], fault: Callable[[Run], None]) -> str:
    """Run it once, and return a line with the outcome."""
    with tempfile.TemporaryDirectory(prefix="peer-") as directory, ExitStack() as stack:
        run = Run(command, Path(directory), stack)
        run.start("nameserver")
        for number in range(WORKERS):
            run.start("worker", f"worker{number}")
        run.start("master")
        run.wait_for(AFTER)
        fault(run)
        started = time.monotonic()
        ended = _wait(run)
        return _outcome(run, ended, time.monotonic() - started)


def _wait(run: Run) -> bool:
    """Wait for the master's end; False if nothing has happened for too long."""
    seen, since = -1, time.monotonic()
    while run.processes["master"].poll() is None:
        if (now := run.count("start")) != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > STILL_S:
            return False
        time.sleep(0.1)
    return True


def _outcome(run: Run, ended: bool, seconds: float) -> str:
    again = run.count("start") - len({str(line["job"]) for line in run.log()})
    repeated = f", {again} evaluated again" if again else ""
    if not ended:
        return f"stands still after {run.count('end')} of {JOBS}, for {STILL_S:g} s{repeated}"
    file = run.directory / "results.json"
    if not file.exists():
        return f"the master died with exit code {run.processes['master'].returncode}"
    losses = [loss for loss in json.loads(file.read_text()) if loss is not None]
    failed = f", {JOBS - len(losses)} recorded as failed" if len(losses) < JOBS else ""
    return f"{len(losses)} of {JOBS} results{failed}{repeated}, {seconds:.0f} s after the fault"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    needs = "Python 3.8 with hpbandster==0.7.4 ConfigSpace<0.6 numpy<1.24"
    parser.add_argument("--peer-python", required=True, help=needs)
    parser.add_argument("--only", default="", help="rows with this in their name")
    arguments = parser.parse_args()
    systems = {
        "HpBandSter 0.7.4": [arguments.peer_python, str(ROLES / "hpbandster_role.py")],
        "hpdist": [sys.executable, str(ROLES / "hpdist_role.py")],
    }
    print(f"{date.today()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"{JOBS} evaluations of 0.3 s, {WORKERS} workers, the fault after {AFTER}")
    for fault in FAULTS:
        if arguments.only not in str(fault.__doc__):
            continue
        print(fault.__doc__)
        for name, command in systems.items():
            print(f"    {name:<17} {observe(command, fault)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
