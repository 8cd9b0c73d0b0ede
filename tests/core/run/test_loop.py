"""The loop: the order in which it writes and acts, commands, limits, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hpdist.core.dispatch.executor import Post
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.watermarks import QueueSizes
from hpdist.core.model.errors import ConfigurationError, HpdistError, JournalError, JournalFull
from hpdist.core.model.events import (
    Assignment,
    AttemptEnded,
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    AttemptStarted,
    AttemptStoppedEarly,
    Controlled,
    ControlRequested,
    Event,
    ExecutorFailed,
    JobCreated,
    ProgressReported,
    Record,
    ReportReceived,
    RunEnded,
    WorkerChanged,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.limits_and_timing import Limits, Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Order,
    Recall,
    Reregister,
    ShutDown,
    StopEarly,
)
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Outcome, Success, WorkerInfo
from hpdist.core.run.loop import SHUT_DOWN_S, Loop
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import SingleFidelity
from hpdist.testing.simulate import SimulatedInbox

SECONDS = 10.0


class Diary:
    """A journal that notes what was durable when; it may be full, or break."""

    def __init__(self) -> None:
        self.durable: list[Record] = []
        self.buffer: list[Record] = []
        self.commits = 0
        self.error: Exception | None = None

    def append(self, record: Record, at: float) -> None:
        self.buffer.append(record)

    def commit(self) -> None:
        self.commits += 1
        if self.error is not None:
            raise self.error
        self.durable += self.buffer
        self.buffer = []

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for record in self.durable if isinstance(record, kind)]


class Hands:
    """An executor whose one worker takes ten seconds an attempt, and notes all orders.

    Each order is compared with what is durable when it is given.
    """

    keeps_running = True

    def __init__(self, inbox: SimulatedInbox, diary: Diary, slots: int, prefetch: int) -> None:
        self.inbox, self.diary = inbox, diary
        self.info = WorkerInfo("a", "a.1", slots=slots, prefetch=prefetch)
        self.held: list[Assignment] = []
        self.orders: list[tuple[float, Order]] = []
        self.outcome: Outcome = Success(0.5)
        self.closed: list[float] = []

    def start(self, post: Post) -> None:
        self.post = post
        post([WorkerJoined(self.info)])
        self._beat()

    def _beat(self) -> None:
        if not self.closed and self.inbox.now() < 1000.0:
            self.post([WorkerSeen("a", "a.1", tuple(self.held))])
            self.inbox.after(5.0, self._beat)

    def perform(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self.orders.append((self.inbox.now(), order))
            self._carry_out(order)

    def _carry_out(self, order: Order) -> None:
        held = getattr(order, "job_id", -1), getattr(order, "attempt", -1)
        if isinstance(order, Launch):
            started = AttemptStarted(*held, "a")
            assert started in self.diary.durable, "acted before it was written"
            assert order.payload is not None
            self.held.append(held)
            self._proceed()
        elif isinstance(order, Acknowledge):
            ends = [r for r in self.diary.of(AttemptEnded) if (r.job_id, r.attempt) == held]
            assert ends, "acknowledged before it was written"
        elif isinstance(order, Cancel | Recall):
            behind = held in self.held[self.info.slots :]
            if held in self.held and (behind or isinstance(order, Cancel)):
                self.held.remove(held)
                self.post([AttemptReleased("a", "a.1", *held)])
        elif isinstance(order, Reregister):
            self.post([WorkerJoined(self.info, tuple(self.held))])
        elif isinstance(order, ShutDown) and not self.held:
            self.post([WorkerLeft("a", "a.1", order.reason)])

    def _proceed(self) -> None:
        for held in self.held[: self.info.slots]:
            self.inbox.after(SECONDS, lambda held=held: self._finish(held))

    def _finish(self, held: Assignment) -> None:
        if held in self.held[: self.info.slots]:
            self.held.remove(held)
            self.post([AttemptFinished("a", "a.1", AttemptResult(*held, self.outcome))])
            self._proceed()

    def close(self, grace_s: float) -> None:
        self.closed.append(grace_s)

    def given(self, kind: type[Any]) -> list[Any]:
        return [order for _, order in self.orders if isinstance(order, kind)]


class Scene:
    """A study of three evaluations, one worker, and what happens at which second."""

    def __init__(self, n: int | None = 3, slots: int = 1, prefetch: int = 0) -> None:
        self.inbox, self.diary = SimulatedInbox(), Diary()
        self.hands = Hands(self.inbox, self.diary, slots, prefetch)
        limits = Limits(n_evaluations=n)
        self.study = Study({"x": (0.0, 1.0)}, SingleFidelity(), limits=limits)
        self.dispatch = DispatchState(timing=Timing(lease_s=30.0))

    def at(self, when: float, what: Callable[[], object] | str, **arguments: object) -> None:
        """Let something happen, or a command arrive, at the second ``when``."""
        if callable(what):
            self.inbox.after(when, what)
        else:
            event = ControlRequested(what, arguments)
            self.inbox.after(when, lambda: self.inbox.post([event]))

    def loop(self, **options: Any) -> Loop:
        return Loop(self.study, self.dispatch, self.diary, self.hands, self.inbox, **options)

    def run(self, **options: Any) -> RunEnded:
        return self.loop(**options).run()

    def settled(self) -> list[int]:
        return [record.job_id for record in self.diary.of(AttemptEnded) if record.final]


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ------------------------------------------------------------------- write, then act


def test_a_run_writes_before_it_acts_and_ends_finished(scene: Scene) -> None:
    assert scene.run() == RunEnded("finished")
    assert scene.settled() == [0, 1, 2]
    assert len(scene.hands.given(Launch)) == len(scene.hands.given(Acknowledge)) == 3
    assert scene.diary.durable[-1].kind == "worker", "the worker's leaving was not waited for"
    assert scene.inbox.now() == 30.0


def test_what_arrives_together_is_committed_together() -> None:
    scene = Scene(n=8, slots=4)
    scene.run()
    turns_with_news = 3  # the first jobs; their results with the next jobs; the last results
    assert scene.diary.commits <= turns_with_news + scene.inbox.now() / 5.0 + 6


def test_a_launch_says_all_that_the_worker_needs(scene: Scene) -> None:
    scene.run()
    launch = scene.hands.given(Launch)[0]
    assert isinstance(launch.payload, Payload)
    assert launch.payload == scene.study.payload(0)


def full(scene: Scene) -> None:
    scene.diary.error = JournalFull("the journal cannot grow by 99 bytes")


def roomy(scene: Scene) -> None:
    scene.diary.error = None


def test_with_a_full_disk_orders_wait_and_nothing_is_lost(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.at(9.0, lambda: full(scene))
    scene.at(22.5, lambda: roomy(scene))
    assert scene.run().reason == "finished"
    assert scene.settled() == [0, 1, 2]
    times = [at for at, order in scene.hands.orders if isinstance(order, Acknowledge | Launch)]
    assert not [at for at in times if 9.0 <= at < 22.5], "acted before it was written"
    assert [at for at in times if 22.5 <= at <= 23.5], "the disk was not tried again in a second"
    assert len(scene.hands.given(Launch)) == 3
    assert 10 <= len(caplog.records) <= 20
    assert "nothing is lost" in caplog.text


def test_a_disk_that_is_full_from_the_first_record_on_is_waited_for(scene: Scene) -> None:
    full(scene)
    scene.at(60.0, lambda: roomy(scene))
    assert scene.run().reason == "finished"
    assert scene.settled() == [0, 1, 2]
    assert [record.job_id for record in scene.diary.of(AttemptStarted)] == [0, 1, 2]


def test_a_broken_journal_ends_the_run_and_nothing_more_is_done(scene: Scene) -> None:
    def breaks() -> None:
        scene.diary.error = JournalError("the journal cannot be written")

    scene.at(9.0, breaks)
    with pytest.raises(JournalError, match="cannot be written"):
        scene.run()
    assert len(scene.hands.orders) == 2  # the welcome and the first launch
    assert scene.hands.closed == [10.0]


def test_a_record_that_the_source_refuses_never_gets_into_the_journal(scene: Scene) -> None:
    refused = JobCreated(scene.study.propose().job)
    scene.study.apply(scene.study.propose())
    scene.study.propose = lambda: refused  # a job that exists already: a bug of the source
    with pytest.raises(HpdistError):
        scene.run()
    assert refused not in scene.diary.durable, "the run could never be resumed"
    assert scene.diary.durable[-1].reason == "failed"


# ------------------------------------------------------------------- silence


def test_a_busy_loop_gives_up_no_worker_whose_word_is_waiting(scene: Scene) -> None:
    asked = scene.study.optimizer.ask

    def slow(*arguments: object) -> object:
        """Ask for 45 seconds, while the worker goes on beating."""
        waiting = []
        until = scene.inbox.now() + 45.0
        while scene.inbox.now() < until:
            waiting += scene.inbox.take(until)
        scene.inbox._waiting = waiting
        return asked(*arguments)

    scene.study.optimizer.ask = slow
    scene.run()
    assert scene.settled() == [0, 1, 2]
    lost = [r for r in scene.diary.durable if r.kind == "worker" and r.state == "lost"]
    assert not lost, "a healthy worker was given up"
    assert [r.attempt for r in scene.diary.of(AttemptStarted)] == [1, 1, 1]


def test_a_master_that_stops_and_dismisses_nobody_leaves_what_runs_to_its_workers(
    scene: Scene,
) -> None:
    scene.at(15.0, "stop", shut_down_workers=False)
    assert scene.run().reason == "stopped"
    assert scene.settled() == [0]
    assert scene.hands.given(Cancel) == scene.hands.given(ShutDown) == []
    assert [r.job_id for r in scene.diary.of(AttemptStarted)] == [0, 1]
    assert len(scene.diary.of(AttemptEnded)) == 1, "what runs was given back"
    assert scene.inbox.now() == 15.0, "it waited for what runs"


def test_workers_of_before_are_waited_for_and_given_up_where_they_cannot_come(
    scene: Scene,
) -> None:
    for keeps_running, when in ((True, 30.0), (False, 0.0)):
        scene = Scene(n=1)
        scene.hands.keeps_running = keeps_running
        scene.hands.info = WorkerInfo("a", "a.1")
        for record in (
            scene.study.propose(),
            WorkerChanged("joined", WorkerInfo("b", "b.1")),
            AttemptStarted(0, 1, "b"),
        ):
            scene.study.apply(record)
            scene.dispatch.apply(record)
        scene.run()
        (launch,) = [at for at, order in scene.hands.orders if isinstance(order, Launch)]
        assert launch == when


# ------------------------------------------------------------------- observers


def test_observers_see_each_record_once_when_it_is_durable(scene: Scene) -> None:
    seen: list[Record] = []

    def look(fresh: Sequence[tuple[float, Record]]) -> None:
        seen.extend(record for _, record in fresh)
        assert seen == scene.diary.durable, "shown before it was written"
        assert all(at == scene.inbox.wall() for at, _ in fresh)

    scene.run(observers=[look])
    assert seen == scene.diary.durable


def test_an_observer_that_fails_is_logged_and_the_others_and_the_search_go_on(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Record] = []

    def broken(fresh: object) -> None:
        raise ZeroDivisionError("in a callback")

    scene.run(observers=[broken, lambda fresh: seen.extend(record for _, record in fresh)])
    assert scene.settled() == [0, 1, 2]
    assert seen == scene.diary.durable
    assert "in a callback" in caplog.text


# ------------------------------------------------------------------- commands


def test_stop_withdraws_what_runs_and_leaves_it_resumable(scene: Scene) -> None:
    scene.at(15.0, "stop", reason="tired")
    assert scene.run() == RunEnded("stopped", "tired")
    assert scene.inbox.now() < 15.0 + SHUT_DOWN_S
    back = scene.diary.of(AttemptEnded)[-1]
    assert (back.job_id, back.outcome, back.final) == (1, None, False)
    assert scene.hands.given(Cancel) == [Cancel("a", "a.1", 1, 1)]
    assert list(scene.study.table.pending) == [1]


def test_drain_waits_for_what_runs_and_takes_back_what_waits() -> None:
    scene = Scene(n=5, prefetch=1)
    scene.at(5.0, "drain", reason="maintenance")
    assert scene.run() == RunEnded("stopped", "maintenance")
    assert scene.settled() == [0]
    assert [order.job_id for order in scene.hands.given(Recall)] == [1]
    assert 10.0 <= scene.inbox.now() < 10.0 + SHUT_DOWN_S
    assert list(scene.dispatch.jobs.queue) == [1]


def test_stop_after_drain_does_not_wait_any_longer(scene: Scene) -> None:
    scene.at(2.0, "drain", reason="first")
    scene.at(4.0, "stop", reason="second")
    assert scene.run() == RunEnded("stopped", "first")
    assert scene.settled() == []
    assert scene.inbox.now() < 4.0 + SHUT_DOWN_S


def test_a_stop_may_leave_the_workers_where_they_are(scene: Scene) -> None:
    scene.at(2.0, "stop", shut_down_workers=False)
    scene.run()
    assert scene.hands.given(ShutDown) == []
    assert scene.inbox.now() == 2.0


def test_a_paused_run_starts_nothing_until_it_is_resumed(scene: Scene) -> None:
    scene.at(5.0, "pause")
    scene.at(47.0, "resume")
    assert scene.run().reason == "finished"
    times = [at for at, order in scene.hands.orders if isinstance(order, Launch)]
    assert times == [0.0, 47.0, 57.0]
    assert [record.command for record in scene.diary.of(Controlled)] == ["pause", "resume"]


def test_a_failed_job_is_evaluated_again_when_an_operator_says_so() -> None:
    scene = Scene(n=2)
    scene.hands.outcome = Failure(FailureKind.EXCEPTION, "ValueError: no")

    def mended() -> None:
        scene.hands.outcome = Success(0.25)

    scene.at(25.0, mended)
    scene.at(26.0, "retry", jobs=[1])
    scene.at(27.0, "retry", jobs=[1])
    scene.at(28.0, "extend", n_evaluations=4)
    scene.at(60.0, "stop")
    scene.run(stay=True)
    assert scene.settled() == [0, 1, 2, 3]
    again = [entry.job.retry_of for entry in scene.study.table.jobs]
    assert again == [None, None, 1, None], "not once, and first"
    assert scene.study.done


def test_a_job_cancelled_by_command_is_not_told_to_the_optimizer(scene: Scene) -> None:
    told: list[int] = []
    tell = scene.study.optimizer.tell
    scene.study.optimizer.tell = lambda seen: (told.append(seen.trial_id), tell(seen))
    scene.at(5.0, "cancel", jobs=[0], reason="not wanted")
    scene.run()
    assert scene.settled() == [0, 1, 2]
    assert scene.study.table.jobs[0].outcome == Failure(FailureKind.CANCELLED, "not wanted")
    assert told == [1, 2], "told of an evaluation that never was"


def test_a_worker_is_dismissed_by_name_after_what_it_runs(scene: Scene) -> None:
    scene.at(3.0, "shut_down_workers", worker="somebody else")
    scene.at(5.0, "shut_down_workers", worker="a", reason="reboot")
    scene.at(30.0, "stop")
    scene.run()
    assert scene.hands.given(ShutDown)[0] == ShutDown("a", "a.1", drain=True, reason="reboot")
    assert scene.settled() == [0]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("cancel", {"jobs": [77]}),
        ("extend", {"n_trials": -1}),
        ("extend", {"max_cost": "much"}),
        ("retry", {"jobs": [77, -3]}),
    ],
)
def test_a_command_that_cannot_be_carried_out_does_not_end_the_search(
    scene: Scene, caplog: pytest.LogCaptureFixture, command: str, arguments: dict[str, Any]
) -> None:
    scene.at(5.0, command, **arguments)
    with caplog.at_level(logging.WARNING):
        assert scene.run().reason == "finished"
    assert scene.settled() == [0, 1, 2]
    resumed = Scene()
    for record in scene.diary.durable:
        resumed.study.apply(record)
    assert resumed.study.done


def test_an_unknown_command_is_refused_where_it_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"no command 'dance'[\s\S]*stop, drain, pause"):
        ControlRequested("dance")


# ------------------------------------------------------------------- time


def test_when_time_is_up_nothing_starts_and_what_runs_has_a_grace_period() -> None:
    scene = Scene(n=None)
    assert scene.run(time_limit_s=15.0, grace_s=6.0) == RunEnded("time_limit")
    assert scene.settled() == [0, 1]
    assert [record.job_id for record in scene.diary.of(AttemptStarted)] == [0, 1]
    assert scene.hands.given(Cancel) == []
    assert 20.0 <= scene.inbox.now() < 20.0 + SHUT_DOWN_S


def test_after_the_grace_period_what_runs_is_taken_back_and_stays_open() -> None:
    scene = Scene(n=None)
    assert scene.run(time_limit_s=12.0, grace_s=3.0).reason == "time_limit"
    assert scene.settled() == [0]
    assert scene.hands.given(Cancel) == [Cancel("a", "a.1", 1, 1)]
    assert 15.0 <= scene.inbox.now() < 15.0 + SHUT_DOWN_S
    assert list(scene.study.table.pending) == [1]


def test_the_time_limit_may_be_set_while_it_runs() -> None:
    scene = Scene(n=None)
    scene.at(5.0, "time_limit", seconds=10.0)
    assert scene.run(grace_s=60.0).reason == "time_limit"
    assert scene.settled() == [0, 1]


# ------------------------------------------------------------------- staying and waiting


def test_a_loop_that_stays_serves_on_when_the_source_is_done(scene: Scene) -> None:
    scene.at(100.0, "extend", n_evaluations=5)
    scene.at(200.0, "stop")
    ended = scene.run(stay=True)
    assert scene.settled() == [0, 1, 2, 3, 4]
    assert [record.reason for record in scene.diary.of(RunEnded)] == ["finished", "finished"]
    assert (ended.reason, scene.inbox.now() >= 200.0) == ("finished", True)


def test_a_waiting_loop_starts_nothing_until_it_is_extended(scene: Scene) -> None:
    scene.at(50.0, "extend", n_evaluations=2)
    scene.at(100.0, "stop")
    scene.run(stay=True, waiting=True)
    times = [at for at, order in scene.hands.orders if isinstance(order, Launch)]
    assert times == [50.0, 60.0]


def test_workers_are_sent_home_at_the_end_and_stay_where_that_is_not_wanted() -> None:
    for wanted in (True, False):
        scene = Scene()
        scene.run(shut_down_workers=wanted)
        assert len(scene.hands.given(ShutDown)) == wanted


def test_a_worker_that_is_asleep_holds_up_the_end_for_a_moment_only(scene: Scene) -> None:
    carry_out = scene.hands._carry_out
    scene.hands._carry_out = lambda order: isinstance(order, ShutDown) or carry_out(order)
    scene.run()
    assert scene.inbox.now() == 30.0 + SHUT_DOWN_S


def test_a_worker_that_joins_while_the_others_leave_is_sent_home_too(scene: Scene) -> None:
    carry_out = scene.hands._carry_out
    scene.hands._carry_out = lambda order: isinstance(order, ShutDown) or carry_out(order)
    late = WorkerJoined(WorkerInfo("late", "late.1"))
    scene.at(30.0 + SHUT_DOWN_S / 2, lambda: scene.inbox.post([late]))
    scene.run()
    finished = {"drain": True, "reason": "finished"}
    assert scene.hands.given(ShutDown) == [
        ShutDown("a", "a.1", **finished),
        ShutDown("late", "late.1", **finished),
    ]


def test_a_loop_that_was_stopped_gives_nobody_up_before_it_has_heard_what_was_said(
    scene: Scene,
) -> None:
    def be_stopped() -> None:
        clock = scene.inbox.clock
        clock.now += 100.0
        clock._heap = [(max(at, clock.now + 0.1), n, what) for at, n, what in sorted(clock._heap)]

    scene.at(6.0, be_stopped)
    scene.run()
    assert "lost" not in [record.state for record in scene.diary.of(WorkerChanged)]


def test_a_loop_that_cannot_begin_writes_nothing_in_what_may_be_anothers_journal(
    scene: Scene,
) -> None:
    def refuse(post: Post) -> None:
        raise ConfigurationError("the run has a master already")

    scene.hands.start = refuse  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match="a master already"):
        scene.run()
    assert scene.diary.durable == scene.diary.buffer == []
    assert len(scene.hands.closed) == 1


# ------------------------------------------------------------------- queues


def test_jobs_are_chosen_ahead_of_demand_only_where_that_is_asked_for() -> None:
    for sizes, ahead in ((QueueSizes(), 0), (QueueSizes(1, 3, dynamic=False), 2)):
        scene = Scene(n=6)
        scene.run(queue_sizes=sizes)
        queued = deepest = 0
        for record in scene.diary.durable:
            queued += isinstance(record, JobCreated)
            queued -= isinstance(record, AttemptStarted)
            deepest = max(deepest, queued)
        assert deepest == ahead + (ahead == 0)  # created and started are two records
        assert scene.settled() == list(range(6))


@pytest.mark.parametrize("sizes", [(0, 0), (2, 1), (-1, -1)])
def test_queue_sizes_that_never_refill_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match="the first must be the smaller"):
        QueueSizes(*sizes)


def test_absolute_queue_sizes_must_allow_a_job() -> None:
    with pytest.raises(ConfigurationError, match="would never start a job"):
        QueueSizes(-1, 0, dynamic=False)
    assert QueueSizes(0, 1, dynamic=False).bounds(9) == (0, 1)
    assert QueueSizes().bounds(9) == (8, 9)


# ------------------------------------------------------------------- breaking off


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyboardInterrupt(), "stopped"),
        (SystemExit(3), "stopped"),
        (ZeroDivisionError("in the optimizer"), "failed"),
    ],
    ids=["interrupt", "exit", "error"],
)
def test_how_a_run_broke_off_is_recorded_and_raised(
    scene: Scene, error: BaseException, reason: str
) -> None:
    proposed = scene.study.propose

    def propose() -> JobCreated | None:
        if scene.inbox.now() >= 10.0:
            raise error
        return proposed()

    scene.study.propose = propose
    with pytest.raises(type(error)):
        scene.run()
    last = scene.diary.durable[-1]
    assert (last.reason, type(error).__name__ in last.message) == (reason, True)
    assert scene.settled() == [0], "a result that had arrived was not written"
    assert scene.hands.closed == [10.0]
    acknowledged = [at for at, order in scene.hands.orders if isinstance(order, Acknowledge)]
    assert acknowledged == []


def test_a_run_that_broke_off_goes_on_where_it_was(scene: Scene) -> None:
    scene.at(15.0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        scene.run()
    again = Scene()
    for record in scene.diary.durable:
        again.study.apply(record)
        again.dispatch.apply(record)
    assert again.run().reason == "finished"
    assert scene.settled() + again.settled() == [0, 1, 2]
    assert again.study.done


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_failed_executor_ends_the_run_loudly(scene: Scene) -> None:
    failed: Event = ExecutorFailed("the accepting thread died", "Traceback: line 7")
    scene.at(12.0, lambda: scene.inbox.post([failed]))
    with pytest.raises(HpdistError, match=r"the accepting thread died[\s\S]*line 7"):
        scene.run()
    last = scene.diary.durable[-1]
    assert (last.reason, "accepting thread" in last.message) == ("failed", True)


def test_a_journal_that_cannot_take_the_last_word_does_not_hide_the_error(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def both() -> None:
        scene.diary.error = JournalError("the disk is gone")
        raise ZeroDivisionError("the cause")

    scene.at(12.0, both)
    with pytest.raises(ZeroDivisionError, match="the cause"):
        scene.run()
    assert "could not record the end" in caplog.text


def test_a_journal_that_failed_is_not_written_to_again(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> None:
        scene.diary.error = JournalError("another process has it")

    scene.at(12.0, gone)
    with pytest.raises(JournalError, match="another process has it"):
        scene.run()
    assert not caplog.records


# ------------------------------------------------------------------- early stopping


class Impatient:
    """Stops whatever reports more than 1."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}

    def report(self, job_id: int, attempt: int, budget: float, step: int, loss: float) -> None:
        self.losses[job_id] = loss

    def finished(self, job_id: int) -> None:
        self.losses.pop(job_id, None)

    def stops(self, job_id: int) -> bool:
        return self.losses.get(job_id, 0.0) > 1.0

    def describe(self) -> dict[str, str]:
        return {"name": "Impatient"}


