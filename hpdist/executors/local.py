"""Runs attempts on this machine, each in a child process of its own."""

from __future__ import annotations

import os
import socket
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpdist.attempt import Runner
from hpdist.attempt_limits import check_attempt_limits, check_enforceable, check_isolation
from hpdist.checks import check_whole
from hpdist.child_runner import ChildRunner
from hpdist.events import (
    Event,
)
from hpdist.executors.base import Post
from hpdist.executors.slot import Slot
from hpdist.inline_runner import InlineRunner
from hpdist.model import WorkerInfo
from hpdist.objective import Objective
from hpdist.orders import (
    Order,
)


class LocalExecutor:
    """``workers`` workers of one slot each, in threads of this process.

    Parameters
    ----------
    root
        The run's directory; None for a temporary one.
    isolation
        "process" runs each worker's attempts in a child process, so that a crash costs one
        attempt and a limit can be enforced; "none" runs them in the worker's thread.
    job_timeout, memory_limit
        Seconds and bytes an attempt may take; with ``isolation="process"`` only.
    prefetch
        How many further attempts a worker holds, so that it need not wait for the next one.
    devices
        Worker *i* gets ``devices[i % len(devices)]``, see `hpdist.child_runner.ChildRunner`.

    Raises
    ------
    ConfigurationError
        If these do not fit together, or the objective cannot be sent to another process.
    """

    keeps_running = False

    def __init__(
        self,
        objective: Objective,
        workers: int = 1,
        *,
        root: Path | None = None,
        isolation: str = "process",
        job_timeout: float | None = None,
        memory_limit: int | None = None,
        prefetch: int = 0,
        devices: Sequence[str] = (),
    ) -> None:
        workers = check_whole("workers", workers, least=1)
        limits = check_attempt_limits(job_timeout, memory_limit)
        check_enforceable(check_isolation(isolation), limits)
        self._infos = [_worker(i, prefetch, devices) for i in range(workers)]
        self._runners: list[Runner] = [
            InlineRunner(objective, device=info.device)
            if isolation == "none"
            else self._with_process(objective, limits, info.device)
            for info in self._infos
        ]
        self._root = root
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._slots: dict[tuple[str, str], Slot] = {}
        self._loop: Post | None = None

    def _with_process(self, objective: Objective, limits: dict[str, Any], device: str) -> Runner:
        return ChildRunner(objective, **limits, device=device)

    def start(self, post: Post) -> None:
        root = self._root
        if root is None:
            # one for all workers, since a trial goes on wherever there is room
            self._temporary = tempfile.TemporaryDirectory(prefix="hpdist-")
            root = Path(self._temporary.name)
        self._loop = post
        for info, runner in zip(self._infos, self._runners, strict=True):
            name = (info.worker_id, info.incarnation)
            self._slots[name] = Slot(info, runner, self._post, root)

    def perform(self, orders: Sequence[Order]) -> None:
        for order in orders:
            slot = self._slots.get((order.worker_id, order.incarnation))
            if slot is not None:
                slot.order(order)

    def close(self, grace_s: float) -> None:
        """End everything; with ``isolation="none"`` an attempt that goes on is left to itself.

        Takes up to a second even with ``grace_s=0``, to see the end of what is killed.
        """
        deadline = time.monotonic() + max(grace_s, 1.0)
        for slot in self._slots.values():
            # half of the time for the objectives, the rest for what has to follow
            slot.end(grace_s / 2)
        for slot in self._slots.values():
            slot.join(max(0.0, deadline - time.monotonic()))
        self._loop = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _post(self, events: Sequence[Event]) -> None:
        loop = self._loop
        if loop is not None:
            loop(events)


def _worker(index: int, prefetch: int, devices: Sequence[str]) -> WorkerInfo:
    return WorkerInfo(
        worker_id=f"local-{index}",
        incarnation=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        prefetch=prefetch,
        device=devices[index % len(devices)] if devices else "",
    )
