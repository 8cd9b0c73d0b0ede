"""What people see while a search goes on."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    JobCreated,
    Record,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, Job, Success, Trial, WorkerInfo
from hpdist.core.results import progress_lines, text_format
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.progress_display import (
    LiveProgress,
    LogProgress,
    Progress,
    make_progress,
)
from hpdist.core.results.run_state import RunState
from hpdist.multi_fidelity import Asha, Hyperband, IterGenerator, SingleFidelity

EVIL = "\x1b[2J\x07red\r\nherring\u202e"
BEGIN = 1000.0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


def opening(limits: Limits | None = None) -> list[Record]:
    limits = limits or Limits(n_iterations=3)
    return [
        RunCreated(1, "r", limits=vars(limits)),
        RunResumed(1),
        WorkerChanged("joined", WorkerInfo("w", "1")),
    ]


def evaluated(job_id: int, outcome: Success | Failure, budget: float = 1.0) -> list[Record]:
    trial = Trial(job_id, (0, 0, job_id), {"x": 0.5, "name": EVIL})
    job = Job(job_id, job_id, budget)
    return [
        JobCreated(job, trial),
        AttemptStarted(job_id, 1, "w"),
        AttemptEnded(job_id, 1, "w", outcome),
    ]


def stamped(records: list[Record], at: float = BEGIN) -> list[tuple[float, Record]]:
    return [(at, record) for record in records]


def make(
    kind: type[Progress],
    stream: io.StringIO,
    clock: Callable[[], float],
    generator: IterGenerator | None = None,
) -> Progress:
    return kind(Path("runs/r"), Forecast(generator or Hyperband(1, 9)), stream, clock)


def start(
    progress: Progress, before: list[tuple[float, Record]], notes: Sequence[str] = ()
) -> None:
    state = RunState()
    state.update(before)
    progress.start(state, notes)


def follow(progress: Progress, fresh: list[tuple[float, Record]]) -> None:
    """Update the state and call the observers, as the loop does."""
    progress.state.update(fresh)
    for observer in progress.observers:
        observer(fresh)


# ------------------------------------------------------------------ as a log


def test_a_log_has_a_line_at_the_start_one_in_30_s_and_one_at_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = make(LogProgress, stream, clock)
    start(progress, stamped(opening()), ["found 1 finished"])
    for job_id in range(20):
        clock.now += 4.0
        follow(progress, stamped(evaluated(job_id, Success(float(job_id))), clock.now))
    follow(progress, stamped([RunEnded("finished")], clock.now))
    progress.end()
    first, *between, last = stream.getvalue().splitlines()
    assert first == (
        "hpdist: run runs/r; plan: 3 brackets, 22 evaluations, 78 budget units; found 1 finished"
    )
    assert len(between) == 2, "80 s passed"
    assert last.startswith("hpdist: finished: 20 evaluations; best 0 at budget 1 (config 0-0-0): ")
    assert last.endswith("; run directory: runs/r")


def test_a_line_shows_best_done_running_queued_failed_and_the_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = make(LogProgress, stream, clock)
    start(progress, stamped(opening()))
    follow(progress, stamped(evaluated(0, Success(0.25))))
    clock.now += 30.0
    fresh = [*evaluated(1, Failure(FailureKind.MEMORY, "too much")), *evaluated(2, Success(1.0))]
    follow(progress, stamped([*fresh[:-1]], clock.now))
    line = stream.getvalue().splitlines()[-1]
    for told in (
        r"done 2/22  running 1  queued 0  failed 1 \(1 memory\)  workers 1",
        r"best 0\.25 at budget 1 \(config 0-0-0\)",
        r"0:30 elapsed, about 19 min left",
        r"config 0-0-1 at budget 1: memory: too much",
    ):
        assert re.search(told, line), line


def test_a_failure_is_told_once() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = make(LogProgress, stream, clock)
    start(progress, stamped(opening()))
    for job_id, outcome in enumerate([Failure(FailureKind.CRASH, "died"), Success(1.0)]):
        clock.now += 30.0
        follow(progress, stamped(evaluated(job_id, outcome), clock.now))
    assert stream.getvalue().count("crash: died") == 1


def test_nothing_of_the_users_reaches_a_log_as_a_control_character() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = make(LogProgress, stream, clock)
    start(progress, stamped(opening()))
    clock.now += 30.0
    evil = Failure(FailureKind.EXCEPTION, f"ValueError: {EVIL}")
    fresh = [*evaluated(0, evil), *evaluated(1, Success(1.0)), RunEnded("stopped", EVIL)]
    follow(progress, stamped(fresh, clock.now))
    progress.end()
    assert all(c.isprintable() for line in stream.getvalue().split("\n") for c in line)
    assert "ValueError: \\x1b[2J\\x07red" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 3


def test_the_end_says_how_to_go_on_unless_the_search_has_finished() -> None:
    endings = {}
    for reason in ("finished", "stopped"):
        stream = io.StringIO()
        progress = make(LogProgress, stream, Clock())
        start(progress, stamped([*opening(), RunEnded(reason)]))
        progress.end()
        endings[reason] = stream.getvalue()
    assert "hpdist resume runs/r" in endings["stopped"]
    assert "hpdist resume" not in endings["finished"]
    assert "no evaluation succeeded" in endings["finished"]


def test_a_silent_progress_tells_notices_only() -> None:
    stream = io.StringIO()
    progress = make(Progress, stream, Clock())
    start(progress, stamped(opening()), ["found nothing"])
    follow(progress, stamped(evaluated(0, Success(1.0))))
    progress.notice("waiting")
    progress.end()
    assert stream.getvalue() == "hpdist: waiting\n"


class Reader(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, told: str) -> int:
        raise BrokenPipeError


def test_a_search_goes_on_when_nobody_reads_its_progress_any_more() -> None:
    progress = make(LogProgress, Reader(), Clock())
    start(progress, stamped(opening()))
    follow(progress, stamped(evaluated(0, Success(1.0))))
    progress.end()
    assert progress.state.evaluations == 1


# ------------------------------------------------------------------ on a terminal


def test_a_terminal_shows_the_board_and_in_the_end_the_best() -> None:
    stream, clock = Terminal(), Clock()
    progress = make(LiveProgress, stream, clock)
    start(progress, stamped(opening()), ["found 1 finished"])
    clock.now += 10.0
    fresh = [*evaluated(0, Success(0.25)), *evaluated(1, Failure(FailureKind.TIMEOUT, EVIL))]
    follow(progress, stamped(fresh, clock.now))
    progress.notice("waiting for the evaluations that run")
    follow(progress, stamped([RunEnded("finished")], clock.now))
    progress.end()
    shown = stream.getvalue()
    assert "hpdist: found 1 finished\n" in shown
    assert "done 2/22  running 0  queued 0  failed 1 (1 timeout)  workers 1" in shown
    assert "bracket 0  @1 2/9  @3 0/3  @9 0/1" in shown
    assert "waiting for the evaluations that run" in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert shown.splitlines()[-1] == "hpdist: run directory: runs/r"


def test_the_display_of_a_run_that_is_over_is_not_opened() -> None:
    stream = Terminal()
    progress = make(LiveProgress, stream, Clock())
    start(progress, stamped([*opening(), RunEnded("finished")]))
    progress.end()
    assert "\x1b" not in stream.getvalue()


def test_auto_is_a_display_on_a_terminal_and_a_log_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forecast = Forecast(SingleFidelity())
    monkeypatch.setenv("TERM", "xterm")
    assert type(make_progress("auto", Path("r"), forecast, Terminal())) is LiveProgress
    assert type(make_progress("auto", Path("r"), forecast, io.StringIO())) is LogProgress
    assert type(make_progress("log", Path("r"), forecast, Terminal())) is LogProgress
    assert type(make_progress("bar", Path("r"), forecast, io.StringIO())) is LiveProgress
    assert type(make_progress("none", Path("r"), forecast, Terminal())) is Progress
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress("auto", Path("r"), forecast, Terminal())) is LogProgress


def test_another_mode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'loud' is unknown"):
        make_progress("loud", Path("r"), Forecast(SingleFidelity()))


SCRIPT = """
import sys, time, hpdist
def objective(config):
    time.sleep(0.02)
    print("printed by the objective")
    return config["x"]
