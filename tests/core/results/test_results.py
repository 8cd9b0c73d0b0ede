import copy
import pickle
import subprocess
import sys
from contextlib import closing

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdist.core.journal.journal import Journal
from hpdist.core.model.errors import ConfigurationError, JournalDamaged, JournalError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    JobCreated,
    RunCreated,
    RunEnded,
    WorkerChanged,
)
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, Job, Success, Trial, WorkerInfo
from hpdist.core.results.observations import warm_start_observations
from hpdist.core.results.results import Results
from hpdist.core.results.results_frame import COLUMNS

START = 1_700_000_000.0
TRIALS = [
    Trial(0, (0, 0, 0), {"x": 0.5, "n": 3, "kind": "a"}, {"origin": "random"}),
    Trial(1, (0, 0, 1), {"x": 0.25, "kind": "b"}),
]
RECORDS = [
    RunCreated(1, "demo"),
    WorkerChanged("joined", WorkerInfo("w", "i")),
    JobCreated(Job(0, 0, 1.0), TRIALS[0]),
    JobCreated(Job(1, 1, 1.0), TRIALS[1]),
    AttemptStarted(0, 1, "w"),
    AttemptEnded(0, 1, "w", Failure(FailureKind.LOST, "gone"), final=False),
    AttemptStarted(0, 2, "w"),
    AttemptEnded(0, 2, "w", Success(0.75, 2.0, {"acc": 1}), seconds=0.5, output="hi"),
    AttemptStarted(1, 1, "w"),
    AttemptEnded(1, 1, "w", Failure(FailureKind.EXCEPTION, "ValueError: no", "Traceback")),
    JobCreated(Job(2, 0, 3.0, 0, 1)),
    AttemptStarted(2, 1, "w"),
    AttemptEnded(2, 1, "w", Success(0.5)),
    JobCreated(Job(3, 1, 1.0, retry_of=1)),
    AttemptEnded(3, 0, "", Failure(FailureKind.CANCELLED, "stopped")),
    RunEnded("stopped"),
]


def results_of(records=RECORDS, **how):
    entries = [(START + second, record) for second, record in enumerate(records)]
    return Results.from_records(entries, **how)


def write(path, records=RECORDS):
    path.parent.mkdir(exist_ok=True)
    with closing(Journal.open(path)) as journal:
        for second, record in enumerate(records):
            journal.append(record, START + second)
    return path


def test_an_evaluation_holds_all_that_the_journal_knows_of_it():
    first, second, third, fourth = results_of().evaluations
    assert (first.job_id, first.trial_id, first.config_id) == (0, 0, (0, 0, 0))
    assert first.config == TRIALS[0].config
    assert first.config_info == {"origin": "random"}
    assert (first.submitted, first.started, first.ended, first.seconds) == (2.0, 6.0, 7.0, 0.5)
    assert (first.state, first.attempts, first.worker) == (JobState.COMPLETED, 2, "w")
    assert (first.loss, first.cost, first.info, first.output) == (0.75, 2.0, {"acc": 1}, "hi")
    assert first.failure is None
    assert second.failure is FailureKind.EXCEPTION
    assert (second.message, second.traceback) == ("ValueError: no", "Traceback")
    assert second.loss is second.cost is None
    assert (third.budget, third.rung, third.config) == (3.0, 1, TRIALS[0].config)
    assert (fourth.state, fourth.retry_of) == (JobState.CANCELLED, 1)
    assert fourth.started is fourth.worker is None


def test_open_jobs_are_shown_as_they_stand():
    running = results_of(RECORDS[:5]).evaluations
    assert [one.state for one in running] == [JobState.RUNNING, JobState.QUEUED]
    again = results_of(RECORDS[:6]).evaluations
    assert again[0].state is JobState.QUEUED
    assert again[0].attempts == 1
    assert again[0].ended is None


def test_best_failures_and_reason():
    results = results_of()
    assert (results.best.trial_id, results.best.job_id, results.best.loss) == (0, 2, 0.5)
    assert results.best.config == TRIALS[0].config
    assert [one.job_id for one in results.incumbents] == [0, 2]
    assert [one.job_id for one in results.failures] == [1]
    assert (results.run_id, results.direction, results.reason) == ("demo", "minimize", "stopped")
    assert results.started_at == START


