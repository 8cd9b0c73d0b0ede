"""Mutants of what dispatch does with workers: their reports, their leases, a restart."""

from __future__ import annotations

from edits import always, at_start, drop, never, only_if, swap
from mutation import mutant
from places import DISPATCH, DISPATCH_TESTS, EVENT_HANDLER, RUN_TESTS, SWARM_TESTS

SWARM = SWARM_TESTS + "test_nothing_is_lost_doubled_or_stuck_in_any_mixture_of_faults[1]"
STALE = DISPATCH_TESTS + "test_a_result_of_an_earlier_attempt_is_acknowledged_and_not_counted"
CLOSED = DISPATCH_TESTS + "test_a_closed_connection_shortens_the_lease_and_takes_nothing"

REPORT_MUTANTS = (
    mutant(
        "a late release takes a newer attempt away",
        EVENT_HANDLER.change(
            "EventHandler._released",
            swap(
                "worker.assigned.get(event.job_id) == event.attempt",
                "event.job_id in worker.assigned",
            ),
            swap(
                "self._release(...)", "self._release(event.job_id, worker.assigned[event.job_id])"
            ),
        ),
        killed_by=DISPATCH_TESTS + "test_a_late_release_does_not_take_a_newer_attempt_away",
        says="a newer attempt was taken back",
        quick=True,
    ),
    mutant(
        "a stale result is not acknowledged, so its sender never stops",
        EVENT_HANDLER.change(
            "EventHandler._finished",
            only_if("entry and entry.attempt == result.attempt", "self._order(Acknowledge(...))"),
        ),
        killed_by=STALE,
        says="stale result counted",
    ),
    mutant(
        "an attempt thought lost is never taken up again",
        EVENT_HANDLER.change(
            "EventHandler._reconcile", never("entry and ... and entry.is_current(attempt)")
        ),
        killed_by=DISPATCH_TESTS + "test_a_worker_thought_lost_takes_its_attempt_up_again",
        says="healthy work was thrown away",
    ),
    mutant(
        "a closed connection ends the lease at once",
        EVENT_HANDLER.change(
            "EventHandler._disconnected",
            swap("min(worker.deadline, now + self.timing.closed_s)", "now"),
        ),
        killed_by=CLOSED,
        says="a hint was taken for a proof",
    ),
    mutant(
        "a closed connection may make a lease longer",
        EVENT_HANDLER.change(
            "EventHandler._disconnected",
            swap("min(worker.deadline, now + self.timing.closed_s)", "now + self.timing.closed_s"),
        ),
        killed_by=CLOSED,
        says="the lease was made longer",
    ),
)

RESTART_MUTANTS = (
    mutant(
        "attempt numbers are forgotten at a restart",
        DISPATCH.change(
            "DispatchState.reconcile_workers",
            at_start(
                "for entry in self.jobs.values():\n"
                "    entry.attempt *= entry.state.value != 'queued'"
            ),
        ),
        killed_by=DISPATCH_TESTS + "test_attempt_numbers_go_on_rising_after_a_restart",
        says="an attempt number was used twice",
    ),
    mutant(
        "after a restart the last attempt number is used again",
        DISPATCH.change(
            "DispatchState.reconcile_workers",
            at_start(
                "for entry in self.jobs.values():\n"
                "    entry.attempt -= entry.attempt > 1 and not entry.state.settled"
            ),
        ),
        killed_by=SWARM,
        says="acknowledged before it was durable",
    ),
    mutant(
        "a restarted master gives all workers up at once",
        DISPATCH.change("DispatchState.reconcile_workers", always("not may_return", nth=1, of=2)),
        killed_by=RUN_TESTS + "test_a_master_killed_again_and_again_loses_and_repeats_nothing",
        says="an evaluation on a healthy worker was given up",
    ),
    mutant(
        "a restarted master does not wait for the workers of before",
        DISPATCH.change(
            "DispatchState.reconcile_workers", swap("now + self.timing.lease_s", "now")
        ),
        killed_by=SWARM,
        says="was evaluated 2 times, not 1",
    ),
    mutant(
        "what a worker never got is thought to run on after a restart",
        EVENT_HANDLER.change("EventHandler._joined", drop("self._release(...)")),
        killed_by=DISPATCH_TESTS
        + "test_after_a_restart_what_the_worker_never_got_goes_back_at_nobodys_charge",
    ),
)

WORKER_MUTANTS = (*REPORT_MUTANTS, *RESTART_MUTANTS)
