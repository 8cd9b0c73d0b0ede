"""Workers' sessions against the production loop, in one process and without a network."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpdist.core.attempt.inline_runner import InlineRunner
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.journal.memory_journal import MemoryJournal
from hpdist.core.model.errors import (
    AuthenticationError,
    ProtocolMismatch,
    TransportError,
    UnauthenticatedPeer,
)
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    ControlRequested,
    Record,
)
from hpdist.core.model.json_codec import decode, encode
from hpdist.core.model.limits_and_timing import Limits, Timing
from hpdist.core.model.orders import (
    Cancel,
)
from hpdist.core.model.values import WorkerInfo
from hpdist.core.objective.objective import objective_of
from hpdist.core.remote.channel import Timeouts
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.session import Session
from hpdist.core.run.inbox import QueueInbox
from hpdist.core.run.loop import Loop
from hpdist.core.study.study import Study

TIMING = Timing(lease_s=2.0, heartbeat_s=0.2, closed_s=0.5, poll_s=1.0)
SPACE = {"x": (0.0, 1.0)}
LIMIT_S = 60.0


class Exchange:
    """Stands where the network is; ``executor`` is whichever master lives now."""

    def __init__(self, outbox: Path) -> None:
        self.executor: RemoteExecutor | None = None
        self.outbox = outbox
        self.faults = iter(())
        self.timeout_s = 0.0
        self.on_reply: Callable[[dict[str, Any], dict[str, Any]], object] = lambda sent, reply: None

    def open(self) -> Exchange:
        return self

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.executor is None:
            raise TransportError("nobody there")
        fault = next(self.faults, "")
        if fault == "request lost":
            raise TransportError("lost on the way there")
        sent = decode(encode({"v": 1, "run": "r", **message}))
        reply = decode(encode(self.executor.exchange(sent)))
        self.on_reply(sent, reply)
        if fault == "reply lost":
            raise TransportError("lost on the way back")
        if reply["kind"] == "refused":
            raise ProtocolMismatch(reply["message"])
        return reply

    def close(self) -> None:
        """Nothing to hang up."""


class MasterThread:
    """A loop in a thread of its own."""

    def __init__(self, exchange: Exchange, study: Study, records: list[Record], epoch: int = 1):
        self.journal, self.inbox, self.study = MemoryJournal(), QueueInbox(), study
        dispatch = DispatchState(timing=TIMING)
        for record in records:
            study.apply(record)
            dispatch.apply(record)
        self.before = records
        self.executor = exchange.executor = RemoteExecutor(TIMING, epoch, "r")
        self.loop = Loop(study, dispatch, self.journal, self.executor, self.inbox)
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    @property
    def records(self) -> list[Record]:
        return [*self.before, *(record for _, record in list(self.journal.records))]

    def stop(self) -> None:
        self.inbox.post([ControlRequested("stop", {"dismiss": True})])
        self.thread.join(LIMIT_S)

    def join(self) -> None:
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive(), "the master did not end"


class WorkerThread:
    def __init__(self, exchange: Exchange, name: str, objective: Any, **info: Any) -> None:
        runner = InlineRunner(objective_of(objective))
        worker = WorkerInfo(name, uuid.uuid4().hex, **info)
        timeouts = Timeouts(first_pause_s=0.01, longest_pause_s=0.05)
        outbox = Outbox(exchange.outbox, name, worker.incarnation)
        self.session = Session(worker, "r", runner, exchange.open, outbox, timeouts=timeouts)
        self.reason: str | None = None
        self.error: TransportError | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.reason = self.session.run()
        except TransportError as error:
            self.error = error
        finally:
            self.session.runner.close()

    def join(self) -> None:
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive(), "the worker did not leave"


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path / "outbox")


def study(n: int) -> Study:
    return Study(SPACE, limits=Limits(n_iterations=n))


def done(records: list[Record]) -> Counter[int]:
    return Counter(r.job_id for r in records if isinstance(r, AttemptEnded) and r.final)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_workers_finish_a_run_and_leave(exchange: Exchange, prefetch: int) -> None:
    master = MasterThread(exchange, study(60), [])
    workers = [
        WorkerThread(exchange, f"w{n}", lambda config: config["x"], prefetch=prefetch)
        for n in range(3)
    ]
    master.join()
    for worker in workers:
        worker.join()
        assert worker.reason == "finished"
    assert done(master.records) == Counter(range(60))
    assert sum(worker.session.finished for worker in workers) == 60


@pytest.mark.slow
def test_lost_requests_and_replies_lose_and_repeat_nothing(exchange: Exchange) -> None:
    ran: list[float] = []
    exchange.faults = iter(["", "request lost", "reply lost", "reply lost", ""] * 100)
    master = MasterThread(exchange, study(50), [])
    worker = WorkerThread(exchange, "w0", lambda config: ran.append(config["x"]) or config["x"])
    master.join()
    worker.join()
    assert done(master.records) == Counter(range(50))
    assert len(ran) == 50


def test_a_lost_call_is_noticed_within_a_third_of_the_lease(exchange: Exchange) -> None:
    master = MasterThread(exchange, study(2), [])
    worker = WorkerThread(exchange, "w0", lambda config: config["x"])
    master.join()
    worker.join()
    assert exchange.timeout_s == TIMING.lease_s / 3


@pytest.mark.slow
def test_a_result_outlives_its_master_and_is_handed_in_to_the_next(exchange: Exchange) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(config: dict[str, float]) -> float:
        began.set()
        assert go_on.wait(LIMIT_S)
        return config["x"]

    first = MasterThread(exchange, study(2), [])
    worker = WorkerThread(exchange, "w0", slow)
    assert began.wait(LIMIT_S)
    records = first.records
    exchange.executor = None  # the first master is gone as far as anybody can tell
    second = MasterThread(exchange, study(2), records, epoch=2)
    go_on.set()
    second.join()
    worker.join()
    first.stop()
    starts = [(r.job_id, r.attempt) for r in second.records if isinstance(r, AttemptStarted)]
    assert starts == [(0, 1), (1, 1)], "an evaluation was repeated"
    assert done(second.records) == Counter([0, 1])


def test_a_command_arrives_though_the_answer_that_brought_it_was_lost(exchange: Exchange) -> None:
    began, go_on = threading.Event(), threading.Event()
    brought: list[int] = []

    def slow(config: dict[str, float]) -> float:
        began.set()
        assert go_on.wait(LIMIT_S)
        return config["x"]

    def lose_the_first(sent: dict[str, Any], reply: dict[str, Any]) -> None:
        if reply.get("cancel"):
            brought.append(sent["request"])
            if len(brought) == 1:
                raise TransportError("lost on the way back")
            go_on.set()

    exchange.on_reply = lose_the_first
    master = MasterThread(exchange, study(1), [])
    worker = WorkerThread(exchange, "w0", slow)
    assert began.wait(LIMIT_S)
    assert exchange.executor is not None
    exchange.executor.perform([Cancel("w0", worker.session.info.incarnation, 0, 1)])
    assert go_on.wait(LIMIT_S)
    assert brought[0] == brought[1]
    master.join()
    worker.join()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AuthenticationError, UnauthenticatedPeer, ProtocolMismatch])
@pytest.mark.parametrize("registered", [True, False])
def test_only_its_dispatcher_can_make_a_registered_worker_leave(
    exchange: Exchange, kind: type[TransportError], registered: bool
) -> None:
    calls: list[str] = []

    def answer_wrongly_once(sent: dict[str, Any], reply: dict[str, Any]) -> None:
        calls.append(sent["kind"])
        if calls.count("poll" if registered else "register") == 1 and sent["kind"] != "heartbeat":
            calls.append(calls[-1])
            raise kind("from whoever listens there now")

    exchange.on_reply = answer_wrongly_once
    master = MasterThread(exchange, study(3), [])
    worker = WorkerThread(exchange, "w0", lambda config: config["x"])
    if registered and kind is not ProtocolMismatch:
        master.join()
        worker.join()
        assert worker.reason == "finished"
        assert done(master.records) == Counter(range(3))
    else:
        worker.join()
        assert type(worker.error) is kind
        master.stop()


def test_a_worker_told_to_leave_at_once_hands_its_job_to_another(exchange: Exchange) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(config: dict[str, float]) -> float:
        began.set()
        assert go_on.wait(LIMIT_S)
        return config["x"]

    master = MasterThread(exchange, study(1), [])
    first = WorkerThread(exchange, "w0", slow)
    assert began.wait(LIMIT_S)
    first.session.leave("preempted", at_once=True)
    first.session.deregister()
    second = WorkerThread(exchange, "w1", lambda config: 1.0)
    master.join()
    go_on.set()
    first.join()
    second.join()
    ended = [r for r in master.records if isinstance(r, AttemptEnded)]
    assert [(r.outcome is None, r.final) for r in ended] == [(True, False), (False, True)]


def test_an_idle_worker_leaves_after_its_timeout(exchange: Exchange) -> None:
    master = MasterThread(exchange, study(0), [])
    exchange.executor = RemoteExecutor(TIMING, 1, "r")
    inbox = QueueInbox()
    loop = Loop(
        study(1),
        DispatchState(timing=TIMING),
        MemoryJournal(),
        exchange.executor,
        inbox,
        stay=True,
        waiting=True,
    )
    thread = threading.Thread(target=loop.run)
    thread.start()
    worker = WorkerThread(exchange, "w0", lambda config: 0.0)
    worker.session.timeouts = Timeouts(idle_s=0.3)
    worker.join()
    assert worker.reason == "idle for 0.3 s"
    inbox.post([ControlRequested("stop")])
    thread.join(LIMIT_S)
    master.join()


def test_reports_reach_the_journal(exchange: Exchange) -> None:
    def reporting(config: dict[str, float], budget: float, ctx: Any) -> float:
        for step in range(3):
            ctx.report(step, 1.0 / (step + 1))
        began.set()
        assert go_on.wait(LIMIT_S)
        return 0.0

    began, go_on = threading.Event(), threading.Event()
    master = MasterThread(exchange, study(1), [])
    worker = WorkerThread(exchange, "w0", reporting)
    assert began.wait(LIMIT_S)
    deadline = threading.Event()
    while not deadline.wait(0.02):
        if sum(r.kind == "report" for r in master.records) == 3:
            break
    go_on.set()
    master.join()
    worker.join()
    reports = [(r.step, r.loss) for r in master.records if r.kind == "report"]
    assert reports == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_worker_that_drains_leaves_after_the_evaluation_in_hand(
    exchange: Exchange, prefetch: int
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(config: dict[str, float]) -> float:
        began.set()
        assert go_on.wait(LIMIT_S)
        return config["x"]

    master = MasterThread(exchange, study(20), [])
    first = WorkerThread(exchange, "w0", slow, prefetch=prefetch)
    assert began.wait(LIMIT_S)
    first.session.leave("drained", at_once=False)
    go_on.set()
    first.join()
    assert first.session.finished == 1
    second = WorkerThread(exchange, "w1", lambda config: config["x"])
    master.join()
    second.join()
    assert second.session.finished == 19
    assert done(master.records) == Counter(range(20))