def test_a_run_directory_and_its_journal_read_the_same(tmp_path):
    journal = write(tmp_path / "run" / "journal")
    whole, file = Results.read(tmp_path / "run"), Results.read(str(journal))
    assert whole.evaluations == file.evaluations == results_of().evaluations
    assert whole.path == tmp_path / "run"
    assert file.path == journal


def test_a_run_that_is_going_on_can_be_read(tmp_path):
    path = tmp_path / "journal"
    with closing(Journal.open(path)) as journal:
        journal.append(RECORDS[0], START)
        journal.commit()
        assert Results.read(path).reason is None


def test_a_missing_or_damaged_journal_is_told(tmp_path):
    with pytest.raises(JournalError, match="journal"):
        Results.read(tmp_path)
    path = write(tmp_path / "journal")
    path.write_bytes(path.read_bytes().replace(b'"loss":0.75', b'"loss":0.05'))
    with pytest.raises(JournalDamaged, match="line 8"):
        Results.read(tmp_path)


@pytest.mark.parametrize("records", [[], RECORDS[:1], RECORDS[:4], [*RECORDS[:4], RECORDS[9]]])
def test_a_run_without_a_success_has_no_best(records):
    results = results_of(records)
    assert results.best is None
    assert results.incumbents == []
    assert "none: no evaluation succeeded" in repr(results)
    assert list(results.to_frame().columns[: len(COLUMNS)]) == list(COLUMNS)
    assert len(results.to_frame()) == len(results.evaluations)


def test_the_repr_shows_best_counts_failures_and_path():
    assert repr(results_of(path="runs/demo")).splitlines() == [
        "Results of run 'demo' (minimize), stopped",
        "  best      loss 0.5 at budget 3 (trial 0): x=0.5, n=3, kind='a'",
        "  jobs      2 completed, 1 failed, 1 cancelled",
        "  failures  1 exception",
        "  path      runs/demo",
    ]


# ------------------------------------------------------------------------- the table


def test_the_frame_has_the_documented_columns_and_one_row_an_evaluation():
    frame = results_of().to_frame()
    assert list(frame.columns) == [*COLUMNS, "config.x", "config.n", "config.kind"]
    assert list(frame["job_id"]) == [0, 1, 2, 3]
    assert list(frame["budget"]) == [1.0, 1.0, 3.0, 1.0]
    assert list(frame["state"]) == ["completed", "failed", "completed", "cancelled"]
    assert list(frame["failure"].fillna("")) == ["", "exception", "", "cancelled"]
    assert frame["loss"].dtype == frame["ended"].dtype == float
    assert frame.loc[0, "ended"] == 7.0


def test_an_int_stays_an_int_beside_configurations_that_lack_it():
    frame = results_of().to_frame()
    assert type(frame.loc[0, "config.n"]) is int
    assert frame["config.n"].isna().tolist() == [False, True, False, True]


def test_times_are_given_in_utc_when_asked_for():
    frame = results_of().to_frame(utc=True)
    assert frame.loc[0, "ended"] == pd.Timestamp(START + 7.0, unit="s", tz="UTC")
    assert pd.isna(frame.loc[3, "started"])


def test_what_is_returned_are_copies():
    results = results_of()
    before = results.to_frame()
    results.evaluations.clear()
    results.incumbents.clear()
    results.failures.clear()
    results.observations()[2]["config"].clear()
    results.best.config["x"] = "changed"
    pd.testing.assert_frame_equal(results.to_frame(), before)
    assert results.best is not None


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_results_can_be_copied_and_pickled(copied) -> None:
    results = results_of()
    again = copied(results)
    assert repr(again) == repr(results)
    assert again.evaluations == results.evaluations
    assert again.best == results.best


def test_evaluations_of_one_configuration_share_nothing():
    results = results_of()
    first, _, third, _ = results.evaluations
    first.config["budget"] = 1.0
    assert third.config == results.observations()[2]["config"] == TRIALS[0].config


value = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-1, 1), st.text("ab", max_size=2))
configs = st.dictionaries(st.sampled_from("xyz"), value, min_size=1, max_size=3)
outcomes = st.one_of(
    st.builds(Success, st.floats(-1e6, 1e6), st.one_of(st.none(), st.floats(0, 9))),
    st.builds(Failure, st.sampled_from(FailureKind), st.text(max_size=3)),
    st.none(),
)


