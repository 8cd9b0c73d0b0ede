"""Whole runs of the production loop in simulated time: with and without faults, and resumed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.watermarks import QueueSizes
from hpdist.core.journal.memory_journal import MemoryJournal
from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, Record, RunEnded
from hpdist.core.model.limits_and_timing import Limits, Retry
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure
from hpdist.core.run.inbox import Stamped
from hpdist.core.run.loop import Loop
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Asha, Hyperband, IterGenerator, SuccessiveHalving
from hpdist.testing.simulate import (
    Faults,
    SimulatedCluster,
    SimulatedInbox,
    crashing,
    quadratic,
)

SPACE = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}
ROUGH = Faults(delay_s=0.5, lost=0.05, doubled=0.1, kill_every_s=60.0, freeze_every_s=80.0)


class Killed(Exception):
    """The master is gone, between two looks at its inbox."""


class MortalInbox(SimulatedInbox):
    """An inbox that kills its reader after so many looks."""

    looks = -1

    def take(self, until: float | None) -> list[Stamped]:
        self.looks -= 1
        if self.looks == 0:
            raise Killed
        return super().take(until)


def make_study(seed: int = 0, generator: IterGenerator | None = None) -> Study:
    return Study(SPACE, generator or Hyperband(1, 9, eta=3), seed=seed)


def play(
    study: Study, cluster: SimulatedCluster, inbox: SimulatedInbox, **options: object
) -> tuple[RunEnded, list[Record]]:
    journal = MemoryJournal()
    loop = Loop(study, DispatchState(Retry()), journal, cluster, inbox, **options)
    ended = loop.run()
    return ended, [record for _, record in journal.records]


def outcomes(records: list[Record]) -> Counter[int]:
    return Counter(r.job_id for r in records if isinstance(r, AttemptEnded) and r.final)


def check_finished(study: Study, records: list[Record]) -> None:
    """Each created job has exactly one outcome, and was told to the study."""
    created = [r.job.job_id for r in records if isinstance(r, JobCreated)]
    assert outcomes(records) == Counter(created)
    assert study.done
    assert len(study.table.jobs) == len(created)


def few_of(n: int, *, quick: int) -> list[Any]:
    """Seeds; all but the first few are for the long run of the tests."""
    return [*range(quick), *(pytest.param(k, marks=pytest.mark.slow) for k in range(quick, n))]


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("workers", [1, 5])
def test_a_quiet_cluster_evaluates_exactly_the_plan(workers: int, prefetch: int) -> None:
    study, inbox = make_study(), SimulatedInbox()
    cluster = SimulatedCluster(inbox, quadratic, workers=workers, prefetch=prefetch)
    ended, records = play(study, cluster, inbox)
    assert ended.reason == "finished"
    check_finished(study, records)
    assert len(study.table.jobs) == study.iter_generator.num_all_configs(3)
    assert len(cluster.started) == len(study.table.jobs), "something ran twice"


@pytest.mark.parametrize("seed", few_of(40, quick=8))
def test_a_rough_cluster_still_settles_every_job_once(seed: int) -> None:
    study, inbox = make_study(seed), SimulatedInbox()
    cluster = SimulatedCluster(
        inbox, quadratic, workers=4, prefetch=seed % 3, faults=ROUGH, seed=seed
    )
    ended, records = play(study, cluster, inbox)
    assert ended.reason == "finished"
    check_finished(study, records)
    lost = [e for e in study.table.jobs if isinstance(e.outcome, Failure)]
    assert not lost, "losing workers counted against a configuration"


@pytest.mark.parametrize("seed", few_of(10, quick=3))
def test_crashes_are_tried_again_and_then_fail_and_are_not_promoted(seed: int) -> None:
    study, inbox = make_study(seed), SimulatedInbox()
    faults = Faults(doubled=0.3)
    cluster = SimulatedCluster(inbox, crashing(0.7), workers=4, faults=faults, seed=seed)
    _, records = play(study, cluster, inbox)
    check_finished(study, records)
    for entry in study.table.jobs:
        if isinstance(entry.outcome, Failure):
            assert entry.outcome.kind is FailureKind.CRASH
            # More than three where crashes on one worker were forgiven.
            assert entry.attempt >= 3, "an attempt was counted twice"
    failed = {
        (entry.job.trial_id, entry.job.rung)
        for entry in study.table.jobs
        if isinstance(entry.outcome, Failure)
    }
    evaluated = {(entry.job.trial_id, entry.job.rung - 1) for entry in study.table.jobs}
    assert failed, "nothing failed: this shows nothing"
    assert not failed & evaluated, "a failed configuration was promoted"


@pytest.mark.parametrize("seed", few_of(10, quick=3))
def test_workers_that_die_all_the_time_slow_the_run_and_do_not_stop_it(seed: int) -> None:
    study, inbox = make_study(seed), SimulatedInbox()
    faults = Faults(delay_s=0.2, kill_every_s=4.0)
    cluster = SimulatedCluster(inbox, quadratic, workers=4, faults=faults, seed=seed)
    ended, records = play(study, cluster, inbox)
    assert ended.reason == "finished"
    check_finished(study, records)


@pytest.mark.parametrize("generator", [Asha(1, 27), Hyperband(1, 9)])
def test_a_search_ends_when_its_trials_are_made_and_promoted(generator: IterGenerator) -> None:
    study, inbox = Study(SPACE, generator, limits=Limits(n_trials=20)), SimulatedInbox()
    ended, records = play(study, SimulatedCluster(inbox, quadratic, workers=3), inbox)
    assert ended.reason == "finished"
    check_finished(study, records)
    assert len(study.table.trials) == 20
    assert len(study.table.jobs) > 20, "nothing was promoted"


@pytest.mark.slow
@pytest.mark.parametrize("generator", [Asha(1, 27), SuccessiveHalving(1, 27), Hyperband(1, 27)])
def test_no_generator_leaves_workers_idle_beside_work(generator: IterGenerator) -> None:
    limits = Limits(n_evaluations=150)
    study = Study(SPACE, generator, limits=limits)
    inbox = SimulatedInbox()
    cluster = SimulatedCluster(inbox, quadratic, workers=8)
    _, records = play(study, cluster, inbox)
    check_finished(study, records)
    cost = sum(entry.job.budget for entry in study.table.jobs)
    assert inbox.now() < 3.0 * cost / 8 + 120.0


def resume_until_done(seed: int, faults: Faults, workers: int) -> tuple[Study, list[Record], int]:
    """Kill the master after every few looks; let the next one go on from the journal."""
    inbox = MortalInbox()
    cluster = SimulatedCluster(inbox, quadratic, workers=workers, faults=faults, seed=seed)
    durable: list[Record] = []
    kills = 0
    while True:
        study, dispatch = make_study(seed), DispatchState(Retry())
        for record in durable:
            study.apply(record)
            dispatch.apply(record)
        journal = SyncedJournal(durable)
        inbox.looks = 1 + int(cluster.rng.integers(1, 20))
        try:
            Loop(study, dispatch, journal, cluster, inbox).run()
        except Killed:
            kills += 1
            inbox.forget()
            continue
        return study, durable, kills


class SyncedJournal:
    """Keeps only what was committed, as a disk does."""

    def __init__(self, durable: list[Record]) -> None:
        self.durable, self.buffer = durable, []

    def append(self, record: Record, at: float) -> None:
        if not (isinstance(record, RunEnded) and record.reason == "failed"):
            self.buffer.append(record)

    def commit(self) -> None:
        self.durable += self.buffer
        self.buffer = []


@pytest.mark.parametrize("seed", few_of(12, quick=3))
def test_a_master_killed_again_and_again_loses_and_repeats_nothing(seed: int) -> None:
    study, records, kills = resume_until_done(seed, Faults(delay_s=0.2), workers=3)
    assert kills > 0
    created = [r.job.job_id for r in records if isinstance(r, JobCreated)]
    assert outcomes(records) == Counter(created)
    starts = Counter(r.job_id for r in records if isinstance(r, AttemptStarted))
    ends = [r for r in records if isinstance(r, AttemptEnded) and not r.final]
    repeated = [r for r in ends if r.outcome is not None]
    assert not repeated, "an evaluation on a healthy worker was given up"
    assert sum(starts.values()) == len(created) + len(ends)
    assert study.done


@pytest.mark.parametrize("seed", few_of(12, quick=3))
def test_a_killed_master_and_a_rough_cluster_together(seed: int) -> None:
    study, records, _ = resume_until_done(seed, ROUGH, workers=3)
    created = [r.job.job_id for r in records if isinstance(r, JobCreated)]
    assert outcomes(records) == Counter(created)
    assert study.done


def test_a_resumed_run_proposes_what_the_log_holds_next() -> None:
    study, inbox = make_study(), SimulatedInbox()
    _, records = play(study, SimulatedCluster(inbox, quadratic, workers=3), inbox)
    replayed = make_study()
    for record in records:
        if isinstance(record, JobCreated):
            assert replayed.propose() == record
        replayed.apply(record)


def test_proposals_ahead_of_demand_say_what_they_knew() -> None:
    study, inbox = make_study(), SimulatedInbox()
    cluster = SimulatedCluster(inbox, quadratic, workers=2)
    _, records = play(study, cluster, inbox, queue_sizes=QueueSizes(0, 3))
    check_finished(study, records)
    queued = known = deepest = 0
    for record in records:
        queued += isinstance(record, JobCreated)
        queued -= isinstance(record, AttemptStarted)
        deepest = max(deepest, queued)
        if isinstance(record, JobCreated) and record.trial is not None:
            assert record.trial.config_info["as_of"] == known
        known += isinstance(record, AttemptEnded) and record.final
    assert 1 <= deepest <= 3


def test_time_runs_out_without_losing_what_runs() -> None:
    study, inbox = make_study(), SimulatedInbox()
    cluster = SimulatedCluster(inbox, quadratic, workers=2)
    ended, records = play(study, cluster, inbox, time_limit_s=20.0, grace_s=0.5)
    assert ended.reason == "time_limit"
    back = [r for r in records if isinstance(r, AttemptEnded) and r.outcome is None]
    assert all(not r.final for r in back)
    open_jobs = set(study.table.pending)
    assert open_jobs == {r.job_id for r in back}
    assert inbox.now() < 25.0


def test_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for _ in range(2):
        study, inbox = make_study(3), SimulatedInbox()
        cluster = SimulatedCluster(inbox, quadratic, workers=4, faults=ROUGH, seed=3)
        runs.append(play(study, cluster, inbox)[1])
    assert runs[0] == runs[1]
