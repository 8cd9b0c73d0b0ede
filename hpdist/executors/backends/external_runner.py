"""Runs attempts in another system: the client side of `hpdist.executors.backends.agent`."""

from __future__ import annotations

import json
import math
import queue
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.errors import ConfigurationError, ProtocolMismatch
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.field_codec import from_json
from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Report
from hpdist.core.remote.messages import ReportedResult
from hpdist.executors.slot import WorkerGone

OnEvent = Callable[[dict[str, Any]], None]
"""Takes an event of an order, sent by the agent; from any thread, and never blocks."""

#: Seconds beyond its own grace that an agent has to answer a cancellation.
ANSWER_S = 10.0

#: Seconds in which the last reports may arrive after the result.
LAST_REPORTS_S = 2.0


class BackendSlot(Protocol):
    """Capacity for one attempt in another system."""

    def open(self) -> None:
        """Occupy the slot, again if it was lost."""
        ...

    def submit(self, token: str, order: str, on_event: OnEvent) -> Future[str]:
        """Send an order to an agent; an exception of the future means that the agent is lost."""
        ...

    def end_early(self, token: str, location: Mapping[str, Any], grace_s: float | None) -> None:
        """Ask the agent at a location to end an attempt, see `agent.Agent.end_early`."""
        ...

    def forget(self, token: str) -> None:
        """Stop passing on events of an order."""
        ...

    def close(self) -> None:
        """Release the slot."""
        ...


class ExternalRunner:
    """Runs attempts in a `BackendSlot`, one at a time.

    Raises `hpdist.executors.slot.WorkerGone` when the agent's process has died: the attempt is
    lost, it has not failed.
    """

    def __init__(self, slot: BackendSlot) -> None:
        self._slot = slot

    def start(self, switch: StopSwitch | None = None) -> None:
        self._slot.open()
        answer = _Order(self._slot, {"assignment": None}, switch or StopSwitch(), None).run()
        if "error" in answer:
            what, cause = answer["error"]
            raise ConfigurationError(what, cause=cause)

    def run(
        self,
        payload: Payload,
        assignment: Assignment,
        *,
        directory_root: Path | None = None,
        on_report: Report | None = None,
        switch: StopSwitch | None = None,
    ) -> AttemptResult | None:
        order = {
            "payload": payload.to_json(),
            "assignment": list(assignment),
            "root": "" if directory_root is None else str(directory_root.absolute()),
        }
        answer = _Order(self._slot, order, switch or StopSwitch(), on_report).run()
        return _result(answer["result"], assignment) if "result" in answer else None

    def close(self) -> None:
        self._slot.close()


class _Order:
    """An order on its way: waits for its events, and passes on what the switch asks for."""

    def __init__(
        self, slot: BackendSlot, order: dict[str, Any], switch: StopSwitch, on_report: Report | None
    ) -> None:
        self._slot = slot
        self._switch = switch
        self._on_report = on_report
        self._order = json.dumps(order)
        self._token = uuid.uuid4().hex
        #: of the agent; an empty one only ends the waiting
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._location: dict[str, Any] | None = None  #: where the order runs, once it has started
        self._reports = 0
        self._stop_sent = False
        self._deadline_sent = math.inf

    def run(self) -> dict[str, Any]:
        """Return the answer; {} if the order was cancelled."""
        if self._switch.cancelled:
            return {}
        future = self._slot.submit(self._token, self._order, self._events.put)
        future.add_done_callback(lambda _: self._events.put({}))
        self._switch.listen(lambda: self._events.put({}))
        try:
            while not future.done():
                self._step(future)
            if future.cancelled():
                return {}
            answer = _answer(future)
            self._wait_for_reports(int(answer.get("reports", 0)))
        finally:
            self._switch.listen(None)
            self._slot.forget(self._token)
        # A result that arrives after the cancellation is no longer wanted.
        return {} if self._switch.cancelled else answer

    def _step(self, future: Future[str]) -> None:
        left = None
        if self._switch.cancelled:
            left = self._switch.deadline + ANSWER_S - time.monotonic()
            if self._give_up(future, overdue=left <= 0):
                return
        self._pass_on()
        with suppress(queue.Empty):
            self._take(self._events.get(timeout=left))

    def _give_up(self, future: Future[str], *, overdue: bool) -> bool:
        """Withdraw a cancelled order that has not started, or whose agent does not answer.

        Once an order has started, the agent ends the attempt, and this waits for its answer. An
        agent that stays silent beyond the grace counts as dead.
        """
        if self._location is None and future.cancel():
            return True
        if overdue and not future.cancel():
            raise WorkerGone("it did not answer when its attempt was cancelled")
        return overdue

    def _pass_on(self) -> None:
        """Send the agent what the switch asks for, once it is known where the order runs."""
        if self._location is None:
            return
        if self._switch.deadline < self._deadline_sent:
            self._deadline_sent = self._switch.deadline
            # clocks differ between hosts, so the time that is left is sent, not the deadline
            grace_s = max(0.0, self._switch.deadline - time.monotonic())
            self._slot.end_early(self._token, self._location, grace_s)
        elif self._switch.stop_requested and not self._stop_sent:
            self._stop_sent = True
            self._slot.end_early(self._token, self._location, None)

    def _take(self, event: dict[str, Any]) -> None:
        if "started" in event:
            if self._location is not None:
                # Dask and Ray repeat by themselves what a dead process ran. Such a second start
                # would be an attempt that the journal does not have, so the first counts as lost.
                raise WorkerGone("its process died during the attempt")
            self._location = event["started"]
        elif "report" in event:
            self._reports += 1
            if self._on_report is not None:
                self._on_report(*event["report"])

    def _wait_for_reports(self, count: int) -> None:
        """Take the reports that come after the answer, which travels another way than they do."""
        until = time.monotonic() + LAST_REPORTS_S
        with suppress(queue.Empty):
            while self._reports < count:
                self._take(self._events.get(timeout=max(0.0, until - time.monotonic())))


def _answer(future: Future[str]) -> dict[str, Any]:
    error = future.exception()
    if error is not None:
        raise WorkerGone(f"{type(error).__name__}: {error}".splitlines()[0][:500])
    answer = json.loads(future.result())
    if not isinstance(answer, dict):
        raise WorkerGone("its answer cannot be read")
    return answer


def _result(plain: Any, assignment: Assignment) -> AttemptResult:
    """Read a result field by field, as that of any worker."""
    try:
        result = from_json(ReportedResult, plain, "result").result
    except ProtocolMismatch as error:
        raise WorkerGone(f"its result cannot be read: {error.what}") from error
    if (result.job_id, result.attempt) != assignment:
        raise WorkerGone(f"it answered for job {result.job_id}, not for {assignment[0]}")
    return result
