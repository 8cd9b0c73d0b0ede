"""Which task goes to which engine: policies and the machine behind the views, without engines."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.worker_table import WorkerEntry
from hpdist.core.model.events import (
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    AttemptStarted,
    JobCreated,
    ReportReceived,
    WorkerChanged,
    WorkerDied,
    WorkerJoined,
    WorkerLeft,
)
from hpdist.core.model.limits_and_timing import Retry
from hpdist.core.model.orders import Decision
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success, WorkerInfo
from hpdist.views.direct import blocks
from hpdist.views.policies import POLICIES, Load
from hpdist.views.task import Task
from hpdist.views.task_source import ENGINE_LEFT, TaskSource

CALL = ("call", "f", "x")


def worker(number: int, prefetch: int = 0) -> WorkerInfo:
    name, incarnation = f"w{number}", f"{number:032x}"
    return WorkerInfo(name, incarnation, prefetch=prefetch, details={"engine": True})


class Scene:
    """Engines without anybody behind them, the dispatcher's state, and the tasks of a client."""

    def __init__(self, engines: int, prefetch: int = 0) -> None:
        self.tasks = TaskSource(lambda info: bool(info.details.get("engine")))
        self.dispatch = DispatchState(policy=self.tasks)
        self.now = 0.0
        self.ended: list[tuple[Task, Any]] = []
        self.prefetch = prefetch
        for number in range(engines):
            self.join(number)

    def take(self, decision: Decision) -> list[tuple[int, int]]:
        """Apply what was decided, as the loop does; returns (job, engine) of what started."""
        for record in decision.records:
            self.tasks.apply(record)
        self.tasks.observe([(1.0, record) for record in decision.records])
        started = [each for each in decision.records if isinstance(each, AttemptStarted)]
        return [(each.job_id, int(each.worker_id[1:])) for each in started]

    def handle(self, event: Any) -> None:
        self.take(self.dispatch.handle(event, self.now))

    @property
    def holds(self) -> dict[int, list[int]]:
        """Jobs by engine, in the order of assignment."""
        return {int(name[1:]): list(each.assigned) for name, each in self.dispatch.workers.items()}

    def join(self, number: int) -> None:
        self.handle(WorkerJoined(worker(number, self.prefetch)))

    def offer(self, **options: Any) -> Task:
        task = Task(CALL, on_end=lambda *told: self.ended.append(told), **options)
        self.tasks.offer([task])
        return task

    def hand_out(self) -> list[tuple[int, int]]:
        """Let the loop take all it can; returns (job, engine)."""
        self.now += 100.0  # no back-off lasts so long
        started = self.take(self.dispatch.assign(self.now))
        while self.dispatch.occupied(self.now) < self.dispatch.workers.capacity:
            record = self.tasks.propose()
            if record is None:
                break
            assert self.tasks.propose() is record, "proposing changes nothing"
            self.tasks.apply(record)
            self.dispatch.apply(record)
            assigned = self.take(self.dispatch.assign(self.now))
            assert assigned, "what is proposed can start"
            started += assigned
        return started

    def holder(self, job: int) -> WorkerEntry:
        return next(each for each in self.dispatch.workers.values() if job in each.assigned)

    def end(self, job: int, outcome: Any = None, seconds: float = 1.0) -> None:
        outcome = outcome or Success(0.0, info={"values": []})
        entry = self.holder(job)
        result = AttemptResult(job, entry.assigned[job], outcome, seconds)
        self.handle(AttemptFinished(entry.info.worker_id, entry.info.incarnation, result))

    def hand_back(self, job: int) -> None:
        entry = self.holder(job)
        attempt, info = entry.assigned[job], entry.info
        self.handle(AttemptReleased(info.worker_id, info.incarnation, job, attempt))

    def lose(self, engine: int) -> None:
        self.handle(WorkerDied(f"w{engine}", worker(engine).incarnation, "it died"))
        self.cancel_unsatisfiable()

    def leave(self, engine: int) -> None:
        """Let an engine go that hands back what it has."""
        self.handle(WorkerLeft(f"w{engine}", worker(engine).incarnation))
        self.cancel_unsatisfiable()

    def cancel_unsatisfiable(self) -> None:
        for job in self.tasks.unsatisfiable_jobs():
            self.take(self.dispatch.cancel(job, ENGINE_LEFT))
        assert self.tasks.unsatisfiable_jobs() == []


