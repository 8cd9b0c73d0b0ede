"""A worker inside this process: a thread with a runner, which runs launched attempts in turn."""

from __future__ import annotations

import queue
import threading
import traceback
import uuid
from dataclasses import replace
from pathlib import Path

from hpdist.core.attempt.runner import Runner
from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.dispatch.executor import Post
from hpdist.core.model.errors import HpdistError
from hpdist.core.model.events import (
    Assignment,
    AttemptFinished,
    AttemptReleased,
    ExecutorFailed,
    ProgressReported,
    WorkerDied,
    WorkerJoined,
    WorkerLeft,
)
from hpdist.core.model.orders import (
    Cancel,
    Launch,
    Order,
    Recall,
    ShutDown,
    StopEarly,
)
from hpdist.core.model.values import WorkerInfo


class WorkerGone(Exception):
    """The process of a runner in another system has died, and its attempt is lost."""


class Slot:
    """One worker with one slot.

    ``order`` may be called from any thread; everything else happens in the slot's own thread,
    to which also its runner's child process is bound.
    """

    def __init__(self, worker: WorkerInfo, runner: Runner, post: Post, root: Path) -> None:
        self.worker = worker
        self._runner = runner
        self._post = post
        self._root = root
        self._launches: queue.SimpleQueue[Launch | None] = queue.SimpleQueue()
        self._switches: dict[Assignment, StopSwitch] = {}
        self._running: Assignment | None = None
        self._starting = StopSwitch()
        self._reason = ""  #: why the worker was shut down
        number = worker.worker_id.rpartition("-")[2]
        # a thread that hangs in user code must not prevent the program from ending
        self._thread = threading.Thread(
            target=self._serve, name=f"hpdist-slot-{number}", daemon=True
        )
        self._thread.start()

    def order(self, order: Order) -> None:
        """Execute an order, or pass it to the slot's thread; return at once."""
        if isinstance(order, Launch):
            self._switches[order.job_id, order.attempt] = StopSwitch()
            self._launches.put(order)
        elif isinstance(order, Cancel | Recall | StopEarly):
            self._end_early(order)
        elif isinstance(order, ShutDown):
            self._reason = order.reason or "shut down"
            if not order.drain:
                self._cancel_all()
            self._launches.put(None)

    def end(self, grace_s: float) -> None:
        """Release all attempts, by force after ``grace_s`` seconds, and let the thread end."""
        self._starting.cancel(grace_s)
        self._cancel_all(grace_s)
        self._launches.put(None)

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _end_early(self, order: Cancel | Recall | StopEarly) -> None:
        assignment = (order.job_id, order.attempt)
        switch = self._switches.get(assignment)
        if switch is None:
            return
        if isinstance(order, StopEarly):
            switch.request_stop()
        # A running attempt is not recalled; but where the recall comes just before its start is
        # noted, it is released all the same.
        elif isinstance(order, Cancel) or assignment != self._running:
            switch.cancel()

    def _cancel_all(self, *grace_s: float) -> None:
        for switch in list(self._switches.values()):
            switch.cancel(*grace_s)

    def _serve(self) -> None:
        try:
            try:
                self._join()
                while (launch := self._launches.get()) is not None:
                    self._run(launch)
            finally:
                self._runner.close()
            if self._reason:
                name = (self.worker.worker_id, self.worker.incarnation)
                self._post([WorkerLeft(*name, self._reason)])
        except HpdistError as error:
            self._post([ExecutorFailed(str(error))])
        except BaseException as error:  # noqa: BLE001 - the top of a thread
            self._post([ExecutorFailed(repr(error), traceback.format_exc())])

    def _join(self) -> None:
        """Make the runner ready, and announce the worker."""
        self._runner.start(self._starting)
        if not self._starting.cancelled:
            self._post([WorkerJoined(self.worker)])

    def _run(self, launch: Launch) -> None:
        if launch.incarnation != self.worker.incarnation:
            return  # it was assigned to a worker that died, and lost with it
        self._running = assignment = (launch.job_id, launch.attempt)
        try:
            end = run_launch(
                self._runner, launch, self._post, self._root, self._switches[assignment]
            )
        except WorkerGone as gone:
            self._replace_worker(str(gone))
            return
        self._running = None
        # before the end is posted, since the same attempt may then be launched again
        del self._switches[assignment]
        self._post([end])

    def _replace_worker(self, reason: str) -> None:
        """Announce the death of the worker, and a new worker that replaces it."""
        dead = self.worker
        self._running = None
        self._switches.clear()
        self.worker = replace(dead, incarnation=uuid.uuid4().hex)
        self._post([WorkerDied(dead.worker_id, dead.incarnation, reason)])
        if not self._starting.cancelled:
            self._join()


def run_launch(
    runner: Runner, launch: Launch, post: Post, root: Path | None, switch: StopSwitch
) -> AttemptFinished | AttemptReleased:
    """Run a launched attempt, posting its reports; return the event of its end."""
    assert launch.payload is not None, "the loop fills the payload"
    assignment = (launch.job_id, launch.attempt)
    name = (launch.worker_id, launch.incarnation)
    result = None
    if not switch.cancelled:
        result = runner.run(
            launch.payload,
            assignment,
            directory_root=root,
            on_report=lambda step, loss: post([ProgressReported(*name, *assignment, step, loss)]),
            switch=switch,
        )
    if result is None:
        return AttemptReleased(*name, *assignment, "cancelled")
    return AttemptFinished(*name, result)
