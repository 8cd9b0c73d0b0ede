"""What runs in a process of Dask, Ray or MPI: attempts, each in a child process kept warm there.

The process itself never loads the objective, so what kills an attempt costs its child only. Orders
and answers are JSON; who carries them does not matter here.
"""

from __future__ import annotations

import itertools
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
from hpdist.executors.backends.packaging import Shipment

Send = Callable[[dict[str, Any]], None]
"""Tells the executor something; from the thread of a seat."""

Order = dict[str, Any]

#: Seconds after which a seat that nobody used gives its child up.
IDLE_S = 60.0


class Seat:
    """A thread with a runner of its own: the kernel ends a child with the thread that began it."""

    def __init__(self, shipment: Shipment) -> None:
        self._shipment = shipment
        self._work: queue.SimpleQueue[Callable[[ChildRunner], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="hpdist-seat", daemon=True)
        self._thread.start()

    @property
    def gone(self) -> bool:
        """Whether nobody used it for so long that it ended."""
        return not self._thread.is_alive()

    def run(self, order: Order, switch: StopSwitch, on_report: Report) -> dict[str, Any]:
        """Carry out an order in the seat's thread, and wait for that."""
        answer: Future[dict[str, Any]] = Future()

        def work(runner: ChildRunner) -> None:
            try:
                answer.set_result(_run(runner, order, switch, on_report))
            except BaseException as error:  # noqa: BLE001 - who waits for the answer raises it
                answer.set_exception(error)

        self._work.put(work)
        return answer.result()

    def end(self) -> None:
        """Give the child up, and wait for that."""
        self._work.put(None)
        self._thread.join()

    def _serve(self) -> None:
        limits = {
            "job_timeout": self._shipment.job_timeout,
            "memory_limit": self._shipment.memory_limit,
        }
        runner = ChildRunner(self._shipment, **limits)  # type: ignore[arg-type]
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
    """Run the attempt that ``order`` holds; without one, only load the objective."""
    if order["held"] is None:
        try:
            runner.start(switch)
        except ConfigurationError as error:
            return {"refused": [error.what, error.cause]}
        return {}
    root = Path(order["root"])
    job_id, attempt = order["held"]
    result = runner.run(
        read_payload(order["payload"]),
        (job_id, attempt),
        # a host without the run's disk keeps files for as long as it keeps the seat
        directory_root=root if root.is_dir() else None,
        on_report=on_report,
        switch=switch,
    )
    return {} if result is None else {"result": _plain(result)}


def _plain(result: AttemptResult) -> dict[str, Any]:
    return {**vars(result), "outcome": outcome_to_json(result.outcome)}


class FarSide:
    """The seats of this process, and the attempts that run in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[str, list[Seat]] = {}
        self._switches: dict[str, StopSwitch] = {}

    def run(self, shipment: Shipment, token: str, order: str, send: Send) -> str:
        """Carry out an order and return what came of it, telling its begin and its reports."""
        switch, numbers = StopSwitch(), itertools.count(1)
        reported = 0

        def report(step: int, loss: float) -> None:
            nonlocal reported
            reported = next(numbers)
            send({"report": [step, loss]})

        self._switches[token] = switch
        seat = self._take(shipment)
        try:
            send({"begun": {"host": socket.gethostname(), "pid": os.getpid()}})
            answer = seat.run(json.loads(order), switch, report)
        finally:
            del self._switches[token]
            with self._lock:
                self._idle.setdefault(shipment.key, []).append(seat)
        return json.dumps({**answer, "reports": reported})

    def tell(self, token: str, grace_s: float | None) -> None:
        """Ask an attempt to stop, or with ``grace_s`` cancel it; one that is over is left be."""
        switch = self._switches.get(token)
        if switch is None:
            return
        if grace_s is None:
            switch.request_stop()
        else:
            switch.cancel(grace_s)

    def clear(self) -> None:
        """End the seats that nobody uses."""
        with self._lock:
            seats = [seat for each in self._idle.values() for seat in each]
            self._idle.clear()
        for seat in seats:
            seat.end()

    def _take(self, shipment: Shipment) -> Seat:
        with self._lock:
            seats = self._idle.setdefault(shipment.key, [])
            while seats:
                seat = seats.pop()
                if not seat.gone:
                    return seat
        return Seat(shipment)


HERE = FarSide()
"""That of this process."""