def judged(scene: Scene, direction: str = "minimize") -> Loop:
    scene.study = Study(
        {"x": (0.0, 1.0)},
        SingleFidelity(),
        limits=Limits(n_evaluations=2),
        early_stopping=Impatient(),
        direction=direction,
    )
    return scene.loop()


def report(scene: Scene, job_id: int, step: int, loss: float) -> None:
    scene.hands.post([ProgressReported("a", "a.1", job_id, 1, step, loss)])


def test_an_evaluation_is_stopped_early_once_in_the_journal_and_asked_until_it_ends() -> None:
    scene = Scene()
    loop = judged(scene)
    for second, (step, loss) in enumerate([(1, 0.5), (2, 2.0), (3, 0.5)], start=1):
        scene.at(second, lambda step=step, loss=loss: report(scene, 0, step, loss))
    loop.run()
    assert scene.diary.of(AttemptStoppedEarly) == [AttemptStoppedEarly(0, 1, 2)]
    orders = [
        (at, order.job_id) for at, order in scene.hands.orders if isinstance(order, StopEarly)
    ]
    assert orders == [(2.0, 0), (3.0, 0)]
    assert len(scene.diary.of(ReportReceived)) == 3
    ended = [record for record in scene.diary.of(AttemptEnded) if record.job_id == 0]
    assert [record.outcome for record in ended] == [Success(0.5)], "its loss counts as any other"


def test_the_sign_of_a_search_for_the_largest_is_the_rules_own_business() -> None:
    scene = Scene()
    loop = judged(scene, direction="maximize")
    scene.at(1, lambda: report(scene, 0, 1, -2.0))
    scene.at(2, lambda: report(scene, 0, 2, 2.0))
    loop.run()
    assert scene.diary.of(AttemptStoppedEarly) == [AttemptStoppedEarly(0, 1, 1)]