hpdist.minimize(objective, {"x": (0.0, 1.0)}, n_trials=15, executor="serial", run=sys.argv[1])
"""


def test_a_real_terminal_shows_five_numbers_and_keeps_what_is_printed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    search = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "r")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(theirs)
    shown = read_all(ours)
    assert search.wait(timeout=30) == 0
    numbers = r"done \d+/15  running \d  queued \d  failed \d  workers 1"
    assert re.search(numbers, shown), shown
    assert re.search(r"best [0-9.e-]+ at budget 1", shown)
    assert re.search(r"elapsed, about \d+ s left", shown)
    assert shown.count("printed by the objective") == 15


@pytest.mark.slow
def test_in_a_file_there_are_no_control_codes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "r")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert b"\x1b" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert done.stdout == b"printed by the objective\n" * 15


def read_all(fd: int) -> str:
    parts = []
    try:
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError:
        pass  # how Linux says that the other end of a terminal is closed
    finally:
        os.close(fd)
    return b"".join(parts).decode()


# ------------------------------------------------------------------ forecasts and words


def forecast_of(
    records: list[Record], generator: IterGenerator, time_limit_s: float = float("inf")
) -> tuple[RunState, Forecast]:
    state, forecast = RunState(), Forecast(generator, time_limit_s)
    forecast.start(state)
    state.update(stamped(records))
    return state, forecast


def test_the_time_left_is_that_of_the_limit_that_is_reached_first() -> None:
    records = [*opening(Limits(n_trials=4, n_evaluations=40)), *evaluated(0, Success(1.0))]
    state, forecast = forecast_of(records, SingleFidelity())
    assert forecast.seconds_left(state, BEGIN + 10) == pytest.approx(30.0)
    state, forecast = forecast_of(records, SingleFidelity(), time_limit_s=25.0)
    assert forecast.seconds_left(state, BEGIN + 10) == pytest.approx(15.0)


def test_budgets_weigh_in_the_time_left() -> None:
    records = [*opening(), *evaluated(0, Success(1.0), budget=9.0)]
    state, forecast = forecast_of(records, Hyperband(1, 9))
    assert forecast.seconds_left(state, BEGIN + 9) == pytest.approx(78 - 9)


def test_costs_decide_where_the_cost_is_limited() -> None:
    records = [*opening(Limits(max_cost=10.0)), *evaluated(0, Success(1.0, cost=2.5))]
    state, forecast = forecast_of(records, Asha(1, 9))
    assert forecast.seconds_left(state, BEGIN + 10) == pytest.approx(30.0)
    assert forecast.evaluations(state.limits) is None


def test_what_was_done_in_an_earlier_session_does_not_speed_up_the_forecast() -> None:
    state, forecast = RunState(), Forecast(SingleFidelity())
    before = [*opening(Limits(n_trials=10)), *evaluated(0, Success(1.0))]
    state.update(stamped(before, BEGIN - 500))
    forecast.start(state)
    assert forecast.seconds_left(state, BEGIN) is None
    state.update(stamped([RunResumed(2), *evaluated(1, Success(1.0))]))
    assert forecast.seconds_left(state, BEGIN + 10) == pytest.approx(80.0)


def test_nothing_is_said_of_the_time_left_while_nothing_is_known() -> None:
    state, forecast = forecast_of(opening(), Asha(1, 9))
    assert progress_lines.times(state, forecast, BEGIN + 5) == "0:05 elapsed"
    assert progress_lines.plan(forecast, state.limits) == ""


def test_an_extended_search_has_more_evaluations_to_do() -> None:
    state, forecast = forecast_of(opening(Limits(n_iterations=1)), Hyperband(1, 9))
    assert forecast.evaluations(state.limits) == 13
    state.update(stamped([Controlled("extend", {"n_iterations": 3})]))
    assert forecast.evaluations(state.limits) == 22
    state.update(stamped([Controlled("extend", {"n_evaluations": 20})]))
    assert forecast.evaluations(state.limits) == 20


def test_a_single_budget_has_no_lines_for_brackets() -> None:
    records = [*opening(), *evaluated(0, Success(1.0))[:1]]
    assert progress_lines.brackets(*forecast_of(records, SingleFidelity())) == []


def test_what_was_found_is_said_by_state() -> None:
    counts = dict.fromkeys(JobState, 0) | {JobState.COMPLETED: 96}
    assert progress_lines.found(counts) == "found 96 finished"
    counts |= {JobState.RUNNING: 3, JobState.QUEUED: 1, JobState.FAILED: 2}
    said = (
        "found 96 finished, 4 interrupted (handed in by their workers, or run again), "
        "2 failed (kept, unless --retry-failed)"
    )
    assert progress_lines.found(counts) == said


@pytest.mark.parametrize(
    ("seconds", "elapsed", "left"),
    [
        (0.2, "0:00", "1 s"),
        (59.0, "0:59", "59 s"),
        (61.0, "1:01", "1 min"),
        (3600.0, "1:00:00", "1 h 00 min"),
        (7501.0, "2:05:01", "2 h 05 min"),
    ],
)
def test_durations_are_written_for_people(seconds: float, elapsed: str, left: str) -> None:
    assert text_format.duration(seconds) == elapsed
    assert text_format.rough_duration(seconds) == left


@pytest.mark.parametrize("most", [10, 200])
def test_clean_text_is_printable_and_short_enough(most: int) -> None:
    cleaned = text_format.clean(EVIL * 20, most)
    assert cleaned.isprintable()
    assert len(cleaned) == most
    assert text_format.clean("größer\tals") == "größer\\tals"
