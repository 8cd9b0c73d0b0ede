"""The code that runs in a process of Dask, Ray or MPI: attempts in child processes kept warm.

The process itself never loads the objective, so what kills an attempt costs its child only. Orders
and answers are JSON; it does not matter here what carries them.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptResult
from hpdist.core.model.payload import read_payload
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.objective.context import Report
from hpdist.executors.backends.packaging import PackagedObjective

Send = Callable[[dict[str, Any]], None]
"""Sends an event of an order to its executor; called in the thread of an agent's slot."""

Order = dict[str, Any]

#: Seconds after which a slot that is not used ends its child process.
IDLE_S = 60.0


class AgentSlot:
    """A thread with a runner: the kernel ends a child process with the thread that started it."""

    def __init__(self, packaged: PackagedObjective) -> None:
        self._packaged = packaged
        self._work: queue.SimpleQueue[Callable[[ChildRunner], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="hpdist-agent", daemon=True)
        self._thread.start()

    @property
    def gone(self) -> bool:
        """Whether the slot has ended after being idle."""
        return not self._thread.is_alive()

    def run(self, order: Order, switch: StopSwitch, on_report: Report) -> dict[str, Any]:
        """Execute an order in the slot's thread, and wait for its end."""
        answer: Future[dict[str, Any]] = Future()

        def work(runner: ChildRunner) -> None:
            try:
                answer.set_result(_run(runner, order, switch, on_report))
            except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
                answer.set_exception(error)

        self._work.put(work)
        return answer.result()

    def end(self) -> None:
        """End the child process, and wait for its end."""
        self._work.put(None)
        self._thread.join()

    def _serve(self) -> None:
        runner = ChildRunner(
            self._packaged,
            job_timeout=self._packaged.job_timeout,
            memory_limit=self._packaged.memory_limit,
        )
        try:
            while (work := self._work.get(timeout=IDLE_S)) is not None:
                work(runner)
        except queue.Empty:
            return
        finally:
            runner.close()


def _run(
    runner: ChildRunner, order: Order, switch: StopSwitch, on_report: Report
) -> dict[str, Any]:
    """Run the attempt of an order; an order without an attempt only loads the objective."""
    if order["assignment"] is None:
        try:
            runner.start(switch)
        except ConfigurationError as error:
            return {"error": [error.what, error.cause]}
        return {}
    root = Path(order["root"])
    job_id, attempt = order["assignment"]
    result = runner.run(
        read_payload(order["payload"]),
        (job_id, attempt),
        # a host without the run's disk keeps the files for as long as it keeps the slot
        directory_root=root if root.is_dir() else None,
        on_report=on_report,
        switch=switch,
    )
    return {} if result is None else {"result": _to_json(result)}


def _to_json(result: AttemptResult) -> dict[str, Any]:
    return {**vars(result), "outcome": outcome_to_json(result.outcome)}


class Agent:
    """The slots of this process, and the attempts that run in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[str, list[AgentSlot]] = {}
        self._switches: dict[str, StopSwitch] = {}

    def run(self, packaged: PackagedObjective, token: str, order: str, send: Send) -> str:
        """Execute an order and return its response; start and reports are sent as events."""
        switch = StopSwitch()
        reported = 0

        def report(step: int, loss: float) -> None:
            nonlocal reported
            reported += 1
            send({"report": [step, loss]})

        self._switches[token] = switch
        slot = self._take_slot(packaged)
        try:
            send({"started": {"host": socket.gethostname(), "pid": os.getpid()}})
            answer = slot.run(json.loads(order), switch, report)
        finally:
            del self._switches[token]
            with self._lock:
                self._idle.setdefault(packaged.key, []).append(slot)
        # the number of reports, since the response may arrive before the last report
        return json.dumps({**answer, "reports": reported})

    def end_early(self, token: str, grace_s: float | None) -> None:
        """Ask an attempt to stop, or cancel it if there is a grace; one that is over is left."""
        switch = self._switches.get(token)
        if switch is None:
            return
        if grace_s is None:
            switch.request_stop()
        else:
            switch.cancel(grace_s)

    def clear(self) -> None:
        """End the idle slots."""
        with self._lock:
            slots = [slot for each in self._idle.values() for slot in each]
            self._idle.clear()
        for slot in slots:
            slot.end()

    def _take_slot(self, packaged: PackagedObjective) -> AgentSlot:
        """Return an idle slot that has this objective loaded, or a new one."""
        with self._lock:
            idle = self._idle.setdefault(packaged.key, [])
            while idle:
                slot = idle.pop()
                if not slot.gone:
                    return slot
        return AgentSlot(packaged)


AGENT = Agent()
"""The agent of this process."""