def failure(kind: FailureKind) -> Failure:
    return Failure(kind, "why")


# ------------------------------------------------------------------ policies

LOADS = [Load(0, 5.0, 3), Load(1, 1.0, 7), Load(2, 1.0, 4), Load(3, 9.0, 1, True)]


@pytest.mark.parametrize(
    ("policy", "chosen"), [("leastload", {2}), ("lru", {3}), ("affinity", {3})]
)
def test_policies_that_leave_nothing_to_chance(policy: str, chosen: set[int]) -> None:
    assert {POLICIES[policy](LOADS, random.Random(seed)) for seed in range(20)} == chosen


@pytest.mark.parametrize("policy", ["plainrandom", "twobin", "weighted"])
def test_policies_that_draw(policy: str) -> None:
    drawn = Counter(POLICIES[policy](LOADS, random.Random(seed)) for seed in range(4000))
    assert POLICIES[policy](LOADS, random.Random(5)) == POLICIES[policy](LOADS, random.Random(5))
    if policy == "plainrandom":
        assert set(drawn) == {0, 1, 2, 3}
        assert max(drawn.values()) < 1.2 * min(drawn.values())
    elif policy == "twobin":
        assert drawn[3] > drawn[0] > drawn[2] > drawn[1] > 0
    else:
        assert drawn[2] > drawn[1] > drawn[0] > drawn[3]


def test_affinity_without_an_idle_friend_takes_the_least_loaded() -> None:
    assert POLICIES["affinity"](LOADS[:3], random.Random(0)) == 2


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("length", [0, 1, 5, 12, 146])
def test_blocks_are_contiguous_and_the_first_have_one_more(length: int, count: int) -> None:
    cut = blocks(range(length), count)
    assert [item for block in cut for item in block] == list(range(length))
    sizes = [len(block) for block in cut]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1


# ------------------------------------------------------------------ the machine


def test_balanced_tasks_go_to_idle_engines_one_each() -> None:
    scene = Scene(2)
    for _ in range(5):
        scene.offer()
    assert scene.hand_out() == [(0, 0), (1, 1)]
    scene.end(1)
    assert scene.hand_out() == [(2, 1)]


def test_where_many_wait_each_engine_is_handed_one_ahead() -> None:
    scene = Scene(2, prefetch=1)
    for _ in range(8):
        scene.offer()
    assert scene.hand_out() == [(0, 0), (1, 1), (2, 0), (3, 1)]
    scene.end(0)
    assert scene.hand_out() == [(4, 0)]
    scene.end(2)
    assert scene.hand_out() == [(5, 0)], "three were left for two engines"
    scene.end(4)
    assert scene.hand_out() == [], "two are left: they go to whom is idle first"
    scene.end(5)
    assert scene.hand_out() == [(6, 0)]


@pytest.mark.parametrize(
    "options",
    [
        {"targets": frozenset([0])},
        {"targets": frozenset([0]), "static": True},
        {"timeout": 5.0},
        {"after": [Task(CALL)]},
        {"follow": [Task(CALL)]},
    ],
)
def test_what_may_not_run_anywhere_is_never_handed_out_ahead(
    options: dict[str, Any],
) -> None:
    scene = Scene(1, prefetch=1)
    scene.offer()
    choosy = scene.offer(**options)
    for _ in range(3):
        scene.offer()
    assert len(scene.hand_out()) == 1
    scene.tasks.take_back([choosy])
    assert len(scene.hand_out()) == 1


def test_what_was_handed_out_ahead_may_be_handed_back_and_run_elsewhere() -> None:
    scene = Scene(1, prefetch=1)
    tasks = [scene.offer() for _ in range(4)]
    assert scene.hand_out() == [(0, 0), (1, 0)]
    scene.join(1)
    scene.hand_back(1)
    assert tasks[1].engine is None
    assert (1, 1) in scene.hand_out()
    assert tasks[1].engine == 1
    scene.end(1)
    assert scene.ended[0][0] is tasks[1]


