import json

import pytest

from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    JobCreated,
    ReportReceived,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, Job, Success, Trial, WorkerInfo
from hpdist.core.results.run_state import RunState
from hpdist.core.results.run_state_json import run_state_json
from hpdist.core.run.user_callbacks import ResultCallbacks

HEADER = RunCreated(1, "demo")


def state_of(*records, start=100.0):
    """Fold records that come one a second."""
    state = RunState()
    for second, record in enumerate(records):
        state.apply(start + second, record)
    return state


def created(job_id, budget=1.0, bracket=0, rung=0, trial_id=None):
    trial_id = job_id if trial_id is None else trial_id
    trial = Trial(trial_id, (bracket, rung, trial_id), {"x": trial_id})
    return JobCreated(Job(job_id, trial_id, budget, bracket, rung), trial)


def done(job_id, loss, cost=None, worker="w"):
    return AttemptEnded(job_id, 1, worker, Success(loss, cost, {"job": job_id}))


def failed(job_id, kind=FailureKind.EXCEPTION, final=True):
    return AttemptEnded(job_id, 1, "w", Failure(kind, "no"), final)


def joined(worker_id="w", state="joined", incarnation="i"):
    return WorkerChanged(state, WorkerInfo(worker_id, incarnation, slots=2))


def test_the_state_of_nothing_is_all_zero():
    state = RunState()
    assert state.best is None
    assert state.elapsed(10.0) == 0.0
    assert run_state_json(state)["counts"] == {state.value: 0 for state in JobState}


def test_jobs_are_counted_by_state_and_failures_by_kind():
    state = state_of(
        HEADER,
        *[created(job_id) for job_id in range(6)],
        AttemptStarted(1, 1, "w"),
        done(2, 0.5),
        failed(3),
        failed(4, FailureKind.LOST),
        failed(5, FailureKind.CANCELLED),
    )
    assert {each: n for each, n in state.counts.items() if n} == {
        JobState.QUEUED: 1,
        JobState.RUNNING: 1,
        JobState.COMPLETED: 1,
        JobState.FAILED: 2,
        JobState.CANCELLED: 1,
    }
    assert state.failures == {FailureKind.EXCEPTION: 1, FailureKind.LOST: 1}
    assert state.evaluations == 3


def test_an_attempt_that_is_not_final_puts_the_job_back_in_the_queue():
    state = state_of(created(0), AttemptStarted(0, 1, "w"), failed(0, final=False))
    assert state.counts[JobState.QUEUED] == 1
    assert state.counts[JobState.RUNNING] == 0
    assert not state.failures


def test_rungs_are_counted_apart():
    state = state_of(
        created(0, 1.0, 0, 0),
        created(1, 1.0, 0, 0),
        created(2, 3.0, 0, 1, trial_id=0),
        created(3, 3.0, 1, 0),
        AttemptStarted(2, 1, "w"),
        done(0, 0.5),
    )
    rungs = {place: (rung.budget, rung.created) for place, rung in state.rungs.items()}
    assert rungs == {(0, 0): (1.0, 2), (0, 1): (3.0, 1), (1, 0): (3.0, 1)}
    assert state.rungs[0, 0].counts[JobState.COMPLETED] == 1
    assert state.rungs[0, 1].counts[JobState.RUNNING] == 1


def test_workers_show_what_they_hold_and_have_done():
    state = state_of(
        joined(),
        created(0),
        created(1),
        AttemptStarted(0, 3, "w"),
        AttemptStarted(1, 1, "w"),
        done(1, 0.5),
    )
    assert state.workers["w"].holds == {0: 3}
    assert state.workers["w"].done == 1
    assert state.workers["w"].info.slots == 2


@pytest.mark.parametrize("state", ["left", "lost"])
def test_a_worker_that_is_gone_holds_nothing_and_may_come_back(state):
    records = [joined(), created(0), AttemptStarted(0, 1, "w"), done(0, 1.0), joined(state=state)]
    gone = state_of(*records)
    assert gone.workers["w"].state == state
    assert gone.workers["w"].holds == {}
    back = state_of(*records, joined(incarnation="j"))
    assert back.workers["w"].state == "joined"
    assert back.workers["w"].info.incarnation == "j"
    assert back.workers["w"].done == 1


def test_a_quarantined_worker_keeps_what_it_holds():
    state = state_of(joined(), created(0), AttemptStarted(0, 1, "w"), joined(state="quarantined"))
    assert state.workers["w"].holds == {0: 1}


def test_the_incumbent_is_the_best_loss_at_the_largest_budget_that_has_a_success():
    state = state_of(
        created(0),
        created(1),
        created(2, 3.0, rung=1, trial_id=1),
        created(3, 9.0, rung=2, trial_id=1),
        done(0, 0.1),
        done(1, 0.5),
        done(2, 0.4),
        failed(3),
    )
    assert (state.best.job_id, state.best.loss, state.best.budget) == (2, 0.4, 3.0)
    assert [incumbent.job_id for incumbent in state.incumbents] == [0, 2]


def test_among_equals_the_first_job_is_the_incumbent():
    early = state_of(created(0), created(1), done(0, 0.5), done(1, 0.5))
    late = state_of(created(0), created(1), done(1, 0.5), done(0, 0.5))
    assert early.best.job_id == late.best.job_id == 0


