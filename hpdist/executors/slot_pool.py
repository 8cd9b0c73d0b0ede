"""The slots of an executor that runs attempts in threads of this process."""

from __future__ import annotations

import os
import socket
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from hpdist.core.attempt.runner import Runner
from hpdist.core.dispatch.executor import Post
from hpdist.core.model.events import (
    Event,
)
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.model.values import WorkerInfo
from hpdist.executors.slot import Slot


class SlotPool:
    """Slots, and the directory that they share; None for a temporary one."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._slots: dict[str, Slot] = {}
        self._loop: Post | None = None

    def start(self, post: Post, seats: Sequence[tuple[WorkerInfo, Runner]]) -> None:
        """Begin to serve with a slot for each runner."""
        root = self._root
        if root is None:
            # one for all workers, since a trial goes on wherever there is room
            self._temporary = tempfile.TemporaryDirectory(prefix="hpdist-")
            root = Path(self._temporary.name)
        self._loop = post
        for info, runner in seats:
            self._slots[info.worker_id] = Slot(info, runner, self._post, root)

    def perform(self, orders: Sequence[Order]) -> None:
        """Hand ``orders`` to the slots; those for a worker that is gone are dropped."""
        for order in orders:
            slot = self._slots.get(order.worker_id)
            if slot is not None and slot.worker.incarnation == order.incarnation:
                slot.order(order)

    def close(self, grace_s: float) -> None:
        """End everything; takes up to a second even with ``grace_s=0``."""
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


def new_worker(worker_id: str, prefetch: int = 0, device: str = "") -> WorkerInfo:
    """Return what a slot of this process says of itself."""
    return WorkerInfo(
        worker_id,
        uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        prefetch=prefetch,
        device=device,
    )