@st.composite
def logs(draw):
    """Make a run's records, and what each job should look like: (config, budget, outcome)."""
    records, expected, trials = [RunCreated(1, "demo")], [], []
    for job_id in range(draw(st.integers(0, 8))):
        budget, outcome = draw(st.sampled_from([1.0, 3.0, 9.0])), draw(outcomes)
        trial_id = draw(st.integers(0, len(trials)))
        trial = None
        if trial_id == len(trials):
            trial = Trial(trial_id, (0, 0, trial_id), draw(configs))
            trials.append(trial)
        records.append(JobCreated(Job(job_id, trial_id, budget), trial))
        if outcome is not None:
            records += [AttemptStarted(job_id, 1, "w"), AttemptEnded(job_id, 1, "w", outcome)]
        expected.append((trials[trial_id].config, budget, outcome))
    return records, expected


@settings(max_examples=40, deadline=None)
@given(logs())
def test_rows_equal_the_log(log):
    records, expected = log
    results = results_of(records)
    frame = results.to_frame()
    names = {f"config.{name}" for config, _, _ in expected for name in config}
    assert set(frame.columns) == {*COLUMNS, *names}
    for row, (config, budget, outcome) in zip(frame.to_dict("records"), expected, strict=True):
        assert row["budget"] == budget
        for name in names:
            wanted = config.get(name.removeprefix("config."))
            assert pd.isna(row[name]) if wanted is None else row[name] == wanted
        if isinstance(outcome, Success):
            assert row["loss"] == outcome.loss
        else:
            assert pd.isna(row["loss"])
            assert (
                pd.isna(row["failure"]) if outcome is None else row["failure"] == outcome.kind.value
            )
    successes = [outcome.loss for _, _, outcome in expected if isinstance(outcome, Success)]
    assert (results.best is None) == (not successes)
    if results.best:
        top = max(b for _, b, outcome in expected if isinstance(outcome, Success))
        losses = [o.loss for _, b, o in expected if isinstance(o, Success) and b == top]
        assert (results.best.budget, results.best.loss) == (top, min(losses))
    assert warm_start_observations(frame) == results.observations()


# ------------------------------------------------------------------------- warm start


def test_observations_include_failures_and_leave_out_what_says_nothing():
    lost = [
        JobCreated(Job(4, 0, 1.0)),
        AttemptEnded(4, 20, "w", Failure(FailureKind.LOST, "gone")),
        JobCreated(Job(5, 0, 1.0)),
    ]
    assert results_of([*RECORDS, *lost]).observations() == [
        {"config": TRIALS[0].config, "budget": 1.0, "loss": 0.75},
        {"config": TRIALS[1].config, "budget": 1.0, "loss": None},
        {"config": TRIALS[0].config, "budget": 3.0, "loss": 0.5},
    ]


def test_a_warm_start_is_the_same_from_a_path_results_or_a_frame(tmp_path):
    write(tmp_path / "journal")
    results = results_of()
    wanted = results.observations()
    for source in (tmp_path, str(tmp_path / "journal"), results, results.to_frame()):
        assert warm_start_observations(source) == wanted


def test_a_warm_start_from_a_plain_table_needs_three_kinds_of_columns():
    frame = pd.DataFrame(
        {"config.x": [1, 2, 3], "budget": 1, "loss": [0.5, float("nan"), float("inf")]}
    )
    observations = warm_start_observations(frame)
    assert observations == [
        {"config": {"x": 1}, "budget": 1.0, "loss": 0.5},
        {"config": {"x": 2}, "budget": 1.0, "loss": None},
        {"config": {"x": 3}, "budget": 1.0, "loss": None},
    ]
    assert type(observations[0]["config"]["x"]) is int
    for column in frame.columns:
        with pytest.raises(ConfigurationError, match=r"config\.<name>"):
            warm_start_observations(frame.drop(columns=column))
    with pytest.raises(ConfigurationError, match="list"):
        warm_start_observations([1, 2])


def test_reading_results_needs_no_pandas():
    code = "import sys, hpdist.core.results.results; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_warm_start_from_the_other_direction_is_refused() -> None:
    records = [(0.0, RunCreated(format=1, run_id="r", direction="maximize"))]
    results = Results.from_records(records)
    assert warm_start_observations(results, "maximize") == []
    with pytest.raises(ConfigurationError, match="to minimize cannot start from run 'r'"):
        warm_start_observations(results, "minimize")
