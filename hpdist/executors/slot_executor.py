"""Base of executors whose workers are slots: threads of this process with a runner each."""

from __future__ import annotations

import os
import socket
import tempfile
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from hpdist.core.attempt.runner import Runner
from hpdist.core.dispatch.executor import Post
from hpdist.core.model.events import Event
from hpdist.core.model.orders import Order
from hpdist.core.model.values import WorkerInfo
from hpdist.executors.slot import Slot


class SlotExecutor:
    """Slots, and the directory that they share.

    Parameters
    ----------
    root
        The run's directory; None for a temporary one.
    """

    keeps_running = False

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._slots: dict[str, Slot] = {}
        self._post_to_loop: Post | None = None

    def _start_slots(self, post: Post, workers: Iterable[tuple[WorkerInfo, Runner]]) -> None:
        """Start a slot for each worker, which runs its attempts with its runner."""
        root = self._root
        if root is None:
            # one for all workers, since a trial continues on any of them
            self._temporary = tempfile.TemporaryDirectory(prefix="hpdist-")
            root = Path(self._temporary.name)
        self._post_to_loop = post
        for info, runner in workers:
            self._slots[info.worker_id] = Slot(info, runner, self._post, root)

    def perform(self, orders: Sequence[Order]) -> None:
        """Pass ``orders`` to the slots; orders for a worker that has left are dropped."""
        for order in orders:
            slot = self._slots.get(order.worker_id)
            if slot is not None and slot.worker.incarnation == order.incarnation:
                slot.order(order)

    def close(self, grace_s: float) -> None:
        """End all slots; an attempt that continues in a thread is abandoned.

        Takes up to a second even with ``grace_s=0``, to wait for killed processes.
        """
        deadline = time.monotonic() + max(grace_s, 1.0)
        for slot in self._slots.values():
            # half of the time for the objectives, the rest to end their slots
            slot.end(grace_s / 2)
        for slot in self._slots.values():
            slot.join(max(0.0, deadline - time.monotonic()))
        self._post_to_loop = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _post(self, events: Sequence[Event]) -> None:
        post = self._post_to_loop
        if post is not None:
            post(events)


def new_worker(worker_id: str, prefetch: int = 0, device: str = "") -> WorkerInfo:
    """Return the description of a worker of this process."""
    return WorkerInfo(
        worker_id,
        uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        prefetch=prefetch,
        device=device,
    )
