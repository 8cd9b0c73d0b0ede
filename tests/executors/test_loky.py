"""What the loky executor does beyond the contract: deaths, limits, the same search as others."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attempt_objectives
import pytest
from attempt_objectives import Loaded, poisoned, talkative
from processes import is_gone, wait_until

from hpdist import minimize
from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptResult
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.objective.objective import objective_of
from hpdist.executors.loky import LokyRunner
from hpdist.executors.loky_process import LokyProcess
from hpdist.testing.executors import payload_of


@pytest.fixture
def runner() -> Iterator[LokyRunner]:
    runner = LokyRunner(objective_of(poisoned))
    yield runner
    runner.close()


def take(runner: LokyRunner, poison: str) -> AttemptResult:
    result = runner.run(payload_of({"poison": poison}), (1, 1), on_report=lambda *report: None)
    assert result is not None
    return result


def assert_healthy(runner: LokyRunner) -> None:
    for _ in range(2):
        result = runner.run(payload_of({}), (2, 1))
        assert result is not None
        assert isinstance(result.outcome, Success)
        assert result.outcome.loss == 1.0
        assert result.outcome.info["pid"] != os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("poison", "kind", "message"),
    [
        ("segfault", FailureKind.CRASH, "killed by SIGSEGV (11)"),
        ("sigkill", FailureKind.CRASH, "killed by SIGKILL (9)"),
        ("os._exit", FailureKind.CRASH, "exit code 3"),
        ("os._exit(0)", FailureKind.CRASH, "exit code 0"),
        ("fork_and_die", FailureKind.CRASH, "exit code 4"),
        ("sys.exit", FailureKind.EXCEPTION, "SystemExit: enough"),
        ("memory_error", FailureKind.MEMORY, "no room for the batch"),
        ("none", FailureKind.INVALID, "NoneType"),
        ("nan", FailureKind.INVALID, "nan"),
        ("deep", FailureKind.INVALID, "deeper"),
        ("bytes", FailureKind.INVALID, "info['raw']"),
    ],
)
def test_a_poison_costs_one_attempt(
    runner: LokyRunner, poison: str, kind: FailureKind, message: str
) -> None:
    outcome = take(runner, poison).outcome
    assert isinstance(outcome, Failure)
    assert outcome.kind is kind, outcome
    assert message in outcome.message
    assert_healthy(runner)


@pytest.mark.parametrize("poison", ["spin", "catch_sigterm"])
@pytest.mark.slow
def test_an_attempt_beyond_its_time_is_ended(poison: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpdist.core.attempt.child_attempt.GRACE_S", 0.3)
    runner = LokyRunner(objective_of(poisoned), job_timeout=0.3)
    try:
        result = take(runner, poison)
        assert isinstance(result.outcome, Failure)
        assert result.outcome.kind is FailureKind.TIMEOUT
        assert result.seconds >= 0.3
        assert_healthy(runner)
    finally:
        runner.close()


@pytest.mark.slow
def test_memory_beyond_the_limit_ends_the_attempt() -> None:
    runner = LokyRunner(objective_of(poisoned), memory_limit=200 * 2**20)
    try:
        outcome = take(runner, "memory").outcome
        assert isinstance(outcome, Failure)
        assert (outcome.kind, "200 MiB allowed" in outcome.message) == (FailureKind.MEMORY, True)
        assert_healthy(runner)
    finally:
        runner.close()


@pytest.mark.parametrize("forge", ["a report", "an outcome"])
def test_what_an_objective_forges_is_an_invalid_result(forge: str) -> None:
    def forging(config: dict[str, Any]) -> float:
        from hpdist.core.attempt import child_main
        from hpdist.executors import loky_child

        if config.get("forge") == "a report":
            loky_child._server._parent.send({"report": "rubbish"})  # type: ignore[union-attr]
        elif config.get("forge") == "an outcome":
            child_main.outcome_to_json = lambda outcome: {"loss": "low"}  # type: ignore[assignment]
        return 1.0

    forger = LokyRunner(objective_of(forging))
    try:
        result = forger.run(payload_of({"forge": forge}), (1, 1), on_report=lambda *report: None)
        assert result is not None
        assert isinstance(result.outcome, Failure)
        assert result.outcome.kind is FailureKind.INVALID
        assert "pipe that only hpdist may use" in result.outcome.message
        healthy = forger.run(payload_of({}), (2, 1))
        assert healthy is not None
        assert healthy.outcome == Success(1.0)
    finally:
        forger.close()


def test_a_death_that_comes_as_a_wait_ends_is_a_crash(
    runner: LokyRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(process: LokyProcess, timeout: float) -> list[bytes]:
        messages = waits(process, timeout if process.pid == 0 else 0.0)
        if process.pid:
            concurrent.futures.wait([process._task])
        return messages

    waits = LokyProcess.wait
    monkeypatch.setattr(LokyProcess, "wait", late)
    outcome = take(runner, "os._exit").outcome
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CRASH
    assert_healthy(runner)


def test_a_process_that_ends_between_attempts_is_replaced(runner: LokyRunner) -> None:
    result = runner.run(payload_of({}), (1, 1))
    assert result is not None
    assert isinstance(result.outcome, Success)
    pid = result.outcome.info["pid"]
    os.kill(pid, signal.SIGKILL)
    child = runner._child
    assert child is not None
    wait_until(lambda: child.gone)  # a while after its first thread is gone
    assert_healthy(runner)


@pytest.mark.slow
def test_a_process_that_loky_ends_for_its_memory_is_replaced() -> None:
    def hoarding(config: dict[str, Any]) -> dict[str, Any]:
        import builtins
        import time

        builtins.hoard = [*getattr(builtins, "hoard", []), bytearray(400 * 2**20)]  # type: ignore[attr-defined]
        time.sleep(1.1)  # loky looks each second
        return {"loss": 1.0, "pid": os.getpid()}

    runner, pids = LokyRunner(objective_of(hoarding)), set()
    try:
        for number in range(3):
            result = runner.run(payload_of({}), (number, 1))
            assert result is not None
            if isinstance(result.outcome, Success):
                pids.add(result.outcome.info["pid"])
            else:  # the next attempt came just as it went
                assert result.outcome.kind is FailureKind.CRASH
        assert len(pids) > 1
    finally:
        runner.close()


@pytest.mark.parametrize("fault", ["raise", "die"])
def test_a_start_that_fails_says_why(fault: str) -> None:
    runner = LokyRunner(Loaded(fault))
    told = {"raise": r"(?s)data set is not there.*in build", "die": "while it was loaded"}[fault]
    try:
        with pytest.raises(ConfigurationError, match=told):
            runner.start()
    finally:
        runner.close()


def test_a_start_that_hangs_can_be_cancelled() -> None:
    runner, switch = LokyRunner(Loaded("hang")), StopSwitch()
    switch.cancel(0.0)
    try:
        runner.start(switch)
    finally:
        runner.close()


def test_the_key_stays_out_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPDIST_KEY_FILE", "key")
    monkeypatch.setattr("sys.stdin", None)
    runner = LokyRunner(objective_of(talkative), device="1")
    try:
        result = runner.run(payload_of({}), (0, 1))
        assert result is not None
        assert isinstance(result.outcome, Success), result.outcome
        info = result.outcome.info
        assert (info["key"], info["device"], info["visible"]) == ([], "cuda", "1")
    finally:
        runner.close()


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from attempt_objectives import poisoned
from hpdist.executors.loky import LokyRunner
from hpdist.core.objective.objective import objective_of
from hpdist.testing.executors import payload_of
runner = LokyRunner(objective_of(poisoned))
print(runner.run(payload_of({}), (0, 1)).outcome.info["pid"], flush=True)
runner.run(payload_of({"poison": "spin"}), (1, 1))
"""


