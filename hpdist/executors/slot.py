"""A worker inside this process: a thread with a runner, doing its launches in turn."""

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
    """A runner's process in another system has died, and with it what it ran."""


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
        self._begun: Assignment | None = None
        self._starting = StopSwitch()
        self._leaving = ""
        number = worker.worker_id.rpartition("-")[2]
        # a thread that hangs in the user's code must not keep the program from ending
        self._thread = threading.Thread(
            target=self._serve, name=f"hpdist-slot-{number}", daemon=True
        )
        self._thread.start()

    def order(self, order: Order) -> None:
        """Carry out an order, or see that it is; returns at once."""
        if isinstance(order, Launch):
            self._switches[order.job_id, order.attempt] = StopSwitch()
            self._launches.put(order)
        elif isinstance(order, Cancel | Recall):
            held = (order.job_id, order.attempt)
            switch = self._switches.get(held)
            # a recall that comes while the attempt begins hands it back all the same
            if switch is not None and (isinstance(order, Cancel) or held != self._begun):
                switch.cancel()
        elif isinstance(order, StopEarly):
            switch = self._switches.get((order.job_id, order.attempt))
            if switch is not None:
                switch.request_stop()
        elif isinstance(order, ShutDown):
            self._leaving = order.reason or "dismissed"
            if not order.drain:
                self._cancel_all()
            self._launches.put(None)

    def end(self, grace_s: float) -> None:
        """Hand back everything, by force after ``grace_s`` seconds, and let the thread end."""
        self._starting.cancel(grace_s)
        self._cancel_all(grace_s)
        self._launches.put(None)

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _cancel_all(self, *grace_s: float) -> None:
        for switch in list(self._switches.values()):
            switch.cancel(*grace_s)

    def _serve(self) -> None:
        try:
            try:
                self._join()
                while (launch := self._launches.get()) is not None:
                    self._attend(launch)
            finally:
                self._runner.close()
            if self._leaving:
                self._post([WorkerLeft(*self._name, self._leaving)])
        except HpdistError as error:
            self._post([ExecutorFailed(str(error))])
        except BaseException as error:  # noqa: BLE001 - the top of a thread
            self._post([ExecutorFailed(repr(error), traceback.format_exc())])

    def _join(self) -> None:
        """Have the runner made ready, and say that there is room."""
        self._runner.start(self._starting)
        if not self._starting.cancelled:
            self._post([WorkerJoined(self.worker)])

    def _attend(self, launch: Launch) -> None:
        """Run a launch; a worker that is lost meanwhile is followed by another one."""
        if launch.incarnation != self.worker.incarnation:
            return  # it was handed to the one before, and given up with it
        try:
            self._run(launch)
        except WorkerGone as gone:
            name, self._begun = self._name, None
            self._switches.clear()
            self.worker = replace(self.worker, incarnation=uuid.uuid4().hex)
            self._post([WorkerDied(*name, str(gone))])
            if not self._starting.cancelled:
                self._join()

    @property
    def _name(self) -> tuple[str, str]:
        return self.worker.worker_id, self.worker.incarnation

    def _run(self, launch: Launch) -> None:
        assert launch.payload is not None, "the loop fills the payload"
        held = (launch.job_id, launch.attempt)
        switch = self._switches[held]
        result = None
        self._begun = held
        if not switch.cancelled:
            result = self._runner.run(
                launch.payload,
                held,
                directory_root=self._root,
                on_report=lambda step, loss: self._post(
                    [ProgressReported(*self._name, *held, step, loss)]
                ),
                switch=switch,
            )
        self._begun = None
        del self._switches[held]
        if result is None:
            self._post([AttemptReleased(*self._name, *held, "cancelled")])
        else:
            self._post([AttemptFinished(*self._name, result)])