def test_a_static_task_waits_for_its_engine_while_others_are_idle() -> None:
    scene = Scene(2)
    for _ in range(2):
        scene.offer(targets=frozenset([0]), static=True)
    assert scene.hand_out() == [(0, 0)]
    assert scene.hand_out() == []
    scene.end(0)
    assert scene.hand_out() == [(1, 0)]


def test_a_task_behind_another_waits_and_may_follow_it() -> None:
    scene = Scene(3)
    first = scene.offer(targets=frozenset([2]))
    scene.offer(after=[first])
    scene.offer(follow=[first])
    assert scene.hand_out() == [(0, 2)]
    scene.end(0)
    handed = scene.hand_out()
    assert handed[1] == (2, 2), "where the first one ran"
    assert len(handed) == 2


def test_retries_avoid_the_engine_where_there_is_another_and_only_then() -> None:
    scene = Scene(2)
    scene.offer(retries=1)
    ((job, engine),) = scene.hand_out()
    scene.end(job, failure(FailureKind.EXCEPTION))
    assert scene.hand_out() == [(job, 1 - engine)]
    assert not scene.ended
    scene.end(job, failure(FailureKind.EXCEPTION))
    assert scene.ended[0][1].kind is FailureKind.EXCEPTION
    alone = Scene(1)
    alone.offer(retries=1)
    ((job, _),) = alone.hand_out()
    alone.end(job, failure(FailureKind.EXCEPTION))
    assert alone.hand_out() == [(0, 0)], "a wish, never a rule that waits for ever"


def test_a_lost_engine_costs_a_balanced_task_nothing_and_ends_a_static_one() -> None:
    scene = Scene(2)
    scene.offer()
    scene.offer(targets=frozenset([1]), static=True)
    scene.offer(targets=frozenset([1]), static=True)
    assert len(scene.hand_out()) == 2
    scene.lose(0)
    scene.lose(1)
    assert [told.kind for _, told in scene.ended] == [FailureKind.LOST] * 2
    assert "no engine that may run it" in scene.ended[1][1].message
    scene.join(7)
    assert [engine for _, engine in scene.hand_out()] == [7]


def test_an_engine_that_leaves_hands_a_balanced_task_on_and_ends_a_static_one() -> None:
    scene = Scene(2)
    balanced = scene.offer()
    static = scene.offer(targets=frozenset([1]), static=True)
    assert len(scene.hand_out()) == 2
    assert scene.tasks.unsatisfiable_jobs() == []
    scene.leave(0)
    scene.leave(1)
    ((task, told),) = scene.ended
    assert (task, told.kind, told.message) == (static, FailureKind.LOST, ENGINE_LEFT)
    scene.join(7)
    ((job, engine),) = scene.hand_out()
    assert engine == 7
    scene.end(job)
    assert scene.ended[1][0] is balanced


def test_a_task_that_loses_every_engine_is_given_up() -> None:
    scene = Scene(0)
    scene.offer()
    for number in range(Retry().max_losses):
        assert scene.ended == []
        scene.join(number)
        assert len(scene.hand_out()) == 1
        scene.lose(number)
    scene.join(99)
    assert scene.hand_out() == []
    assert [told.kind for _, told in scene.ended] == [FailureKind.LOST]


def test_what_waits_is_withdrawn_and_what_runs_is_named() -> None:
    scene = Scene(1)
    running, waiting = scene.offer(), scene.offer()
    ((job, _),) = scene.hand_out()
    scene.tasks.take_back([running, waiting])
    scene.tasks.withdraw([], "not wanted", 0.0)
    assert scene.hand_out() == []
    assert [(task, told.kind) for task, told in scene.ended] == [(waiting, FailureKind.CANCELLED)]
    assert scene.tasks.jobs_of([running, waiting]) == [job]