def test_the_process_does_not_outlive_a_parent_that_is_killed() -> None:
    here = str(Path(attempt_objectives.__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, here], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not is_gone(child)
        os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: is_gone(child))


def bowl(config: dict[str, Any], budget: float, ctx: Any) -> object:
    fault = ctx.trial_id
    if fault == 3:
        raise ValueError("too bad")
    return float("nan") if fault == 5 else (config["x"] - 0.3) ** 2 + ctx.seed % 7


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.slow
def test_the_same_search_as_on_other_executors(tmp_path: Path, workers: int) -> None:
    found = {}
    for executor in ("thread", "process", "loky"):
        results = minimize(
            bowl, {"x": (0.0, 1.0)}, n_trials=12, executor=executor, workers=workers,
            optimizer="random", run=tmp_path / executor, progress="none", seed=3,
        )  # fmt: skip
        frame = results.to_frame().sort_values("trial")
        assert frame["failure"].dropna().tolist() == ["exception", "invalid"]
        found[executor] = frame[["trial", "config.x", "loss", "failure"]].to_csv()
        assert results.best.loss < 7
    assert found["loky"] == found["process"] == found["thread"]


def test_without_loky_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loky", None)
    with pytest.raises(ConfigurationError, match=r'pip install "hpdist\[loky\]"'):
        minimize(bowl, {"x": (0.0, 1.0)}, n_trials=1, executor="loky", progress="none")


def test_loky_without_processes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="isolation"):
        minimize(
            bowl, {"x": (0.0, 1.0)}, n_trials=1, executor="loky", isolation="none", progress="none"
        )
