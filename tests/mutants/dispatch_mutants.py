"""Mutants of the job and worker tables, retries and assignment."""

from __future__ import annotations

from edits import drop, swap
from mutation import mutant
from places import (
    ASSIGNMENT,
    DISPATCH,
    DISPATCH_MACHINE,
    DISPATCH_TESTS,
    EVENT_HANDLER,
    JOB_TABLE,
    RETRY,
    RUN_TESTS,
)

STALE = DISPATCH_TESTS + "test_a_result_of_an_earlier_attempt_is_acknowledged_and_not_counted"

TABLE_MUTANTS = (
    mutant(
        "no fence: a stale attempt's result is accepted",
        JOB_TABLE.change(
            "JobEntry.is_current",
            swap("attempt == self.attempt != self.answered", "attempt != self.answered"),
        ),
        JOB_TABLE.change("JobTable.end", swap("record.attempt != entry.attempt", "False")),
        killed_by=STALE,
        says="stale result counted",
    ),
    mutant(
        "a settled job's result is recorded again",
        JOB_TABLE.change(
            "JobEntry.is_current",
            swap("not self.state.settled and ...", "attempt == self.attempt != 0"),
        ),
        JOB_TABLE.change(
            "JobTable._advance",
            swap(
                "JOB_TRANSITIONS.get(...)",
                "JOB_TRANSITIONS.get("
                "(JobState.RUNNING if entry.state.settled else entry.state, event))",
            ),
        ),
        killed_by=DISPATCH_TESTS + "test_a_repeated_result_counts_once_and_is_acknowledged_again",
        says="one attempt counted twice",
    ),
    mutant(
        "a crash that is reported twice counts twice",
        JOB_TABLE.change(
            "JobEntry.is_current",
            swap("attempt == self.attempt != self.answered", "attempt == self.attempt"),
        ),
        killed_by=DISPATCH_TESTS
        + "test_a_crash_that_was_recorded_before_a_restart_is_not_counted_again",
    ),
    mutant(
        "a lost worker's job is not queued again",
        JOB_TABLE.change("JobTable.end", drop("self.queue.appendleft(...)")),
        killed_by=DISPATCH_MACHINE,
    ),
)

RETRY_MUTANTS = (
    mutant(
        "one counter for crashes and losses",
        RETRY.change("retry_decision", swap("before[outcome.kind]", "sum(before.values())")),
        killed_by=DISPATCH_TESTS + "test_crashes_and_losses_are_counted_apart",
        says="a loss counted as a crash",
        quick=True,
    ),
    mutant(
        "an exception is retried as if it were a loss",
        RETRY.change("retry_decision", swap("retry.exceptions + 1", "retry.max_losses")),
        killed_by=DISPATCH_TESTS + "test_a_failure_that_is_not_retried_settles_the_job",
    ),
    mutant(
        "back-off never ends",
        DISPATCH.change("DispatchState.tick", swap("at <= now", "False")),
        killed_by=RUN_TESTS + "test_workers_that_die_all_the_time_slow_the_run_and_do_not_stop_it",
        says="the loop spins",
    ),
    mutant(
        "crashes are forgiven again and again",
        EVENT_HANDLER.change(
            "EventHandler._check_quarantine", drop("worker.crashed_in_a_row.clear()", nth=2, of=2)
        ),
        killed_by=DISPATCH_TESTS
        + "test_what_still_crashes_there_afterwards_is_forgiven_no_second_time",
    ),
)

ASSIGNMENT_MUTANTS = (
    mutant(
        "jobs pinned to one worker hide what others could run",
        DISPATCH.change(
            "DispatchState.assign",
            swap(
                "while not self.paused and self.jobs.queue and self.workers.free and "
                "self._assign(now): ...",
                "if not self.paused: self._assign(now)",
            ),
        ),
        killed_by=DISPATCH_TESTS
        + "test_many_jobs_pinned_to_one_worker_do_not_hide_work_for_others",
        says="idle beside work",
    ),
    mutant(
        "the worker that just failed is forbidden, not avoided",
        ASSIGNMENT.change(
            "choose_worker",
            swap("worker.room <= 0", "worker.room <= 0 or worker_id == entry.avoid"),
        ),
        killed_by=DISPATCH_TESTS
        + "test_a_job_goes_elsewhere_after_a_failure_if_there_is_an_elsewhere",
        says="a preference became a rule",
    ),
)

DISPATCH_MUTANTS = (*TABLE_MUTANTS, *RETRY_MUTANTS, *ASSIGNMENT_MUTANTS)
