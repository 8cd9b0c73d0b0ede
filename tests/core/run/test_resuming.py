"""Opening a run's journal: new, resumed, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpdist.core.journal.journal import Journal
from hpdist.core.model.errors import (
    ConfigurationError,
    JournalError,
    JournalLocked,
    JournalMismatch,
)
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    JobCreated,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, Success, WorkerInfo
from hpdist.core.run.definition import Search
from hpdist.core.run.resume import Opening, OpenRun, change_limits, header_arguments, open_run
from hpdist.core.space.space import Space
from hpdist.multi_fidelity import Hyperband

SPACE = {"x": (-1.0, 1.0)}
NOW = 1000.0


def search(**changes: Any) -> Search:
    space = Space.of(changes.pop("space", SPACE))
    return Search(**{"space": space, "iter_generator": Hyperband(1, 3), **changes})


def opened(path: Path, what: Search | None = None, **options: Any) -> OpenRun:
    what = what or search(limits=Limits(n_iterations=2))
    return open_run(path, what.make_study, Opening(**{"run_id": "r", "at": NOW, **options}))


def evaluate(run: OpenRun, outcomes: list[Success | Failure | None]) -> None:
    """Record an evaluation for each outcome; None leaves it running."""
    joined = WorkerChanged("joined", WorkerInfo("w", str(run.epoch)))
    write(run, joined)
    for outcome in outcomes:
        created = run.study.propose()
        assert created is not None
        write(run, created)
        write(run, AttemptStarted(created.job.job_id, 1, "w"))
        if outcome is not None:
            write(run, AttemptEnded(created.job.job_id, 1, "w", outcome))


def write(run: OpenRun, record: Any) -> None:
    run.study.apply(record)
    run.dispatch.apply(record)
    run.journal.append(record, NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal"


@pytest.fixture
def begun(path: Path) -> Path:
    """A run with two results, a failure, and an evaluation that was interrupted."""
    run = opened(path)
    run.announce(NOW)
    failure = Failure(FailureKind.EXCEPTION, "bad")
    evaluate(run, [Success(1.0), Success(0.5), failure, None])
    run.journal.close()
    return path


# ------------------------------------------------------------------ new and again


def test_a_new_run_begins_with_its_header(path: Path) -> None:
    run = opened(path, objective="f#1")
    run.announce(NOW)
    run.journal.close()
    (first, header), (second, resumed) = Journal.open(path).records
    assert first == second == NOW
    assert isinstance(header, RunCreated)
    assert (header.run_id, header.objective, header.limits["n_iterations"]) == ("r", "f#1", 2)
    assert {"python", "numpy", "hpdist", "ConfigSpace"} <= set(header.versions)
    assert isinstance(resumed, RunResumed)
    assert resumed.epoch == 1
    assert not run.resumed


def test_a_resumed_run_stands_where_it_stood(begun: Path) -> None:
    run = opened(begun)
    assert run.resumed
    assert run.epoch == 2
    expected = {JobState.COMPLETED: 2, JobState.FAILED: 1, JobState.RUNNING: 1}
    assert {state: n for state, n in run.state.counts.items() if n} == expected
    assert run.study.n_results == 3
    assert run.dispatch.jobs[3].state is JobState.RUNNING
    assert run.state.ended is None
    run.journal.close()


def test_a_resumed_run_proposes_what_the_former_one_would_have(begun: Path, path: Path) -> None:
    run = opened(begun)
    whole = opened(path.parent.with_name("whole") / "journal")
    failure = Failure(FailureKind.EXCEPTION, "bad")
    evaluate(whole, [Success(1.0), Success(0.5), failure, None])
    assert run.study.propose() == whole.study.propose()
    for each in (run, whole):
        each.journal.close()


def test_how_a_run_ended_is_known_when_it_is_opened_again(begun: Path) -> None:
    run = opened(begun)
    write(run, RunEnded("stopped", "interrupted"))
    run.journal.close()
    again = opened(begun)
    assert again.state.ended == RunEnded("stopped", "interrupted")
    again.journal.close()


def test_a_resumed_run_keeps_the_first_configurations_of_its_journal(path: Path) -> None:
    first = search(initial_configs=[{"x": 0.25}], limits=Limits(n_trials=5))
    opened(path, first).journal.close()
    other = search(initial_configs=[{"x": 0.75}], limits=Limits(n_trials=5))
    run = opened(path, other)
    created = run.study.propose()
    assert isinstance(created, JobCreated)
    assert created.trial is not None
    assert created.trial.config == {"x": 0.25}
    header = run.state.run
    assert isinstance(header, RunCreated)
    assert other.kept_from(header) == ["initial_configs"]
    assert header_arguments(header)["limits"] == Limits(n_trials=5)
    run.journal.close()


# ------------------------------------------------------------------ limits


def test_larger_limits_are_recorded_and_hold_after_the_next_resume(begun: Path) -> None:
    run = opened(begun)
    change_limits(run, Limits(n_trials=9), NOW)
    assert run.study.limits == Limits(n_trials=9)
    run.journal.close()
    again = opened(begun)
    assert again.study.limits == Limits(n_trials=9)
    assert isinstance(again.journal.records[-1][1], Controlled)
    again.journal.close()


def test_equal_limits_are_not_recorded(begun: Path) -> None:
    run = opened(begun)
    change_limits(run, Limits(n_iterations=2), NOW)
    run.journal.close()
    records = [record for _, record in Journal.open(begun).records]
    assert not [record for record in records if isinstance(record, Controlled)]


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"space": {"x": (-1.0, 2.0)}}, ["space differs", '-   "upper": 1.0', '+   "upper": 2.0']),
        ({"optimizer": "sobol"}, ["optimizer differs", "GaussianProcess", "Sobol"]),
        ({"seed": 3}, ["seed, optimizer differ", "-0", "+3"]),
        ({"direction": "maximize"}, ["direction differs", '-"minimize"', '+"maximize"']),
        ({"iter_generator": Hyperband(1, 9)}, ["iter_generator differs", "9.0"]),
    ],
)
def test_another_search_is_refused_and_the_difference_shown(
    begun: Path, change: dict[str, Any], lines: list[str]
) -> None:
    with pytest.raises(JournalMismatch) as refused:
        opened(begun, search(**change))
    for line in lines:
        assert line in str(refused.value)
    opened(begun).journal.close()


def test_another_objective_is_refused_unless_one_is_unknown(path: Path) -> None:
    opened(path, objective="f#1").journal.close()
    with pytest.raises(JournalMismatch, match="objective differs"):
        opened(path, objective="f#2")
    opened(path, objective="").journal.close()
    opened(path, objective="f#2", on_change="continue").journal.close()


@pytest.mark.parametrize("change", [{"space": {"x": (-1.0, 2.0)}}, {"direction": "maximize"}])
def test_what_results_mean_can_never_change(begun: Path, change: dict[str, Any]) -> None:
    with pytest.raises(JournalMismatch) as refused:
        opened(begun, search(**change), on_change="continue")
    assert "--on-change" not in str(refused.value)


def test_another_optimizer_may_go_on(begun: Path) -> None:
    run = opened(begun, search(optimizer="sobol"), on_change="continue")
    assert run.study.propose() is not None
    run.journal.close()


def test_a_generator_that_would_have_done_otherwise_cannot_go_on(path: Path) -> None:
    what = search(limits=Limits(n_iterations=1))
    run = opened(path, what)
    evaluate(run, [Success(float(n)) for n in range(4)])
    run.journal.close()
    wider = search(iter_generator=Hyperband(1, 27))
    with pytest.raises(JournalMismatch, match="would not have made"):
        opened(path, wider, on_change="continue")
    opened(path, what).journal.close()


def test_never_refuses_what_is_there_and_must_insists_on_it(begun: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds a run already"):
        opened(begun, resume="never")
    nowhere = tmp_path / "other" / "journal"
    with pytest.raises(ConfigurationError, match="no run to resume"):
        opened(nowhere, resume="must")
    assert not nowhere.parent.exists()
    opened(nowhere, resume="never").journal.close()
    opened(begun, resume="must").journal.close()


@pytest.mark.parametrize("option", [{"resume": "perhaps"}, {"on_change": "perhaps"}])
def test_an_unknown_word_is_refused(path: Path, option: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="got 'perhaps'"):
        opened(path, **option)
    assert not path.exists()


def test_a_run_that_is_open_is_locked(path: Path) -> None:
    run = opened(path)
    with pytest.raises(JournalLocked):
        opened(path)
    run.journal.close()
    opened(path).journal.close()


def test_a_run_that_was_refused_is_not_left_locked(begun: Path) -> None:
    for options in ({"resume": "never"}, {"resume": "never"}):
        with pytest.raises(ConfigurationError):
            opened(begun, **options)
    with pytest.raises(JournalMismatch):
        opened(begun, search(seed=9))
    opened(begun).journal.close()


def test_a_study_that_cannot_be_made_leaves_no_lock(path: Path) -> None:
    def fail(header: RunCreated | None) -> Any:
        raise ConfigurationError("no study")

    with pytest.raises(ConfigurationError, match="no study"):
        open_run(path, fail, Opening("r", NOW))
    opened(path).journal.close()


def test_a_journal_that_does_not_begin_with_a_header_is_refused(path: Path) -> None:
    path.parent.mkdir()
    journal = Journal.open(path)
    journal.append(RunEnded("finished"), NOW)
    journal.close()
    with pytest.raises(JournalError, match="does not start"):
        opened(path)
