"""What must hold whatever goes wrong, looked at from outside: the disk, the orders, the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from swarm_draw import Swarm
from swarm_parts import Touchy, book_state, make_study, study_state, true_loss

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.journal.format import scan
from hpdist.core.model.events import (
    Assignment,
    AttemptEnded,
    AttemptStarted,
    JobCreated,
    Record,
    WorkerChanged,
)
from hpdist.core.model.limits_and_timing import Retry
from hpdist.core.model.orders import (
    Acknowledge,
    Launch,
    Order,
)
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.run.recompute import recompute
from hpdist.core.study.study import Study
from hpdist.testing.simulate import SimulatedCluster
from hpdist.testing.simulated_disk import SimulatedDisk


class Violation(AssertionError):
    """Something that must never happen did."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


class Judge:
    """Follows what is durable on the disk, and compares each order with it."""

    def __init__(self, swarm: Swarm, disk: SimulatedDisk, path: Path) -> None:
        self.swarm, self.disk, self.path = swarm, disk, path
        self.launched: dict[Assignment, tuple[str, str]] = {}
        self._offset, self._line, self._crc = 0, 1, 0
        self._latest: dict[int, int] = {}
        self._started: set[tuple[int, int, str]] = set()
        self._answered: set[Assignment] = set()
        self._settled: set[int] = set()

    # ------------------------------------------------------------------ while it runs

    def look(self) -> None:
        """Take notice of what became durable."""
        data = self.disk.durable(self.path)
        demand(len(data) >= self._offset, "durable bytes are gone")
        found = scan(data[self._offset :], self._crc, self._line)
        self._offset += found.good_bytes
        self._line += len(found.records)
        self._crc = found.crc
        for _, record in found.records:
            self._note(record)

    def _note(self, record: Record) -> None:
        if isinstance(record, AttemptStarted):
            before = self._latest.get(record.job_id, 0)
            demand(record.attempt >= before, f"attempt numbers fell: {record}")
            self._latest[record.job_id] = record.attempt
            self._started.add((record.job_id, record.attempt, record.worker_id))
        elif isinstance(record, AttemptEnded) and record.outcome is not None:
            self._answered.add((record.job_id, record.attempt))
            if record.final:
                demand(record.job_id not in self._settled, f"a second outcome: {record}")
                self._settled.add(record.job_id)

    def orders(self, orders: Sequence[Order]) -> None:
        """Look at orders before they go out: each rests on what is durable."""
        self.look()
        for order in orders:
            if isinstance(order, Launch):
                self._launch(order)
            elif isinstance(order, Acknowledge):
                assignment = (order.job_id, order.attempt)
                known = assignment in self._answered or order.job_id in self._settled
                stale = order.attempt < self._latest.get(order.job_id, 0)
                promised = self.swarm.sync_every == 1
                durable = known or stale or not promised
                demand(durable, f"acknowledged before it was durable: {order}")

    def _launch(self, order: Launch) -> None:
        assignment = (order.job_id, order.attempt)
        receiver = (order.worker_id, order.incarnation)
        before = self.launched.setdefault(assignment, receiver)
        demand(before is receiver, f"handed out again: {order}, before to {before}")
        durable = (*assignment, order.worker_id) in self._started
        demand(durable, f"handed out before it was durable: {order}")

    # ------------------------------------------------------------------ at the end

    def end(
        self, records: list[Record], study: Study, book: DispatchState, cluster: SimulatedCluster
    ) -> None:
        """Judge the whole journal, and the state of the master that came to the end."""
        self.look()
        self._each_outcome_once(records, study)
        self._values(records)
        self._told_once(records, study)
        self._fold(records, study, book)
        if self.swarm.quiet:
            self._work_bound(records, cluster)

    def _each_outcome_once(self, records: list[Record], study: Study) -> None:
        created = Counter(r.job.job_id for r in records if isinstance(r, JobCreated))
        settled = Counter(r.job_id for r in records if isinstance(r, AttemptEnded) and r.final)
        demand(study.done, "the search is not done")
        demand(created == settled, f"created {created}, settled {settled}")
        demand(set(created.values()) <= {1}, f"created twice: {created}")
        demand(self._settled == set(settled), "an outcome is not durable at the end")

    def _values(self, records: list[Record]) -> None:
        configs = {r.trial.trial_id: r.trial.config for r in records if _new_trial(r)}
        jobs = {r.job.job_id: r.job for r in records if isinstance(r, JobCreated)}
        failed: Counter[tuple[int, FailureKind]] = Counter()
        for record in records:
            if isinstance(record, WorkerChanged):
                failed.subtract((job_id, FailureKind.CRASH) for job_id in record.forgiven)
            if not isinstance(record, AttemptEnded) or record.outcome is None:
                continue
            job, outcome = jobs[record.job_id], record.outcome
            if isinstance(outcome, Success):
                right = true_loss(configs[job.trial_id], job.budget)
                demand(outcome.loss == right, f"{record} of {job}: it should be {right}")
                continue
            failed[record.job_id, outcome.kind] += 1
            if record.final:
                self._failure_is_due(outcome, failed[record.job_id, outcome.kind])

    def _failure_is_due(self, outcome: Failure, times: int) -> None:
        least = {
            FailureKind.CRASH: Retry().max_crashes,
            FailureKind.LOST: Retry().max_losses,
            FailureKind.EXCEPTION: 1 if self.swarm.raises else 10**9,
            FailureKind.CANCELLED: 1 if "cancel" in self.swarm.told else 10**9,
        }[outcome.kind]
        demand(times >= least, f"given up after {times} times: {outcome}")

    def _told_once(self, records: list[Record], study: Study) -> None:
        jobs = {r.job.job_id: r.job for r in records if isinstance(r, JobCreated)}
        expected = [
            (jobs[r.job_id].trial_id, jobs[r.job_id].budget, _told(r))
            for r in records
            if isinstance(r, AttemptEnded)
            and r.final
            and not (isinstance(r.outcome, Failure) and not r.outcome.kind.counts)
        ]
        optimizer = study.optimizer
        assert isinstance(optimizer, Touchy)
        told = [(seen.trial_id, seen.budget, seen.loss) for seen in optimizer.told]
        demand(told == expected, f"the optimizer was told {told}, and not {expected}")

    def _fold(self, records: list[Record], study: Study, book: DispatchState) -> None:
        again, book_again = make_study(self.swarm), DispatchState(Retry())
        _, deviation = recompute(records, again)
        demand(deviation is None, f"another proposal than was recorded: {deviation}")
        for record in records:
            book_again.apply(record)
        demand(study_state(again) == study_state(study), "the study is not the journal's fold")
        demand(book_state(book_again) == book_state(book), "the book is not the journal's fold")

    def _work_bound(self, records: list[Record], cluster: SimulatedCluster) -> None:
        """No healthy worker evaluates anything twice because masters came and went."""
        failed = Counter(
            r.job_id for r in records if isinstance(r, AttemptEnded) and _is_retried(r)
        )
        for job_id, count in Counter(job_id for job_id, _ in cluster.started).items():
            allowed = 1 + failed[job_id]
            demand(count <= allowed, f"job {job_id} was evaluated {count} times, not {allowed}")


def _new_trial(record: Record) -> bool:
    return isinstance(record, JobCreated) and record.trial is not None


def _is_retried(record: AttemptEnded) -> bool:
    outcome = record.outcome
    crashed = isinstance(outcome, Failure) and outcome.kind is FailureKind.CRASH
    return crashed and not record.final


def _told(record: AttemptEnded) -> float:
    return record.outcome.loss if isinstance(record.outcome, Success) else float("inf")
