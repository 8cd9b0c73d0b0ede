"""Forks workers on command: ``spawner.py SETTINGS``, one JSON object a line in and out.

What a worker needs is imported once, so that a new one costs milliseconds. Nothing here opens a
socket or starts a thread before a fork. Signals go through here as well: a process is its
parent's until that has waited for it, so no signal can hit a stranger with a number used again.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import logging
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from hpdist import Worker

_PR_SET_PDEATHSIG = 1

#: Every other worker holds so many jobs ahead.
LONGEST_LINE = 2

settings = json.loads(sys.argv[1])
alive: set[int] = set()
born = itertools.count()


class RoundaboutWorker(Worker):
    """Calls the dispatcher through the proxy that stands before it, if there is one."""

    def _find_dispatcher(self) -> str:
        meant = super()._find_dispatcher()  # which raises when the run is over
        return settings["proxy"] or meant


def evaluate(config: dict[str, float], budget: float, ctx: Any) -> float:
    """Take a while, and return what the configuration and the seed of its trial decide."""
    what = {"trial": ctx.trial_id, "budget": budget, "attempt": ctx.attempt, "seed": ctx.seed}
    note(event="start", **what)
    time.sleep(settings["longest_job_s"] * config["x"])
    note(event="end", **what)
    return (config["x"] - 0.3) ** 2 + ctx.seed / 2**32


def note(**line: Any) -> None:
    """Write a line to this worker's own log, in one piece."""
    line |= {"at": time.time(), "worker": os.getpid()}
    path = Path("evaluations") / f"{os.getpid()}.log"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.close(file)


def tell(**line: Any) -> None:
    os.write(sys.stdout.fileno(), json.dumps({**line, "at": time.time()}).encode() + b"\n")


def obey(command: dict[str, Any]) -> None:
    if command["do"] == "fork":
        prefetch = LONGEST_LINE * (next(born) % 2)
        pid = os.fork()
        if pid == 0:
            be_worker(prefetch)
        alive.add(pid)
        tell(event="born", pid=pid)
    elif command["pid"] in alive:
        os.kill(command["pid"], command["signal"])
        tell(event="signalled", pid=command["pid"], signal=command["signal"])


def be_worker(prefetch: int) -> None:
    """Work until the run is over; never return."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        worker = RoundaboutWorker(settings["run"], isolation="none", prefetch=prefetch)
        worker.initialize(evaluate)
        worker.load_nameserver_credentials(".", interval=0.1)
        worker.run()
        code = 0
    except BaseException:  # the top of a process
        logging.exception("worker %d failed", os.getpid())
    finally:
        os._exit(code)


def bury() -> None:
    """Wait for those that have ended."""
    while alive:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        alive.discard(pid)
        tell(event="died", pid=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(message)s")
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that is for the driver
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    text = b""
    while True:
        readable = select.select([0, woken], [], [])[0]
        if woken in readable:
            os.read(woken, 4096)
            bury()
        if 0 in readable:
            data = os.read(0, 65_536)
            if not data:
                break
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                obey(json.loads(line))
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    while alive:
        alive.discard(os.wait()[0])


main()
