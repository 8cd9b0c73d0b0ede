"""Runs attempts in another system: the near side of `hpdist.executors.backends.agent`."""

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
from hpdist.core.model.events import Assignment, AttemptFinished, AttemptResult
from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Report
from hpdist.core.remote.messages import read_results
from hpdist.executors.slot import WorkerGone

News = Callable[[dict[str, Any]], None]
"""Takes what the far side tells of an attempt; from any thread, and never blocks."""

#: Seconds beyond its own that a far side has to answer a cancellation.
ANSWER_S = 10.0

#: Seconds in which the last reports may come in after the result.
LAST_REPORTS_S = 2.0


class FarPost(Protocol):
    """One place in another system at which an attempt can run."""

    def open(self) -> None:
        """Have the place, made anew if it was lost."""
        ...

    def begin(self, token: str, order: str, on_news: News) -> Future[str]:
        """Have an order carried out; the future's exception says that its process is gone."""
        ...

    def tell(self, token: str, where: Mapping[str, Any], grace_s: float | None) -> None:
        """Pass on a wish, see `hpdist.executors.backends.agent.FarSide.tell`."""
        ...

    def end(self, token: str) -> None:
        """Listen no more for news of an order."""
        ...

    def close(self) -> None:
        """Give the place back."""
        ...


class FarRunner:
    """Runs attempts at a `FarPost`, one at a time.

    Raises `hpdist.executors.slot.WorkerGone` when the process there has died: an attempt that was
    lost, not one that failed.
    """

    def __init__(self, post: FarPost) -> None:
        self._post = post

    def start(self, switch: StopSwitch | None = None) -> None:
        self._post.open()
        answer = _Order(self._post, {"held": None}, switch or StopSwitch(), None).run()
        if "refused" in answer:
            what, cause = answer["refused"]
            raise ConfigurationError(what, cause=cause)

    def run(
        self,
        payload: Payload,
        held: Assignment,
        *,
        directory_root: Path | None = None,
        on_report: Report | None = None,
        switch: StopSwitch | None = None,
    ) -> AttemptResult | None:
        order = {
            "payload": payload.to_json(),
            "held": list(held),
            "root": "" if directory_root is None else str(directory_root.absolute()),
        }
        answer = _Order(self._post, order, switch or StopSwitch(), on_report).run()
        return _result(answer["result"], held) if "result" in answer else None

    def close(self) -> None:
        self._post.close()


class _Order:
    """An order under way: waits for news of it, and passes on what this side wishes."""

    def __init__(
        self, post: FarPost, order: dict[str, Any], switch: StopSwitch, on_report: Report | None
    ) -> None:
        self._post, self._switch, self._on_report = post, switch, on_report
        self._order = json.dumps(order)
        self._token = uuid.uuid4().hex
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._where: dict[str, Any] | None = None
        self._reports = 0
        self._asked_to_stop = False
        self._told_deadline = math.inf

    def run(self) -> dict[str, Any]:
        """Return the answer; {} if the order was cancelled."""
        if self._switch.cancelled:
            return {}
        future = self._post.begin(self._token, self._order, self._news.put)
        future.add_done_callback(lambda _: self._news.put({}))
        self._switch.listen(lambda: self._news.put({}))
        try:
            while not future.done():
                self._step(future)
            if future.cancelled():
                return {}
            answer = _answer(future)
            self._wait_for_reports(int(answer.get("reports", 0)))
        finally:
            self._switch.listen(None)
            self._post.end(self._token)
        return {} if self._switch.cancelled else answer

    def _step(self, future: Future[str]) -> None:
        left = None
        if self._switch.cancelled:
            left = self._switch.deadline + ANSWER_S - time.monotonic()
            if left <= 0 or (self._where is None and future.cancel()):
                if not future.cancel() and self._where is not None:
                    raise WorkerGone("it did not answer when its attempt was cancelled")
                return
        self._pass_on()
        with suppress(queue.Empty):
            self._take(self._news.get(timeout=left))

    def _pass_on(self) -> None:
        """Tell the far side, once it has begun, what is wished here."""
        if self._where is None:
            return
        if self._switch.deadline < self._told_deadline:
            self._told_deadline = self._switch.deadline
            grace_s = max(0.0, self._switch.deadline - time.monotonic())
            self._post.tell(self._token, self._where, grace_s)
        elif self._switch.stop_requested and not self._asked_to_stop:
            self._asked_to_stop = True
            self._post.tell(self._token, self._where, None)

    def _take(self, news: dict[str, Any]) -> None:
        if "begun" in news:
            if self._where is not None:
                # a system that repeats work by itself: here it would run twice unseen
                raise WorkerGone("its process died during the attempt")
            self._where = news["begun"]
        elif "report" in news:
            self._reports += 1
            if self._on_report is not None:
                self._on_report(*news["report"])

    def _wait_for_reports(self, count: int) -> None:
        until = time.monotonic() + LAST_REPORTS_S
        with suppress(queue.Empty):
            while self._reports < count:
                self._take(self._news.get(timeout=max(0.0, until - time.monotonic())))


def _answer(future: Future[str]) -> dict[str, Any]:
    error = future.exception()
    if error is not None:
        raise WorkerGone(f"{type(error).__name__}: {error}".splitlines()[0][:500])
    answer = json.loads(future.result())
    if not isinstance(answer, dict):
        raise WorkerGone("it answered what nobody can read")
    return answer


def _result(plain: Any, held: Assignment) -> AttemptResult:
    """Read a result field by field, as that of any worker."""
    try:
        (event,) = read_results([plain], "far", "0" * 32)
    except ProtocolMismatch as error:
        raise WorkerGone(f"its result cannot be read: {error.what}") from error
    assert isinstance(event, AttemptFinished)
    result = event.result
    if (result.job_id, result.attempt) != held:
        raise WorkerGone(f"it answered for job {result.job_id}, not for {held[0]}")
    return result
