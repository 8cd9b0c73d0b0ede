"""No objective, however badly it behaves, harms the worker or the attempt after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attempt_objectives
import psutil
import pytest
from attempt_objectives import family, poisoned
from processes import is_gone, wait_until

from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.model.events import AttemptResult
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.objective.objective import objective_of
from hpdist.testing.executors import payload_of


@pytest.fixture(scope="module")
def runner() -> Iterator[ChildRunner]:
    runner = ChildRunner(objective_of(poisoned))
    yield runner
    runner.close()


def take(runner: ChildRunner, poison: str) -> AttemptResult:
    result = runner.run(payload_of({"poison": poison}), (1, 1), on_report=lambda *report: None)
    assert result is not None
    return result


def assert_healthy(runner: ChildRunner) -> None:
    for _ in range(2):
        result = runner.run(payload_of({}), (2, 1))
        assert result is not None
        assert result.outcome == Success(1.0, info={"pid": runner.pid})
        assert result.output == ""


@pytest.mark.parametrize(
    ("poison", "kind", "message"),
    [
        ("segfault", FailureKind.CRASH, "killed by SIGSEGV (11)"),
        ("abort", FailureKind.CRASH, "killed by SIGABRT (6)"),
        ("sigkill", FailureKind.CRASH, "killed by SIGKILL (9)"),
        ("os._exit", FailureKind.CRASH, "exit code 3"),
        ("os._exit(0)", FailureKind.CRASH, "exit code 0"),
        ("fork_and_die", FailureKind.CRASH, "exit code 4"),
        ("close_everything", FailureKind.CRASH, "closed its pipe"),
        ("sys.exit", FailureKind.EXCEPTION, "SystemExit: enough"),
        ("recursion", FailureKind.EXCEPTION, "RecursionError"),
        ("memory_error", FailureKind.MEMORY, "no room for the batch"),
        ("none", FailureKind.INVALID, "NoneType"),
        ("text", FailureKind.INVALID, "'0.5'"),
        ("complex", FailureKind.INVALID, "complex"),
        ("nan", FailureKind.INVALID, "nan"),
        ("inf", FailureKind.INVALID, "inf"),
        ("deep", FailureKind.INVALID, "deeper"),
        ("large", FailureKind.INVALID, "larger"),
        ("many", FailureKind.INVALID, "values"),
        ("huge_int", FailureKind.INVALID, "bits"),
        ("bytes", FailureKind.INVALID, "info['raw']"),
        ("rubbish", FailureKind.INVALID, "pipe"),
        ("rubbish_depth", FailureKind.INVALID, "pipe"),
        ("oversized", FailureKind.INVALID, "pipe"),
        ("forged_kind", FailureKind.INVALID, "pipe"),
        ("forged_loss", FailureKind.INVALID, "pipe"),
        ("forged_shape", FailureKind.INVALID, "pipe"),
        ("forged_report", FailureKind.INVALID, "pipe"),
    ],
)
def test_a_poison_is_named_and_the_next_attempts_are_healthy(
    poison: str, kind: FailureKind, message: str
) -> None:
    runner = ChildRunner(objective_of(poisoned))
    try:
        outcome = take(runner, poison).outcome
        assert isinstance(outcome, Failure)
        assert outcome.kind is kind, outcome
        assert message in outcome.message
        assert len(outcome.message) < 2000
        assert_healthy(runner)
    finally:
        runner.close()


def test_a_crash_tells_where_in_python_it_happened(runner: ChildRunner) -> None:
    assert "attempt_objectives.py" in take(runner, "segfault").output
    assert_healthy(runner)


@pytest.mark.parametrize("poison", ["spin", "hold_interpreter_lock"])
def test_an_attempt_beyond_its_time_is_ended(poison: str) -> None:
    runner = ChildRunner(objective_of(poisoned), job_timeout=0.5)
    try:
        result = take(runner, poison)
        assert isinstance(result.outcome, Failure)
        assert result.outcome.kind is FailureKind.TIMEOUT
        assert "0.5 s" in result.outcome.message
        assert result.seconds >= 0.5
        assert_healthy(runner)
    finally:
        runner.close()


def test_a_forged_result_of_another_attempt_is_not_taken() -> None:
    runner = ChildRunner(objective_of(poisoned), job_timeout=0.5)
    try:
        outcome = take(runner, "forged_other").outcome
        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.TIMEOUT
    finally:
        runner.close()


def test_sigterm_is_followed_by_sigkill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpdist.core.attempt.child_attempt.GRACE_S", 0.3)
    runner = ChildRunner(objective_of(poisoned), job_timeout=0.3)
    try:
        result = take(runner, "catch_sigterm")
        assert isinstance(result.outcome, Failure)
        assert result.outcome.kind is FailureKind.TIMEOUT
        assert "saving" in result.output
        assert_healthy(runner)
    finally:
        runner.close()


def test_memory_beyond_the_limit_ends_the_attempt() -> None:
    runner = ChildRunner(objective_of(poisoned), memory_limit=200 * 2**20)
    try:
        outcome = take(runner, "memory").outcome
        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.MEMORY
        assert "200 MiB allowed" in outcome.message
        assert_healthy(runner)
    finally:
        runner.close()


def test_endless_output_neither_blocks_nor_piles_up(runner: ChildRunner) -> None:
    before = psutil.Process().memory_info().rss
    result = take(runner, "print_much")
    assert isinstance(result.outcome, Failure)  # it returned None
    assert result.outcome.kind is FailureKind.INVALID
    assert len(result.output) == 64 * 1024
    assert result.output.endswith("the very end\n")
    assert psutil.Process().memory_info().rss - before < 20 * 2**20
    assert_healthy(runner)


@pytest.mark.slow
@pytest.mark.parametrize("then", ["die", "hang"])
def test_grandchildren_end_with_the_attempt_that_made_them(tmp_path: Path, then: str) -> None:
    file = tmp_path / "pid"
    runner = ChildRunner(objective_of(family), job_timeout=2.0)
    try:
        result = runner.run(payload_of({"file": str(file), "then": then}), (1, 1))
        assert result is not None
        assert isinstance(result.outcome, Failure)
        wait_until(lambda: is_gone(int(file.read_text())))
    finally:
        runner.close()


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from attempt_objectives import Loaded, poisoned
from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.objective.objective import objective_of
from hpdist.testing.executors import payload_of
runner = ChildRunner(objective_of(poisoned))
runner.start()
print(runner.pid, flush=True)
runner.run(payload_of({"poison": sys.argv[2]}), (1, 1))
"""


@pytest.mark.parametrize("poison", ["hold_interpreter_lock", "spin"])
def test_a_child_does_not_outlive_a_parent_that_is_killed(poison: str) -> None:
    here = str(Path(attempt_objectives.__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, here, poison], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not is_gone(child)
        os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: is_gone(child))