def test_a_maximized_run_keeps_the_users_sign():
    state = state_of(
        RunCreated(1, "demo", direction="maximize"),
        *[created(job_id) for job_id in range(3)],
        done(0, 0.5),
        done(1, 0.9),
        done(2, -7.0),
    )
    assert state.best.loss == 0.9
    assert [incumbent.loss for incumbent in state.incumbents] == [0.5, 0.9]


def test_the_trajectory_tells_time_evaluations_and_cost():
    state = state_of(
        created(0, 2.0), created(1, 2.0), created(2, 2.0), done(0, 0.5), failed(1), done(2, 0.3, 7)
    )
    told = [(one.at, one.evaluations, one.cost) for one in state.incumbents]
    assert told == [(3.0, 1, 2.0), (5.0, 3, 9.0)]
    assert state.best.config == {"x": 2}
    assert state.best.info == {"job": 2}


def test_the_clock_starts_anew_when_a_run_is_resumed_and_stops_at_its_end():
    first = [HEADER, RunResumed(1), RunEnded("stopped")]
    assert state_of(*first).elapsed(1000.0) == 1.0
    again = state_of(*first, RunResumed(2), created(0))
    assert again.ended is None
    assert again.elapsed(110.0) == 7.0
    assert again.first_at == 100.0
    assert state_of(*first, RunResumed(2), RunEnded("finished")).elapsed(1000.0) == 1.0


@pytest.mark.parametrize("command", ["retry", "extend"])
def test_a_run_that_is_extended_goes_on(command):
    assert state_of(RunEnded("finished")).ended.reason == "finished"
    assert state_of(RunEnded("finished"), Controlled(command, {"jobs": []})).ended is None


def test_pause_and_resume_are_seen():
    assert state_of(Controlled("pause")).paused
    assert not state_of(Controlled("pause"), Controlled("resume")).paused


def test_jobs_without_a_trial_or_a_known_worker_are_counted_as_well():
    state = state_of(
        JobCreated(Job(0, 4, 1.0)), AttemptStarted(0, 1, "x"), done(0, 0.5, worker="x")
    )
    assert state.best.config == {}
    assert state.best.trial_id == 4
    assert state.workers == {}


def test_reports_change_nothing_but_the_time():
    records = [created(0), AttemptStarted(0, 1, "w")]
    before = run_state_json(state_of(*records))
    after = run_state_json(state_of(*records, ReportReceived(0, 1, 1, 0.5)))
    assert after == before | {"last_at": 102.0}


def test_the_json_form_is_json_and_complete():
    state = state_of(
        HEADER,
        joined(),
        created(0),
        created(1, bracket=1),
        created(2),
        AttemptStarted(0, 1, "w"),
        done(1, 0.5),
        failed(2, FailureKind.TIMEOUT),
        RunEnded("stopped", "by hand"),
    )
    data = json.loads(json.dumps(run_state_json(state), allow_nan=False))
    assert data["run_id"] == "demo"
    assert data["counts"] == {
        "queued": 0,
        "running": 1,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert data["failures"] == {"timeout": 1}
    assert data["workers"][0]["holds"] == [[0, 1]]
    assert data["workers"][0]["worker_id"] == "w"
    assert [(rung["bracket"], rung["created"]) for rung in data["rungs"]] == [(0, 2), (1, 1)]
    assert data["incumbents"][-1]["loss"] == 0.5
    assert data["ended"] == {"reason": "stopped", "message": "by hand"}


def test_running_attempts_and_open_jobs_are_known():
    state = state_of(
        created(0),
        created(1),
        created(2),
        AttemptStarted(0, 2, "w"),
        AttemptStarted(1, 1, "v"),
        done(1, 0.5, worker="v"),
    )
    assert state.running == {0: ("w", 2)}
    assert state.open_job((0, 0, 0)) == 0
    assert state.open_job((0, 0, 1)) is None
    assert state.open_job((0, 0, 2)) == 2


def test_the_iterations_of_a_finished_run_are_those_it_was_extended_to():
    header = RunCreated(1, "demo", limits={"n_iterations": 0})
    first = [header, Controlled("extend", {"n_iterations": 2})]
    assert state_of(*first, RunEnded("stopped")).finished_iterations == 0
    first += [RunEnded("finished")]
    again = [*first, RunResumed(2), Controlled("extend", {"n_iterations": 5, "n_trials": 9})]
    for records in (first, again, [*again, RunEnded("stopped")]):
        assert state_of(*records).finished_iterations == 2
    ended = state_of(*again, RunEnded("finished"))
    assert ended.finished_iterations == 5
    assert ended.limits == Limits(n_iterations=5, n_trials=9)


def test_output_is_kept_where_it_is_wanted_and_given_to_callbacks_in_any_case():
    ended = AttemptEnded(0, 1, "w", Success(0.5), output="printed")
    for keeps in (True, False):
        state = RunState(keep_output=keeps)
        state.update([(0.0, created(0)), (1.0, ended)])
        assert state.evaluation(0).output == ("printed" if keeps else "")
        seen = []
        ResultCallbacks([seen.append, seen.append], state)([(1.0, ended)])
        assert [one.output for one in seen] == ["printed", "printed"]