def test_workers_that_are_no_engines_get_nothing() -> None:
    scene = Scene(0)
    scene.tasks.apply(WorkerChanged("joined", WorkerInfo("plain", "0" * 32)))
    scene.offer()
    assert scene.hand_out() == []
    assert scene.tasks.engines == {}


def test_reports_count_the_calls_of_a_task() -> None:
    scene = Scene(1)
    task = scene.offer(count=3)
    ((job, _),) = scene.hand_out()
    scene.tasks.apply(AttemptStarted(job, 1, "w0"))
    scene.tasks.apply(ReportReceived(job, 1, 2, 0.0))
    assert task.reports == 2


class History:
    """Random tasks on engines that come and go, and may hold one ahead."""

    def __init__(self, seed: int) -> None:
        self.rng, self.scene = random.Random(seed), Scene(3, prefetch=seed % 2)
        self.joined = 3
        self.choosy = self.rng.choice([0.0, 0.3])
        self.tasks: list[Task] = []

    def offer(self) -> None:
        options: dict[str, Any] = {"policy": self.rng.choice(list(POLICIES))}
        if self.rng.random() < self.choosy:
            options |= {"targets": frozenset([self.rng.randrange(self.joined)]), "static": True}
        if self.tasks and self.rng.random() < self.choosy:
            options["after"] = [self.rng.choice(self.tasks)]
        self.tasks.append(self.scene.offer(**options, retries=self.rng.randrange(3)))

    def end(self) -> None:
        busy = [jobs for jobs in self.scene.holds.values() if jobs]
        if busy:
            first = self.rng.choice(busy)[0]
            self.scene.end(first, self.rng.choice([None, None, failure(FailureKind.EXCEPTION)]))

    def lose(self) -> None:
        if len(self.scene.holds) < 2:
            return
        engine = self.rng.choice(sorted(self.scene.holds))
        if self.rng.random() < 0.5:
            self.scene.leave(engine)
            return
        self.scene.lose(engine)

    def recall(self) -> None:
        """Ask back what waits behind something else."""
        waiting = [job for jobs in self.scene.holds.values() for job in jobs[1:]]
        if waiting:
            self.scene.hand_back(self.rng.choice(waiting))

    def join(self) -> None:
        self.scene.join(self.joined)
        self.joined += 1

    @property
    def running(self) -> bool:
        return any(self.scene.holds.values())


def test_random_histories_end_every_task_once() -> None:
    for seed in range(300):
        check_history(seed)


def check_history(seed: int) -> None:
    history = History(seed)
    moves = [history.offer] * 8 + [history.end] * 8 + [history.lose] * 2
    moves += [history.join, history.recall]
    for _ in range(120):
        history.rng.choice(moves)()
        history.scene.hand_out()
    while history.running:
        history.end()
        history.scene.hand_out()
    assert set(Counter(id(task) for task, _ in history.scene.ended).values()) <= {1}, seed
    assert all(task.done for task in history.tasks), f"{seed}: an engine is here, and a task waits"


def test_a_created_job_is_the_proposed_one() -> None:
    scene = Scene(1)
    scene.offer()
    record = scene.tasks.propose()
    assert isinstance(record, JobCreated)
    assert scene.tasks.payload  # it is made of the task once the job is there
    scene.tasks.apply(record)
    assert scene.tasks.payload(0).config == {"hpdist_call": list(CALL)}


@pytest.mark.parametrize(
    ("told", "spans"),
    [
        ([[11.0, 12.0], [12.0, 14.0]], [(11.0, 12.0), (12.0, 14.0)]),  # it may well be right
        ([[1.0, 2.0], [2.0, 4.0]], [(10.0, 11.0), (11.0, 13.0)]),  # behind ours
        ([[91.0, 92.0], [92.0, 94.0]], [(12.0, 13.0), (13.0, 15.0)]),  # ahead of ours
        ([], []),
    ],
)
def test_times_of_an_engine_are_brought_to_the_clients_clock(
    told: list[list[float]], spans: list[tuple[float, float]]
) -> None:
    task = Task(CALL, times={"started": 10.0, "received": 15.0})
    assert task.spans(told) == spans
