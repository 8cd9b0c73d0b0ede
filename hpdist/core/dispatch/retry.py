"""When to try a job again, and when to quarantine a worker: pure functions of what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from hpdist.core.dispatch.worker_table import WorkerEntry
from hpdist.core.model.limits_and_timing import Retry
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure

#: Different jobs that must crash in a row on one worker before it is quarantined.
QUARANTINE_AFTER = 3


def retry_decision(
    outcome: Failure, before: Counter[FailureKind], retry: Retry
) -> tuple[bool, Failure]:
    """Decide whether a failure settles its job, given the failures ``before`` by kind.

    Returns
    -------
    final
        False if the job is to be tried again.
    outcome
        The failure; if a limit was reached, its message mentions that.
    """
    if outcome.kind is FailureKind.CANCELLED:
        return True, outcome
    allowed = {
        FailureKind.CRASH: retry.max_crashes,
        FailureKind.LOST: retry.max_losses,
        FailureKind.EXCEPTION: retry.exceptions + 1,
        FailureKind.INVALID: retry.invalid + 1,
        FailureKind.TIMEOUT: retry.timeouts + 1,
        FailureKind.MEMORY: retry.memory + 1,
    }[outcome.kind]
    attempts = before[outcome.kind] + 1
    if attempts < allowed:
        return False, outcome
    if allowed > 1:
        message = f"{outcome.message} (given up after {attempts} such attempts)"
        return True, replace(outcome, message=message)
    return True, outcome


def backoff(losses: int, max_s: float) -> float:
    """Return the seconds before the next attempt: 0 after the first loss, then 1, 2, 4, ..."""
    if losses <= 1:
        return 0.0
    return float(min(max_s, 2.0 ** min(losses - 2, 30)))


def crashes_only_here(worker: WorkerEntry, workers: Iterable[WorkerEntry]) -> bool:
    """Whether jobs crash on this worker in a row, while another available worker succeeds."""
    if len(worker.crashed_in_a_row) < QUARANTINE_AFTER:
        return False
    return any(
        other.succeeded and not other.crashed_in_a_row and other.available
        for other in workers
        if other is not worker
    )
