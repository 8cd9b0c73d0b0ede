"""Runs attempts one after another in the loop's own thread: for debugging and quick objectives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpdist.core.attempt.inline_runner import InlineRunner
from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.dispatch.executor import Post
from hpdist.core.model.events import WorkerJoined, WorkerLeft
from hpdist.core.model.orders import Launch, Order, ShutDown
from hpdist.core.objective.objective import Objective
from hpdist.executors.slot import run_launch
from hpdist.executors.slot_executor import new_worker


class SerialExecutor:
    """One worker with one slot, which runs an attempt while its order is executed.

    An attempt ends before the next order, so that there is never one to cancel.

    Parameters
    ----------
    root
        The run's directory; None for a temporary one.
    """

    keeps_running = False

    def __init__(self, objective: Objective, root: Path | None = None) -> None:
        self._runner = InlineRunner(objective)
        self._root = root
        self._worker = new_worker("serial")
        self._post: Post | None = None

    def start(self, post: Post) -> None:
        self._runner.start()
        self._post = post
        post([WorkerJoined(self._worker)])

    def perform(self, orders: Sequence[Order]) -> None:
        """Execute ``orders``; unlike with other executors this takes as long as the attempts."""
        for order in orders:
            if self._post is None:
                return
            if isinstance(order, Launch):
                self._post([run_launch(self._runner, order, self._post, self._root, StopSwitch())])
            elif isinstance(order, ShutDown):
                name = (order.worker_id, order.incarnation)
                self._post([WorkerLeft(*name, order.reason or "shut down")])

    def close(self, grace_s: float) -> None:
        self._post = None
        self._runner.close()
