"""DispatchState under arbitrary histories: its invariants, and replay of its own records."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from hpdist.core.dispatch import job_table, worker_table
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.model.events import (
    Assignment,
    AttemptEnded,
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    AttemptStarted,
    AttemptStoppedEarly,
    ConnectionLost,
    JobCreated,
    ProgressReported,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Decision,
    Launch,
    Recall,
    Reregister,
)
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, Job, Success, WorkerInfo

NAMES = ("a", "b", "c")
SLOTS = {"a": 1, "b": 1, "c": 6}
RETRY = Retry(max_crashes=2, max_losses=4)
TROUBLE = ("leave", "die", "stall", "cancel", "restart", "withdraw", "recall", "bad node")
CRASH = Failure(FailureKind.CRASH, "killed by SIGSEGV")
OUTCOMES = st.sampled_from([Success(1.0), Failure(FailureKind.EXCEPTION, "ValueError: no"), CRASH])


def durable(state: DispatchState) -> object:
    """What a replay must give back: all but leases, connections and back-off."""
    return (
        {
            job_id: (entry.state, entry.attempt, entry.answered, entry.worker_id, +entry.failed)
            for job_id, entry in state.jobs.items()
        },
        list(state.jobs.queue),
        state.paused,
        {name: (worker.info, dict(worker.assigned)) for name, worker in state.workers.items()},
    )


class Cluster(RuleBasedStateMachine):
    """Workers that really hold attempts, a network that repeats, and a master that restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.state = DispatchState(RETRY, Timing(lease_s=30.0))
        self.now = 0.0
        self.records: list[object] = []
        self.lives = dict.fromkeys(NAMES, 0)
        self.held: dict[str, set[Assignment]] = {name: set() for name in NAMES}
        self.results: list[AttemptFinished] = []
        self.settled: Counter[int] = Counter()
        self.attempts: dict[int, int] = {}
        self.launched: set[Assignment] = set()
        self.answered: set[Assignment] = set()
        self.introduce: set[str] = set()
        self.jobs = 0
        self.eager = False
        self.prefetch: dict[str, int] = {}

    # ---------------------------------------------------------------- the shell

    def take(self, decision: Decision) -> None:
        self.records += decision.records
        for record in decision.records:
            if isinstance(record, AttemptEnded) and record.final:
                self.settled[record.job_id] += 1
            if isinstance(record, AttemptStarted):
                latest = self.attempts.get(record.job_id, 0)
                assert record.attempt >= latest, "an attempt number fell"
                self.attempts[record.job_id] = record.attempt
        for order in decision.orders:
            if order.incarnation != self.incarnation(order.worker_id):
                continue
            held = self.held[order.worker_id]
            if isinstance(order, Launch):
                pair = order.job_id, order.attempt
                assert pair not in self.launched, "an attempt number was used twice"
                self.launched.add(pair)
                held.add(pair)
            elif isinstance(order, Acknowledge):
                held.discard((order.job_id, order.attempt))
            elif isinstance(order, Reregister):
                self.introduce.add(order.worker_id)
            elif isinstance(order, Cancel | Recall):
                self.release(order.worker_id, order.job_id, order.attempt)

    def release(self, name: str, job_id: int, attempt: int) -> None:
        if (job_id, attempt) in self.held[name]:
            self.held[name].discard((job_id, attempt))
            self.tell(AttemptReleased(name, self.incarnation(name), job_id, attempt))

    def tell(self, event: object) -> None:
        self.take(self.state.handle(event, self.now))

    def incarnation(self, name: str) -> str:
        return f"{name}.{self.lives[name]}"

    # ---------------------------------------------------------------- what may happen

    @initialize(eager=st.booleans())
    def begin(self, eager: bool) -> None:
        """Begin with two workers; an eager master hands jobs out as soon as it can."""
        self.eager = eager
        for name in NAMES[:2]:
            self.join(name, 0)

    def perhaps_assign(self) -> None:
        if self.eager:
            self.assign()

    @rule(pinned=st.sampled_from([None, None, None, *NAMES]))
    def submit(self, pinned: str | None) -> None:
        self.submit_one(pinned)
        self.perhaps_assign()

    def submit_one(self, pinned: str | None) -> None:
        record = JobCreated(Job(self.jobs, self.jobs, 1.0, worker=pinned))
        self.state.apply(record)
        self.records.append(record)
        self.jobs += 1

    @rule(name=st.sampled_from(NAMES), prefetch=st.integers(0, 2))
    def join(self, name: str, prefetch: int) -> None:
        self.introduce.discard(name)
        prefetch = self.prefetch.setdefault(self.incarnation(name), prefetch)
        info = WorkerInfo(name, self.incarnation(name), slots=SLOTS[name], prefetch=prefetch)
        self.tell(WorkerJoined(info, tuple(self.held[name])))
        self.perhaps_assign()

    @rule(name=st.sampled_from(NAMES))
    def beat(self, name: str) -> None:
        if name in self.introduce:
            self.join(name, 0)
        self.tell(WorkerSeen(name, self.incarnation(name), tuple(self.held[name])))

    @rule()
    def assign(self) -> None:
        self.take(self.state.assign(self.now))
        free = {worker_id for worker_id, worker in self.state.workers.items() if worker.room > 0}
        for job_id in self.state.jobs.queue:
            ready = self.state.jobs.delayed.get(job_id, 0.0) <= self.now
            takers = {name for name in free if self.may_run(job_id, name)}
            assert not (ready and takers), "idle beside work"

    def may_run(self, job_id: int, name: str) -> bool:
        """Pinned to a worker, or not again where it crashed while another one is here."""
        entry = self.state.jobs[job_id]
        others = {other for other, worker in self.state.workers.items() if worker.available}
        crashed_here = entry.crashed_at == name and others - {name}
        return entry.job.worker == name or not (entry.job.worker or crashed_here)

    @precondition(lambda self: any(self.held.values()))
    @rule(number=st.integers(0, 99), outcome=OUTCOMES)
    def finish(self, number: int, outcome: object) -> None:
        pairs = sorted((name, held) for name in NAMES for held in self.held[name])
        name, held = pairs[number % len(pairs)]
        event = AttemptFinished(name, self.incarnation(name), AttemptResult(*held, outcome))
        self.results.append(event)
        self.hand_in(event)

    def hand_in(self, event: AttemptFinished) -> None:
        """A result counts if it is the first of its job's latest attempt, and the job is open."""
        held = event.result.job_id, event.result.attempt
        news = (
            not self.settled[held[0]]
            and self.attempts[held[0]] == held[1]
            and held not in self.answered
        )
        before = len(self.records)
        self.tell(event)
        counted = [r for r in self.records[before:] if isinstance(r, AttemptEnded)]
        assert len(counted) <= news, "a stale or repeated result was counted"
        assert len(counted) >= news, "a result was dropped"
        self.answered.add(held)
        self.perhaps_assign()

    @precondition(lambda self: any(self.held.values()))
    @rule(number=st.integers(0, 99), step=st.integers(0, 2), stop=st.booleans())
    def report(self, number: int, step: int, stop: bool) -> None:
        """A report counts if its attempt runs; the loop may then stop the attempt early."""
        pairs = sorted((name, held) for name in NAMES for held in self.held[name])
        name, held = pairs[number % len(pairs)]
        before = len(self.records)
        self.tell(ProgressReported(name, self.incarnation(name), *held, step, 0.5))
        entry = self.state.jobs[held[0]]
        if len(self.records) > before and stop and not entry.stopped_early:
            record = AttemptStoppedEarly(*held, step)
            self.state.apply(record)
            self.records.append(record)

    def crash_on_one_worker(self, bad: str, *, restart: bool, leave: bool) -> None:
        """Whatever is assigned to one worker crashes, while another one succeeds."""
        good = NAMES[NAMES.index(bad) - 1]
        for name in (good, *[bad] * SLOTS[bad]):
            self.submit_one(name)
        self.assign()
        for name, outcome in ((good, Success(1.0)), (bad, CRASH)):
            for held in sorted(self.held[name]):
                result = AttemptResult(*held, outcome)
                self.hand_in(AttemptFinished(name, self.incarnation(name), result))
        if restart:
            self.restart_the_master()
            self.join(bad, 0)
        if leave:
            self.leave(bad)

    @precondition(lambda self: self.results)
    @rule(number=st.integers(0, 99))
    def repeat_a_result(self, number: int) -> None:
        self.hand_in(self.results[number % len(self.results)])

    @rule(kind=st.sampled_from(TROUBLE), name=st.sampled_from(NAMES), number=st.integers(0, 99))
    def trouble(self, kind: str, name: str, number: int) -> None:
        """One rule for all that disturbs, so that work is done between two disturbances."""
        if kind in ("leave", "die"):
            getattr(self, kind)(name)
        elif kind == "stall":
            self.stall(name, crashes_late=number % 2 == 1)
        elif kind == "cancel" and self.jobs:
            assigned = [job for each in self.state.workers.values() for job in each.assigned]
            jobs = assigned if assigned and number % 2 else range(self.jobs)
            self.take(self.state.cancel(jobs[number % len(jobs)], "not wanted"))
        elif kind == "bad node":
            self.crash_on_one_worker(name, restart=number % 2 == 0, leave=number % 3 < 2)
        elif kind == "restart":
            self.restart_the_master()
        elif kind == "withdraw":
            self.take(self.state.withdraw())
            assert self.state.workers.running == 0
        elif kind == "recall":
            self.take(self.state.recall(everything=number % 2 == 0))
        self.perhaps_assign()

    def leave(self, name: str) -> None:
        self.tell(WorkerLeft(name, self.incarnation(name)))
        self.held[name].clear()
        self.lives[name] += 1

    def die(self, name: str) -> None:
        self.tell(ConnectionLost(name, self.incarnation(name)))
        self.held[name].clear()
        self.lives[name] += 1

    @rule(seconds=st.sampled_from([1.0, 12.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.state.tick(self.now))
        assert self.state.next_deadline() > self.now, "the loop would spin"

    def stall(self, name: str, *, crashes_late: bool) -> None:
        """One worker is silent for longer than its lease and keeps all it has; others go on."""
        self.now += 40.0
        for other in NAMES:
            if other != name:
                self.beat(other)
        self.take(self.state.tick(self.now))
        for held in sorted(self.held[name]) if crashes_late else ():
            result = AttemptResult(*held, CRASH)
            self.hand_in(AttemptFinished(name, self.incarnation(name), result))
        self.assign()

    def restart_the_master(self) -> None:
        replayed = DispatchState(RETRY, self.state.timing)
        for record in self.records:
            replayed.apply(record)
        assert durable(replayed) == durable(self.state), "replay differs from the live run"
        self.state = replayed
        self.take(self.state.reconcile_workers(self.now, may_return=True))

    # ---------------------------------------------------------------- what must hold

    @invariant()
    def each_job_is_settled_at_most_once(self) -> None:
        assert all(count == 1 for count in self.settled.values()), self.settled

    @invariant()
    def an_open_job_is_queued_or_held_never_both(self) -> None:
        held = Counter(job_id for w in self.state.workers.values() for job_id in w.assigned)
        for job_id, entry in self.state.jobs.items():
            queued = self.state.jobs.queue.count(job_id)
            expected = {JobState.QUEUED: (1, 0), JobState.RUNNING: (0, 1)}.get(entry.state, (0, 0))
            assert (queued, held[job_id]) == expected, entry

    @invariant()
    def no_worker_holds_more_than_it_takes(self) -> None:
        for worker in self.state.workers.values():
            assert len(worker.assigned) <= worker.info.slots + worker.info.prefetch

    @invariant()
    def sums_over_workers_are_those_of_the_workers(self) -> None:
        workers = self.state.workers
        available = [each for each in workers.values() if each.connected and not each.draining]
        loads = [len(each.assigned) + len(each.zombies) for each in available]
        sizes = [each.info.slots + each.info.prefetch for each in available]
        assert workers.running == sum(len(each.assigned) for each in workers.values())
        assert (workers.load, workers.capacity) == (sum(loads), sum(sizes))
        free = [max(size - load, 0) for size, load in zip(sizes, loads, strict=True)]
        assert workers.free == sum(free)
        deadlines = [each.deadline for each in workers.values()]
        assert workers.next_deadline() == min(deadlines, default=float("inf"))

    @invariant()
    def limits_are_kept_by_kind(self) -> None:
        for entry in self.state.jobs.values():
            assert 0 <= entry.failed[FailureKind.CRASH] <= RETRY.max_crashes
            assert entry.failed[FailureKind.LOST] <= RETRY.max_losses
            lost = entry.failed[FailureKind.LOST]
            if entry.state is JobState.FAILED and not entry.failed[FailureKind.EXCEPTION]:
                crashes = entry.failed[FailureKind.CRASH]
                assert crashes == RETRY.max_crashes or lost == RETRY.max_losses

    def teardown(self) -> None:
        """Once faults stop, every job reaches an outcome."""
        for name in NAMES:
            self.lives[name] += 1
            self.held[name].clear()
            self.join(name, 0)
        for _ in range(40 * (self.jobs + 1)):
            if all(entry.state.settled for entry in self.state.jobs.values()):
                return
            self.now += 5.0
            for name in NAMES:
                self.tell(WorkerSeen(name, self.incarnation(name), tuple(self.held[name])))
                if name in self.introduce:
                    self.join(name, 0)
            self.take(self.state.tick(self.now))
            self.take(self.state.assign(self.now))
            for name in NAMES:
                for held in sorted(self.held[name]):
                    result = AttemptResult(*held, Success(0.0))
                    self.tell(AttemptFinished(name, self.incarnation(name), result))
        open_jobs = [e for e in self.state.jobs.values() if not e.state.settled]
        raise AssertionError(f"stuck: {open_jobs}")


class Noted(dict[Any, Any]):
    """A table that notes which of its entries were used."""

    def __init__(self, table: dict[Any, Any]) -> None:
        super().__init__(table)
        self.used: set[Any] = set()

    def get(self, key: Any, default: Any = None) -> Any:
        self.used.add(key)
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self.used.add(key)
        return super().__getitem__(key)


def walk(rng: random.Random) -> None:
    """Take eighty steps at random; each kind as often as any other."""
    cluster = Cluster()
    cluster.begin(eager=rng.random() < 0.5)
    for _ in range(80):
        name, number = rng.choice(NAMES), rng.randrange(100)
        steps: list[Callable[[], None]] = [
            lambda name=name: cluster.submit(rng.choice([None, name])),
            lambda name=name, number=number: cluster.join(name, number % 3),
            lambda name=name: cluster.beat(name),
            cluster.assign,
            lambda: cluster.wait(rng.choice([1.0, 12.0, 40.0])),
            lambda name=name, number=number: cluster.trouble(rng.choice(TROUBLE), name, number),
        ]
        if any(cluster.held.values()):
            outcome = rng.choice([Success(1.0), CRASH])
            steps += [
                lambda number=number, outcome=outcome: cluster.finish(number, outcome),
                lambda number=number: cluster.report(number, number % 3, number % 2 == 0),
            ]
        rng.choice(steps)()
        cluster.each_job_is_settled_at_most_once()
        cluster.an_open_job_is_queued_or_held_never_both()
        cluster.sums_over_workers_are_those_of_the_workers()


def test_each_transition_that_is_listed_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, workers = Noted(job_table.JOB_TRANSITIONS), Noted(worker_table.WORKER_TRANSITIONS)
    monkeypatch.setattr(job_table, "JOB_TRANSITIONS", jobs)
    monkeypatch.setattr(worker_table, "WORKER_TRANSITIONS", workers)
    for seed in range(60):
        walk(random.Random(seed))
    for table in (jobs, workers):
        assert set(table) - table.used == set(), "listed, and never taken"
        assert table.used - set(table) == set(), "taken, and not listed"


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
