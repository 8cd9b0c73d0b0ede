"""Given a dispatch state and an event: these records and these orders."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hpdist.core.dispatch.retry import backoff
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.model.errors import StateError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    AttemptStarted,
    ConnectionLost,
    Controlled,
    JobCreated,
    ProgressReported,
    Record,
    ReportReceived,
    WorkerChanged,
    WorkerDied,
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
    Registered,
    Reregister,
    ShutDown,
)
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, Job, Outcome, Success, WorkerInfo

GOOD = Success(0.5)
CRASH = Failure(FailureKind.CRASH, "killed by SIGSEGV")
RAISED = Failure(FailureKind.EXCEPTION, "ValueError: no")
BACK = WorkerChanged("returned", WorkerInfo("a", "a.1"))


class Scene:
    """A state with the records that made it, and short words for what happens to it."""

    def __init__(self, retry: Retry | None = None) -> None:
        self.state = DispatchState(retry, Timing(lease_s=30.0, closed_s=10.0))
        self.now = 0.0
        self.records: list[Record] = []

    def _noted(self, decision: Decision) -> Decision:
        self.records += decision.records
        return decision

    def tell(self, event: object) -> Decision:
        return self._noted(self.state.handle(event, self.now))

    def join(self, name: str = "a", life: int = 1, **more: object) -> Decision:
        holds = more.pop("holds", ())
        return self.tell(WorkerJoined(WorkerInfo(name, f"{name}.{life}", **more), holds))

    def submit(self, *job_ids: int, worker: str | None = None) -> None:
        for job_id in job_ids:
            record = JobCreated(Job(job_id, job_id, 1.0, worker=worker))
            self.state.apply(record)
            self.records.append(record)

    def assign(self) -> Decision:
        return self._noted(self.state.assign(self.now))

    def finish(
        self, name: str, job_id: int, attempt: int, outcome: Outcome = GOOD, life: int = 1
    ) -> Decision:
        result = AttemptResult(job_id, attempt, outcome, 2.0, 5.0, "out")
        return self.tell(AttemptFinished(name, f"{name}.{life}", result))

    def seen(self, name: str, life: int = 1, holds: object = None) -> Decision:
        return self.tell(WorkerSeen(name, f"{name}.{life}", holds))

    def tick(self, now: float) -> Decision:
        self.now = now
        return self._noted(self.state.tick(now))

    def replayed(self) -> DispatchState:
        state = DispatchState(self.state.retry, self.state.timing)
        for record in self.records:
            state.apply(record)
        return state

    def job(self, job_id: int = 0) -> JobState:
        return self.state.jobs[job_id].state


class NotOnA:
    """No job may run on worker a; the one that joined last is chosen."""

    def may_run(self, job: Job, worker: WorkerInfo) -> bool:
        return worker.worker_id != "a"

    def choose(self, job: Job, worker_ids: Sequence[str]) -> str:
        return worker_ids[-1]

    def retry(self, job: Job, usual: Retry) -> Retry:
        return Retry(exceptions=job.job_id)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def busy(scene: Scene) -> Scene:
    """Worker a runs job 0 in its first attempt."""
    scene.join("a")
    scene.submit(0)
    scene.assign()
    return scene


def ended(job_id: int, attempt: int, outcome: Outcome | None, final: bool) -> AttemptEnded:
    return AttemptEnded(job_id, attempt, "a", outcome, final)


def told(job_id: int, attempt: int, outcome: Outcome, final: bool = True) -> AttemptEnded:
    return AttemptEnded(job_id, attempt, "a", outcome, final, 2.0, 5.0, "out")


def lost(reason: str) -> Failure:
    return Failure(FailureKind.LOST, f"worker a: {reason}")


# --------------------------------------------------------------------- hand-out


def test_a_queued_job_and_a_free_slot_make_a_start_and_a_launch(scene: Scene) -> None:
    assert scene.join("a") == Decision(
        [WorkerChanged("joined", WorkerInfo("a", "a.1"))], [Registered("a", "a.1")]
    )
    scene.submit(0, 1)
    assert scene.assign() == Decision([AttemptStarted(0, 1, "a")], [Launch("a", "a.1", 0, 1)])
    assert scene.assign() == Decision()
    assert (scene.job(0), scene.job(1)) == (JobState.RUNNING, JobState.QUEUED)


def test_free_slots_are_filled_before_places_behind_others(scene: Scene) -> None:
    scene.join("a", prefetch=1)
    scene.join("b")
    scene.submit(0, 1, 2, 3)
    orders = scene.assign().orders
    assert [(order.worker_id, order.job_id) for order in orders] == [("a", 0), ("b", 1), ("a", 2)]


def test_a_pinned_job_waits_for_its_worker_and_holds_up_nobody(scene: Scene) -> None:
    scene.join("a")
    scene.submit(0, 1, worker="b")
    scene.submit(2)
    assert scene.assign().orders == [Launch("a", "a.1", 2, 1)]
    scene.join("b")
    scene.submit(3)
    scene.join("c")
    orders = scene.assign().orders
    assert {(order.worker_id, order.job_id) for order in orders} == {("b", 0), ("c", 3)}


def test_many_jobs_pinned_to_one_worker_do_not_hide_work_for_others(scene: Scene) -> None:
    scene.join("a")
    scene.join("b")
    scene.submit(0, 1, 2, worker="a")
    scene.submit(3)
    orders = scene.assign().orders
    assert [(o.worker_id, o.job_id) for o in orders] == [("a", 0), ("b", 3)], "idle beside work"


def test_nothing_is_handed_out_while_paused_and_a_replay_stays_paused(scene: Scene) -> None:
    scene.join("a")
    scene.submit(0)
    for command, expected in (("pause", []), ("resume", [Launch("a", "a.1", 0, 1)])):
        record = Controlled(command)
        scene.state.apply(record)
        scene.records.append(record)
        assert scene.replayed().paused == (command == "pause")
        assert scene.assign().orders == expected


# --------------------------------------------------------------------- results


@pytest.mark.parametrize("kind", ["exception", "invalid", "timeout", "memory", "cancelled"])
def test_a_failure_that_is_not_retried_settles_the_job(busy: Scene, kind: str) -> None:
    failure = Failure(FailureKind(kind), "no")
    decision = busy.finish("a", 0, 1, failure)
    assert decision == Decision([told(0, 1, failure)], [Acknowledge("a", "a.1", 0, 1)])
    cancelled = kind == "cancelled"
    assert busy.job() is (JobState.CANCELLED if cancelled else JobState.FAILED)


def test_a_success_settles_the_job_and_is_acknowledged(busy: Scene) -> None:
    decision = busy.finish("a", 0, 1)
    assert decision == Decision([told(0, 1, GOOD)], [Acknowledge("a", "a.1", 0, 1)])
    assert busy.job() is JobState.COMPLETED
    assert busy.state.workers.running == 0


@pytest.mark.parametrize(
    ("kind", "field"),
    [("exception", "exceptions"), ("invalid", "invalid"), ("timeout", "timeouts"),
     ("memory", "memory")],
)  # fmt: skip
def test_each_kind_of_failure_has_its_own_number_of_extra_attempts(kind: str, field: str) -> None:
    scene = Scene(Retry(**{field: 1}))
    scene.join("a")
    scene.submit(0)
    scene.assign()
    failure = Failure(FailureKind(kind), "no")
    assert scene.finish("a", 0, 1, failure).records == [told(0, 1, failure, final=False)]
    scene.assign()
    (record,) = scene.finish("a", 0, 2, failure).records
    assert record.final
    assert record.outcome.message == "no (given up after 2 such attempts)"


def test_a_crash_is_tried_again_first_in_line_and_fails_at_the_third(busy: Scene) -> None:
    busy.submit(1)
    for attempt in (1, 2):
        assert busy.finish("a", 0, attempt, CRASH).records == [told(0, attempt, CRASH, False)]
        assert list(busy.state.jobs.queue) == [0, 1]
        assert busy.assign().orders == [Launch("a", "a.1", 0, attempt + 1)]
    (record,) = busy.finish("a", 0, 3, CRASH).records
    assert (record.final, record.outcome.kind) == (True, FailureKind.CRASH)
    assert busy.job() is JobState.FAILED


def test_crashes_and_losses_are_counted_apart() -> None:
    scene = Scene(Retry(max_crashes=2, max_losses=2))
    scene.join("a")
    scene.submit(0)
    scene.assign()
    scene.finish("a", 0, 1, CRASH)
    scene.assign()
    (end, gone) = scene.tick(100.0).records
    assert not end.final, "a loss counted as a crash"
    assert gone.state == "lost"
    scene.join("a", life=2)
    scene.assign()
    (end, *_) = scene.finish("a", 0, 3, CRASH, life=2).records
    assert (end.final, end.outcome.kind) == (True, FailureKind.CRASH)


@pytest.mark.parametrize("outcome", [GOOD, RAISED, CRASH])
def test_a_repeated_result_counts_once_and_is_acknowledged_again(
    busy: Scene, outcome: Outcome
) -> None:
    busy.finish("a", 0, 1, outcome)
    again = Decision([], [Acknowledge("a", "a.1", 0, 1)])
    assert busy.finish("a", 0, 1, outcome) == again, "one attempt counted twice"
    assert busy.replayed().jobs == busy.state.jobs


def test_a_crash_that_was_recorded_before_a_restart_is_not_counted_again(busy: Scene) -> None:
    busy.finish("a", 0, 1, CRASH)
    busy.state = busy.replayed()
    busy.state.reconcile_workers(0.0, may_return=True)
    decision = busy.join("a", holds=((0, 1),))
    assert decision == Decision([BACK], [Registered("a", "a.1"), Cancel("a", "a.1", 0, 1)])
    assert busy.finish("a", 0, 1, CRASH).records == [], "one attempt counted twice"
    assert busy.assign().orders == [Launch("a", "a.1", 0, 2)]


def test_a_result_of_an_attempt_thought_lost_counts_while_nobody_has_begun_anew(
    busy: Scene,
) -> None:
    busy.tick(31.0)
    assert busy.job() is JobState.QUEUED
    decision = busy.finish("a", 0, 1)
    assert decision == Decision([told(0, 1, GOOD)], [Acknowledge("a", "a.1", 0, 1)])
    assert list(busy.state.jobs.queue) == []


def test_a_result_of_an_earlier_attempt_is_acknowledged_and_not_counted(busy: Scene) -> None:
    busy.tick(31.0)
    busy.join("b")
    assert busy.assign().orders == [Launch("b", "b.1", 0, 2)]
    stale = busy.finish("a", 0, 1)
    assert stale == Decision([], [Acknowledge("a", "a.1", 0, 1)]), "stale result counted"
    assert (busy.job(), busy.state.workers["b"].assigned) == (JobState.RUNNING, {0: 2})


@pytest.mark.parametrize(("job_id", "attempt"), [(0, 2), (7, 1), (1, 0)])
def test_a_result_nobody_asked_for_changes_nothing(busy: Scene, job_id: int, attempt: int) -> None:
    busy.submit(1)
    decision = busy.finish("a", job_id, attempt)
    assert decision == Decision([], [Acknowledge("a", "a.1", job_id, attempt)])


def test_reports_count_for_the_attempt_that_runs_only(busy: Scene) -> None:
    report = ProgressReported("a", "a.1", 0, 1, 5, 0.25)
    assert busy.tell(report).records == [ReportReceived(0, 1, 5, 0.25)]
    assert busy.tell(ProgressReported("a", "a.1", 0, 2, 5, 0.25)) == Decision()
    busy.finish("a", 0, 1)
    assert busy.tell(report) == Decision()


# --------------------------------------------------------------------- workers that go


def test_a_worker_that_leaves_hands_back_at_nobodys_charge(busy: Scene) -> None:
    decision = busy.tell(WorkerLeft("a", "a.1", "preempted"))
    info = WorkerInfo("a", "a.1")
    assert decision == Decision(
        [ended(0, 1, None, False), WorkerChanged("left", info, "preempted")], []
    )
    assert not busy.state.jobs[0].failed
    assert list(busy.state.jobs.queue) == [0]


def test_a_worker_that_died_loses_its_attempt_at_once(busy: Scene) -> None:
    decision = busy.tell(WorkerDied("a", "a.1", "killed by SIGKILL"))
    assert decision.records == [
        ended(0, 1, lost("killed by SIGKILL"), False),
        WorkerChanged("lost", WorkerInfo("a", "a.1"), "killed by SIGKILL"),
    ]
    assert list(busy.state.jobs.queue) == [0], "a lost worker's job is nowhere"


def test_silence_counts_from_the_last_sign_of_life(busy: Scene) -> None:
    busy.now = 20.0
    busy.seen("a")
    assert busy.tick(49.9) == Decision()
    assert busy.state.next_deadline() == 50.0
    (end, gone) = busy.tick(50.0).records
    assert end == ended(0, 1, lost("gave no sign of life within its lease"), False)
    assert (gone.state, gone.reason) == ("lost", "gave no sign of life within its lease")


def test_a_lease_that_ran_out_unnoticed_is_extended_once(busy: Scene) -> None:
    """Whoever should have noticed was stopped, and has not read what was said meanwhile."""
    busy.state.extend_leases(30.1, 15.0)
    busy.state.extend_leases(95.0, 15.0)
    assert busy.tick(95.0) == Decision()
    busy.state.extend_leases(110.5, 15.0)
    assert busy.tick(110.5).records[-1].state == "lost"


def test_a_worker_that_was_heard_since_is_excused_again(busy: Scene) -> None:
    for now in (95.0, 195.0):
        busy.state.extend_leases(now, 15.0)
        assert busy.tick(now) == Decision()
        busy.seen("a")


def test_a_lease_that_is_looked_at_in_time_is_not_extended(busy: Scene) -> None:
    busy.state.extend_leases(30.0, 15.0)
    assert busy.tick(30.0).records[-1].state == "lost"


def test_a_result_is_a_sign_of_life(busy: Scene) -> None:
    busy.now = 20.0
    busy.finish("a", 0, 1)
    assert busy.tick(49.9) == Decision()


def test_a_closed_connection_shortens_the_lease_and_takes_nothing(busy: Scene) -> None:
    closed = ConnectionLost("a", "a.1")
    assert busy.tell(closed) == Decision()
    assert busy.tick(9.9) == Decision(), "a hint was taken for a proof"
    busy.seen("a")
    assert busy.tick(39.8) == Decision()
    busy.tell(closed)
    assert busy.tick(39.9).records[-1].state == "lost", "the lease was made longer"


def test_another_process_under_the_name_takes_over_and_the_job_goes_back(busy: Scene) -> None:
    decision = busy.join("a", life=2)
    reason = "another process joined under its name"
    assert decision.records == [
        ended(0, 1, lost(reason), False),
        WorkerChanged("lost", WorkerInfo("a", "a.1"), reason),
        WorkerChanged("joined", WorkerInfo("a", "a.2")),
    ]
    assert decision.orders == [Registered("a", "a.2")]
    for event in (WorkerLeft("a", "a.1"), WorkerDied("a", "a.1"), ConnectionLost("a", "a.1")):
        assert busy.tell(event) == Decision()
    assert busy.seen("a", life=1).orders == [Reregister("a", "a.1")]


def test_a_worker_that_is_not_known_is_asked_who_it_is(scene: Scene) -> None:
    assert scene.seen("a") == Decision([], [Reregister("a", "a.1")])
    assert scene.tell(AttemptReleased("a", "a.1", 0, 1)) == Decision()


def test_too_many_losses_fail_the_job() -> None:
    scene = Scene(Retry(max_losses=2))
    scene.submit(0)
    for life, final in ((1, False), (2, True)):
        scene.join("a", life=life)
        scene.assign()
        (end, _) = scene.tell(WorkerDied("a", f"a.{life}")).records
        assert (end.final, end.outcome.kind) == (final, FailureKind.LOST)


# --------------------------------------------------------------------- coming back


def test_a_worker_thought_lost_takes_its_attempt_up_again(busy: Scene) -> None:
    busy.tick(31.0)
    decision = busy.join("a", holds=((0, 1),))
    assert decision.records[-1] == AttemptStarted(0, 1, "a"), "healthy work was thrown away"
    assert decision.orders == [Registered("a", "a.1")]
    assert busy.assign() == Decision()
    assert busy.finish("a", 0, 1).records == [told(0, 1, GOOD)]


def test_a_worker_that_comes_too_late_is_told_to_stop_and_counts_as_busy(busy: Scene) -> None:
    busy.tick(31.0)
    busy.join("b")
    busy.assign()
    decision = busy.join("a", holds=((0, 1),))
    assert decision.orders == [Registered("a", "a.1"), Cancel("a", "a.1", 0, 1)]
    busy.submit(1)
    assert busy.assign() == Decision(), "it is still busy with what it was told to stop"
    busy.seen("a", holds=())
    assert busy.assign().orders == [Launch("a", "a.1", 1, 1)]


def test_a_worker_that_holds_what_never_was_is_told_to_stop(scene: Scene) -> None:
    scene.submit(0)
    orders = scene.join("a", holds=((0, 0), (9, 1))).orders
    assert orders == [Registered("a", "a.1"), Cancel("a", "a.1", 0, 0), Cancel("a", "a.1", 9, 1)]


def test_after_a_restart_workers_have_one_lease_to_come_back(busy: Scene) -> None:
    busy.state = busy.replayed()
    assert busy.state.reconcile_workers(100.0, may_return=True) == Decision()
    assert busy.state.workers["a"].assigned == {0: 1}
    assert busy.tick(129.9) == Decision()
    assert busy.assign() == Decision()
    (end, gone) = busy.tick(130.0).records
    assert end == ended(0, 1, lost("never came back within its lease"), False)
    assert gone.state == "lost"


def test_after_a_restart_a_worker_with_its_work_goes_on_as_if_nothing_was(busy: Scene) -> None:
    busy.state = busy.replayed()
    busy.state.reconcile_workers(100.0, may_return=True)
    busy.now = 101.0
    assert busy.seen("a", holds=((0, 1),)) == Decision([], [Reregister("a", "a.1")])
    assert busy.join("a", holds=((0, 1),)) == Decision([BACK], [Registered("a", "a.1")])
    assert busy.finish("a", 0, 1).records == [told(0, 1, GOOD)]


def test_after_a_restart_what_the_worker_never_got_goes_back_at_nobodys_charge(busy: Scene) -> None:
    busy.state = busy.replayed()
    busy.state.reconcile_workers(100.0, may_return=True)
    decision = busy.join("a", holds=())
    assert decision == Decision([BACK, ended(0, 1, None, False)], [Registered("a", "a.1")])
    assert busy.assign().orders == [Launch("a", "a.1", 0, 2)]


def test_a_second_hello_takes_nothing_back_that_may_be_on_its_way(busy: Scene) -> None:
    assert busy.join("a", holds=()) == Decision([], [Registered("a", "a.1")])
    assert busy.state.workers["a"].assigned == {0: 1}


def test_workers_that_ended_with_their_process_are_given_up_at_once(busy: Scene) -> None:
    busy.state = busy.replayed()
    decision = busy.state.reconcile_workers(100.0, may_return=False)
    reason = "it ended with the process that ran it"
    assert decision == Decision(
        [
            ended(0, 1, lost(reason), False),
            WorkerChanged("lost", WorkerInfo("a", "a.1"), reason),
        ],
        [],
    )


def test_attempt_numbers_go_on_rising_after_a_restart(busy: Scene) -> None:
    busy.tell(WorkerDied("a", "a.1"))
    busy.state = busy.replayed()
    busy.state.reconcile_workers(0.0, may_return=True)
    busy.join("a", life=2)
    assert busy.assign().orders == [Launch("a", "a.2", 0, 2)], "an attempt number was used twice"


# --------------------------------------------------------------------- back-off and choice


def test_the_first_loss_costs_no_time_and_later_ones_more_and_more_up_to_a_minute() -> None:
    waits = [backoff(losses, 60.0) for losses in (0, 1, 2, 3, 4, 8, 9, 1000)]
    assert waits == [0.0, 0.0, 1.0, 2.0, 4.0, 60.0, 60.0, 60.0]


def test_a_job_lost_twice_waits_and_then_is_handed_out(scene: Scene) -> None:
    scene.submit(0)
    for life in (1, 2):
        scene.join("a", life=life)
        scene.assign()
        scene.tell(WorkerDied("a", f"a.{life}"))
    scene.join("a", life=3)
    assert scene.assign() == Decision()
    assert (scene.state.occupied(0.0), scene.state.next_deadline()) == (0, 1.0)
    scene.submit(1)
    assert [order.job_id for order in scene.assign().orders] == [1], "it held up another job"
    scene.tick(1.0)
    assert scene.state.next_deadline() == 30.0, "back-off never ends: the loop would spin"
    scene.finish("a", 1, 1, life=3)
    assert [order.job_id for order in scene.assign().orders] == [0]


def test_a_job_goes_elsewhere_after_a_failure_if_there_is_an_elsewhere(busy: Scene) -> None:
    busy.join("b")
    busy.finish("a", 0, 1, CRASH)
    assert busy.assign().orders == [Launch("b", "b.1", 0, 2)]
    busy.tell(WorkerLeft("a", "a.1"))
    busy.finish("b", 0, 2, CRASH)
    assert busy.assign().orders == [Launch("b", "b.1", 0, 3)], "a preference became a rule"


def test_a_job_that_crashed_waits_for_another_worker_and_holds_up_nobody(busy: Scene) -> None:
    busy.join("b")
    busy.submit(1, 2)
    busy.assign()
    assert busy.state.occupied(0.0) == 3
    busy.finish("a", 0, 1, CRASH)
    assert list(busy.state.jobs.queue) == [0, 2]
    assert busy.state.occupied(0.0) == 2, "no other job is asked for while that one waits"
    assert busy.assign().orders == [Launch("a", "a.1", 2, 1)]
    busy.finish("b", 1, 1)
    assert busy.assign().orders == [Launch("b", "b.1", 0, 2)]


def test_a_job_that_was_lost_may_go_where_it_was(busy: Scene) -> None:
    busy.join("b")
    busy.submit(1)
    busy.assign()
    busy.tick(29.0)
    busy.seen("b")
    busy.tick(30.0)
    busy.join("a")
    assert busy.assign().orders == [Launch("a", "a.1", 0, 2)]


def test_the_place_of_a_late_crash_is_avoided_too(busy: Scene) -> None:
    busy.tick(31.0)
    busy.join("a", life=2)
    busy.join("b")
    busy.finish("a", 0, 1, CRASH, life=1)
    assert busy.assign().orders == [Launch("b", "b.1", 0, 2)]


# --------------------------------------------------------------------- quarantine


def doing_well_beside(scene: Scene, slots: int) -> None:
    """Worker b succeeded with job 99; worker a runs jobs 0 .. slots - 1."""
    scene.join("b")
    scene.submit(99)
    scene.assign()
    scene.finish("b", 99, 1)
    scene.join("a", slots=slots)
    scene.submit(98, worker="b")
    scene.submit(*range(slots))
    scene.assign()


def test_a_worker_on_which_all_crashes_is_put_aside_and_its_jobs_are_forgiven(scene: Scene) -> None:
    doing_well_beside(scene, slots=3)
    for job_id in (0, 1):
        assert len(scene.finish("a", job_id, 1, CRASH).records) == 1
    decision = scene.finish("a", 2, 1, CRASH)
    info, reason = WorkerInfo("a", "a.1", slots=3), "3 different jobs in a row crashed here"
    assert decision.records == [
        told(2, 1, CRASH, final=False),
        WorkerChanged("quarantined", info, reason, [0, 1, 2]),
    ]
    assert decision.orders[0] == ShutDown("a", "a.1", drain=True, reason=reason)
    assert [scene.state.jobs[job_id].failed[FailureKind.CRASH] for job_id in range(3)] == [0, 0, 0]
    assert scene.assign() == Decision(), "work for a worker that was put aside"
    replayed = scene.replayed()
    assert replayed.workers["a"].draining
    assert replayed.jobs == scene.state.jobs


def test_a_worker_on_which_all_crashes_kills_no_job_while_the_others_are_busy(scene: Scene) -> None:
    doing_well_beside(scene, slots=1)
    for job_id in range(1, 3):
        scene.submit(job_id)
    for job_id in range(3):
        scene.finish("a", job_id, 1, CRASH)
        scene.assign()
    assert scene.records[-1].state == "quarantined"
    assert [scene.job(job_id) for job_id in range(3)] == [JobState.QUEUED] * 3


def test_what_still_crashes_there_afterwards_is_forgiven_no_second_time(scene: Scene) -> None:
    doing_well_beside(scene, slots=4)
    for job_id in range(3):
        scene.finish("a", job_id, 1, CRASH)
    assert len(scene.finish("a", 3, 1, CRASH).records) == 1
    crashes = [scene.state.jobs[job_id].failed[FailureKind.CRASH] for job_id in range(4)]
    assert crashes == [0, 0, 0, 1], "a crash was forgiven twice"


def test_crashes_everywhere_are_the_jobs_fault_and_quarantine_nobody(scene: Scene) -> None:
    scene.join("a", slots=3)
    scene.submit(0, 1, 2)
    scene.assign()
    for job_id in range(3):
        assert len(scene.finish("a", job_id, 1, CRASH).records) == 1
    assert scene.state.workers["a"].available


def test_a_success_between_crashes_clears_a_worker(scene: Scene) -> None:
    doing_well_beside(scene, slots=4)
    for job_id, outcome in enumerate([CRASH, CRASH, RAISED, CRASH]):
        assert len(scene.finish("a", job_id, 1, outcome).records) == 1
    assert scene.state.workers["a"].available


# --------------------------------------------------------------------- taking back


def test_a_released_attempt_goes_first_in_line_and_counts_against_nobody(busy: Scene) -> None:
    busy.submit(1)
    released = AttemptReleased("a", "a.1", 0, 1, "preempted")
    assert busy.tell(released) == Decision([ended(0, 1, None, False)], [])
    assert (list(busy.state.jobs.queue), +busy.state.jobs[0].failed) == ([0, 1], {})
    assert busy.tell(released) == Decision()


def test_a_late_release_does_not_take_a_newer_attempt_away(busy: Scene) -> None:
    released = AttemptReleased("a", "a.1", 0, 1)
    busy.tell(released)
    busy.assign()
    assert busy.tell(released) == Decision(), "a newer attempt was taken back"
    assert busy.state.workers["a"].assigned == {0: 2}


def test_what_waits_behind_others_is_asked_back_once_for_each_idle_slot(scene: Scene) -> None:
    scene.join("a", prefetch=2)
    scene.submit(0, 1, 2)
    scene.assign()
    assert scene.state.recall() == Decision()
    scene.join("b")
    assert scene.state.recall().orders == [Recall("a", "a.1", 2, 1)]
    assert scene.state.recall() == Decision(), "asked twice for one slot"
    scene.tell(AttemptReleased("a", "a.1", 2, 1, "recalled"))
    assert scene.assign().orders == [Launch("b", "b.1", 2, 2)]


def test_what_no_idle_worker_may_run_is_left_where_it_waits(scene: Scene) -> None:
    scene.join("a")
    scene.submit(0, 1)
    scene.assign()
    scene.join("b", prefetch=1)
    scene.assign()
    scene.finish("a", 0, 1, CRASH)
    assert scene.assign().orders == [Launch("b", "b.1", 0, 2)]
    assert scene.state.recall() == Decision(), "it would come back to b again and again"


def test_workers_that_are_not_taken_get_only_what_is_bound_to_them(scene: Scene) -> None:
    scene.state.workers.policy = NotOnA()
    scene.join("a")
    scene.submit(0)
    scene.submit(1, worker="a")
    assert scene.assign().orders == [Launch("a", "a.1", 1, 1)]
    scene.join("b", prefetch=1)
    scene.submit(2)
    assert scene.assign().orders == [Launch("b", "b.1", 0, 1), Launch("b", "b.1", 2, 1)]
    scene.finish("a", 1, 1)
    assert scene.state.recall() == Decision(), "the idle one may not run it"


def test_the_policy_of_the_jobs_chooses_between_workers_that_are_equal(scene: Scene) -> None:
    scene.state.workers.policy = NotOnA()
    for name in "abc":
        scene.join(name)
    scene.submit(0, 1)
    assert scene.assign().orders == [Launch("c", "c.1", 0, 1), Launch("b", "b.1", 1, 1)]


def test_the_policy_of_the_jobs_says_how_often_each_is_tried(scene: Scene) -> None:
    scene.state.workers.policy = NotOnA()
    scene.join("b", slots=2)
    scene.submit(0, 1)
    scene.assign()
    for job_id in (0, 1):
        scene.finish("b", job_id, 1, Failure(FailureKind.EXCEPTION, "why"))
    assert (scene.job(0), scene.job(1)) == (JobState.FAILED, JobState.QUEUED)


def test_before_a_drain_all_that_waits_is_asked_back_and_nothing_that_runs(scene: Scene) -> None:
    scene.join("a", prefetch=2)
    scene.submit(0, 1, 2)
    scene.assign()
    orders = scene.state.recall(everything=True).orders
    assert orders == [Recall("a", "a.1", 2, 1), Recall("a", "a.1", 1, 1)]


def test_cancelling_a_running_job_settles_it_and_stops_the_worker(busy: Scene) -> None:
    failure = Failure(FailureKind.CANCELLED, "not wanted")
    decision = busy.state.cancel(0, "not wanted")
    assert decision == Decision([ended(0, 1, failure, True)], [Cancel("a", "a.1", 0, 1)])
    assert busy.job() is JobState.CANCELLED
    busy.submit(1)
    assert busy.assign() == Decision(), "the worker is not free before it said so"
    assert busy.tell(AttemptReleased("a", "a.1", 0, 1)) == Decision()
    assert busy.assign().orders == [Launch("a", "a.1", 1, 1)]


def test_cancelling_a_queued_job_takes_it_out_of_the_line(scene: Scene) -> None:
    scene.submit(0)
    failure = Failure(FailureKind.CANCELLED, "no")
    assert scene.state.cancel(0, "no") == Decision([AttemptEnded(0, 0, "", failure)], [])
    assert list(scene.state.jobs.queue) == []
    assert scene.state.cancel(0, "again") == Decision(), "a settled job was settled again"


def test_withdrawing_cancels_at_the_workers_and_queues_their_jobs(busy: Scene) -> None:
    assert busy.state.withdraw() == Decision([ended(0, 1, None, False)], [Cancel("a", "a.1", 0, 1)])
    assert (busy.job(), busy.state.workers.running, busy.state.occupied(0.0)) == (
        JobState.QUEUED,
        0,
        2,
    )


def test_dismissed_workers_get_nothing_more(scene: Scene) -> None:
    scene.join("a")
    scene.join("b")
    scene.submit(0, 1)
    decision = scene.state.shut_down_workers(drain=True, reason="done", worker_id="a")
    assert decision.orders == [ShutDown("a", "a.1", drain=True, reason="done")]
    assert [order.worker_id for order in scene.assign().orders] == ["b"]
    assert len(scene.state.shut_down_workers(drain=False, reason="done").orders) == 2


# --------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    "record",
    [
        JobCreated(Job(0, 0, 1.0)),
        AttemptStarted(0, 2, "a"),
        AttemptStarted(7, 1, "a"),
        AttemptEnded(0, 2, "a", GOOD),
        AttemptEnded(7, 1, "a", GOOD),
    ],
    ids=repr,
)
def test_a_record_that_cannot_follow_is_a_bug_and_said_so(busy: Scene, record: Record) -> None:
    with pytest.raises(StateError, match=r"never created|twice|cannot"):
        busy.state.apply(record)


def test_an_attempt_number_that_falls_is_a_bug_and_said_so(busy: Scene) -> None:
    busy.tell(AttemptReleased("a", "a.1", 0, 1))
    busy.assign()
    busy.tell(AttemptReleased("a", "a.1", 0, 2))
    with pytest.raises(StateError, match=r"started .attempt 1. cannot follow"):
        busy.state.apply(AttemptStarted(0, 1, "a"))
