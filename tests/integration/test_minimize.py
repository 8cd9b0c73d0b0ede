"""The front door, with real executors and a real journal."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hpdist
from hpdist import Context, FailureKind, Results, Retry, Timing, maximize, minimize
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.errors import ConfigurationError, JournalLocked, JournalMismatch
from hpdist.core.model.events import RunEnded, RunResumed
from hpdist.core.model.states import JobState
from hpdist.core.objective.objective import objective_of
from hpdist.core.results.evaluation_result import EvaluationResult
from hpdist.core.space.space import Space
from hpdist.executors.serial import SerialExecutor
from hpdist.multi_fidelity import Asha, Hyperband
from hpdist.optimizers import RandomSearch

SPACE = {"x": (-1.0, 1.0), "k": (1, 8)}
QUICK: dict[str, Any] = {"executor": "serial", "progress": "none"}


def bowl(config: dict[str, Any], budget: float) -> float:
    return float(config["x"] ** 2 + 1 / budget)


def shifted(config: dict[str, Any], budget: float) -> float:
    return float(config["x"] ** 2 - 1 / budget)


def failing(config: dict[str, Any]) -> float:
    if config["x"] > 0:
        raise ValueError("x is positive")
    return float(config["x"])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def told(results: Results) -> list[tuple[Any, ...]]:
    return [(one.config, one.budget, one.loss, one.state) for one in results.evaluations]


# ------------------------------------------------------------------ results


def test_hyperband_evaluates_its_plan_and_finds_the_best(run: Path) -> None:
    results = minimize(bowl, SPACE, min_budget=1, max_budget=9, run=run, **QUICK)
    assert results.reason == "finished"
    assert len(results.evaluations) == Hyperband(1, 9).num_all_configs(3)
    full = [one.loss for one in results.evaluations if one.budget == 9 and one.loss is not None]
    assert results.best is not None
    assert results.best.loss == min(full)
    assert results.path == run


def test_what_is_returned_is_what_the_journal_says(run: Path) -> None:
    results = minimize(failing, SPACE, n_trials=8, run=run, **QUICK)
    assert told(results) == told(Results.read(run))
    assert {one.state for one in results.evaluations} == {JobState.COMPLETED, JobState.FAILED}
    assert {one.failure for one in results.failures} == {FailureKind.EXCEPTION}


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_every_executor_finds_the_same(tmp_path: Path, executor: str) -> None:
    options: dict[str, Any] = {"min_budget": 1, "max_budget": 3, "workers": 1, "progress": "none"}
    one = minimize(bowl, SPACE, run=tmp_path / "a", executor=executor, **options)
    other = minimize(bowl, SPACE, run=tmp_path / "b", executor="serial", **options)
    assert told(one) == told(other)


def test_isolation_none_evaluates_in_threads_of_this_process(run: Path) -> None:
    pids = []
    options: dict[str, Any] = {"isolation": "none", "workers": 2, "progress": "none"}
    minimize(lambda config: pids.append(os.getpid()) or 1.0, SPACE, n_trials=4, run=run, **options)
    assert pids == [os.getpid()] * 4


def test_an_executor_that_is_made_already_is_used(run: Path) -> None:
    executor = SerialExecutor(objective_of(bowl), run)
    results = minimize(bowl, SPACE, n_trials=2, run=run, executor=executor, progress="none")
    assert [one.worker for one in results.evaluations] == ["serial", "serial"]


def test_maximize_finds_the_largest_value_in_the_users_sign(run: Path) -> None:
    results = maximize(lambda config: config["x"], SPACE, n_trials=9, run=run, **QUICK)
    values = [one.loss for one in results.evaluations]
    assert results.best is not None
    assert results.best.loss == max(values) == results.best.config["x"]
    assert results.direction == "maximize"


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    first, second, other = (
        minimize(bowl, SPACE, n_trials=5, seed=seed, run=tmp_path / name, **QUICK)
        for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert told(first) == told(second) != told(other)


def test_attempts_have_directories_below_the_run(run: Path) -> None:
    def saving(config: dict[str, Any], budget: float, ctx: Context) -> float:
        before = int((ctx.previous_dir / "epochs").read_text()) if ctx.previous_dir else 0
        (ctx.dir / "epochs").write_text(str(int(budget)))
        return float(before - budget)

    results = minimize(saving, SPACE, min_budget=1, max_budget=3, run=run, **QUICK)
    promoted = [one for one in results.evaluations if one.rung == 1]
    assert [one.loss for one in promoted] == [-2.0]
    assert (run / "configs" / str(promoted[0].trial_id) / "b3" / "a1" / "epochs").exists()


def test_first_configurations_come_first(run: Path) -> None:
    first = [{"x": 0.5, "k": 2}, {"x": -0.5, "k": 3}]
    results = minimize(failing, SPACE, n_trials=4, initial_configs=first, run=run, **QUICK)
    assert [one.config for one in results.evaluations[:2]] == first


def test_a_warm_start_comes_from_a_run_a_result_or_a_frame(tmp_path: Path) -> None:
    before = minimize(failing, SPACE, n_trials=4, run=tmp_path / "before", **QUICK)
    frame = before.to_frame()
    for number, source in enumerate([tmp_path / "before", before, frame, [before, frame]]):
        run = tmp_path / str(number)
        minimize(failing, SPACE, n_trials=1, warm_start=source, run=run, **QUICK)
        header = read_journal(run / "journal").records[0][1]
        copies = 2 if number == 3 else 1
        assert header.warm_start == before.observations() * copies  # type: ignore[union-attr]


def test_callbacks_get_each_settled_evaluation_in_the_calling_thread(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[EvaluationResult] = []
    threads = set()

    def careless(one: EvaluationResult) -> None:
        raise RuntimeError(f"callback of {one.job_id}")

    def careful(one: EvaluationResult) -> None:
        threads.add(threading.current_thread())
        got.append(one)

    options: dict[str, Any] = {"executor": "thread", "workers": 2, "progress": "none"}
    with caplog.at_level(logging.ERROR):
        results = minimize(
            failing, SPACE, n_trials=6, callbacks=[careless, careful], run=run, **options
        )
    assert threads == {threading.current_thread()}
    assert sorted(got, key=lambda one: one.job_id) == results.evaluations
    assert "callback of 5" in caplog.text


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"n_iterations": 1}, 4),
        ({"n_trials": 2}, 3),
        ({"n_evaluations": 5}, 5),
        ({"max_cost": 4.5}, 4),
        ({"target_loss": 1e9}, 4),
        ({}, 6),
    ],
)
def test_each_limit_ends_the_search(run: Path, limits: dict[str, Any], expected: int) -> None:
    results = minimize(bowl, SPACE, min_budget=1, max_budget=3, run=run, **limits, **QUICK)
    assert results.reason == "finished"
    assert len(results.evaluations) == expected


def test_a_time_limit_ends_the_search_resumable(run: Path) -> None:
    results = minimize(bowl, SPACE, time_limit=0.2, run=run, **QUICK)
    assert results.reason == "time_limit"
    before = len(results.evaluations)
    again = minimize(bowl, SPACE, n_trials=before + 3, run=run, **QUICK)
    assert again.reason == "finished"
    assert told(again)[:before] == told(results)
    assert len(again.evaluations) == before + 3


@pytest.mark.parametrize("limits", [{}, {"target_loss": 0.0}])
def test_a_search_that_could_never_end_is_refused(run: Path, limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"n_trials, n_evaluations, max_cost or time_lim"):
        minimize(bowl, SPACE, iter_generator=Asha(1, 9), run=run, **limits, **QUICK)
    assert not run.exists()


# ------------------------------------------------------------------ what cannot work


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objective": 3}, "no function"),
        ({"space": {}}, "empty"),
        ({"min_budget": 1}, "min_budget=1 was given alone"),
        ({"max_budget": 9}, "max_budget=9 was given alone"),
        ({"min_budget": 9, "max_budget": 1}, "larger than"),
        ({"iter_generator": Hyperband}, "no iteration generator"),
        ({"iter_generator": Hyperband(1, 9), "max_budget": 9}, "both given"),
        ({"optimizer": "magic"}, "'magic' is no optimizer"),
        ({"n_trials": -1}, "n_trials must be"),
        ({"n_trials": 1.5}, "n_trials must be"),
        ({"time_limit": 0}, "time_limit must be > 0"),
        ({"time_limit": "1h"}, "time_limit must be > 0"),
        ({"seed": -1}, "seed must be"),
        ({"workers": 0}, "workers must be"),
        ({"workers": 2, "executor": "serial"}, "cannot take workers=2"),
        ({"job_timeout": 3.0, "executor": "serial"}, "cannot take job_timeout=3.0"),
        ({"job_timeout": 3.0, "executor": "thread"}, "isolation='none'"),
        ({"executor": "cluster", "resources": {"GPU": 1}}, "cannot take resources"),
        ({"executor": "thread", "address": "tcp://a:1"}, "cannot take address"),
        ({"executor": "dask", "resources": {"GPU": -1}}, "GPU"),
        ({"executor": "ray", "isolation": "none"}, "cannot take isolation"),
        ({"executor": "mpi", "address": "a:1"}, "takes no address"),
        ({"executor": "mpi"}, "mpiexec -n 3 python -m mpi4py.futures"),
        ({"executor": "magic"}, "'magic' is no executor(.|\n)*choose one of cluster, .*, folder"),
        ({"executor": "clutser"}, "did you mean cluster"),
        ({"executor": "foldr"}, "did you mean folder"),
        ({"executor": "folder", "prefetch": 2}, 'executor="folder" cannot take prefetch=2'),
        ({"isolation": "some", "executor": "process"}, "isolation must be"),
        ({"initial_configs": [{"x": 0.0}]}, "k is missing"),
        ({"initial_configs": {"x": 0.0, "k": 1}}, "must be a list"),
        ({"warm_start": [3]}, "cannot be made from a int"),
        ({"callbacks": [3]}, "a callback must be a function"),
        ({"progress": "loud"}, "'loud' is unknown"),
        ({"resume": "maybe"}, "resume must be one of"),
        ({"on_change": "maybe"}, "on_change must be one of"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    run: Path, wrong: dict[str, Any], said: str
) -> None:
    arguments = {"objective": bowl, "space": SPACE, "n_trials": 2, "run": run} | QUICK | wrong
    with pytest.raises(ConfigurationError, match=said):
        minimize(**arguments)
    assert not (run / "journal").exists()


def test_a_warm_start_outside_the_space_is_refused(tmp_path: Path) -> None:
    before = minimize(bowl, {"y": (0.0, 1.0)}, n_trials=1, run=tmp_path / "before", **QUICK)
    with pytest.raises(ConfigurationError, match="'y' is no parameter"):
        minimize(bowl, SPACE, n_trials=1, warm_start=before, run=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_an_objective_that_cannot_be_imported_ends_the_search_loudly(run: Path) -> None:
    with pytest.raises(ConfigurationError, match="no_such_module"):
        minimize("no_such_module:f", SPACE, n_trials=1, run=run, **QUICK)


# ------------------------------------------------------------------ the same call again


def test_a_finished_search_returns_at_once(run: Path) -> None:
    calls = []

    def counted(config: dict[str, Any]) -> float:
        calls.append(config)
        return float(config["x"])

    first = minimize(counted, SPACE, n_trials=3, run=run, **QUICK)
    size = (run / "journal").stat().st_size
    second = minimize(counted, SPACE, n_trials=3, run=run, **QUICK)
    assert told(first) == told(second)
    assert second.reason == "finished"
    assert len(calls) == 3
    assert (run / "journal").stat().st_size == size


def test_larger_limits_extend_a_finished_search(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for number in (3, 7):
        results = minimize(bowl, SPACE, n_trials=number, run=run, **QUICK)
        assert results.reason == "finished"
    whole = minimize(bowl, SPACE, n_trials=7, run=tmp_path / "whole", **QUICK)
    assert told(results) == told(whole)


def test_smaller_limits_start_nothing_and_leave_a_finished_run(run: Path) -> None:
    minimize(bowl, SPACE, n_trials=5, run=run, **QUICK)
    results = minimize(bowl, SPACE, n_trials=2, run=run, **QUICK)
    assert results.reason == "finished"
    assert len(results.evaluations) == 5


def test_a_call_without_limits_keeps_those_of_the_run(run: Path) -> None:
    minimize(bowl, SPACE, n_trials=4, run=run, **QUICK)
    results = minimize(bowl, SPACE, run=run, **QUICK)
    assert len(results.evaluations) == 4


def test_an_optimizer_object_may_be_used_again(run: Path) -> None:
    class Counting(RandomSearch):
        told = 0

        def tell(self, observation: object) -> None:
            self.told += 1

    optimizer = Counting(Space.of(SPACE))
    for number in (2, 4):
        minimize(bowl, SPACE, n_trials=number, optimizer=optimizer, run=run, **QUICK)
    assert optimizer.told == 0


def interrupted(run: Path, evaluations: int) -> None:
    """Leave the run as a killed process does: without an end."""

    class Killed(BaseException):
        pass

    def dying(config: dict[str, Any], budget: float) -> float:
        if len(list(run.parent.glob("evaluated-*"))) == evaluations:
            os.kill(os.getpid(), signal.SIGKILL)
        (run.parent / f"evaluated-{config['x']!r}").touch()
        return float(config["x"] ** 2 + 1 / budget)

    child = os.fork()
    if child == 0:
        try:
            minimize(dying, SPACE, n_trials=5, run=run, on_change="continue", **QUICK)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_the_same_call_after_a_kill_goes_on_and_says_what_it_found(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(run, evaluations=3)
    options: dict[str, Any] = {"executor": "serial", "progress": "log", "on_change": "continue"}
    results = minimize(bowl, SPACE, n_trials=5, run=run, **options)
    assert (
        "found 3 finished, 1 interrupted (handed in by their workers, or run again)"
        in capsys.readouterr().err
    )
    assert results.reason == "finished"
    assert [one.attempts for one in results.evaluations] == [1, 1, 1, 2, 1]


def test_each_process_that_takes_over_is_recorded_before_it_evaluates(run: Path) -> None:
    for number in (1, 2):
        minimize(bowl, SPACE, n_trials=number, run=run, **QUICK)
    records = [record for _, record in read_journal(run / "journal").records]
    epochs = [record.epoch for record in records if isinstance(record, RunResumed)]
    ends = [record.reason for record in records if isinstance(record, RunEnded)]
    assert epochs == [1, 2]
    assert ends == ["finished", "finished"]
    assert isinstance(records[1], RunResumed)


def test_never_refuses_a_run_that_is_there_and_must_one_that_is_not(run: Path) -> None:
    with pytest.raises(ConfigurationError, match="no run to resume"):
        minimize(bowl, SPACE, n_trials=1, run=run, resume="must", **QUICK)
    assert not run.exists()
    minimize(bowl, SPACE, n_trials=1, run=run, resume="never", **QUICK)
    with pytest.raises(ConfigurationError, match="holds a run already"):
        minimize(bowl, SPACE, n_trials=2, run=run, resume="never", **QUICK)
    assert len(minimize(bowl, SPACE, n_trials=2, run=run, resume="must", **QUICK).evaluations) == 2


def test_a_run_that_another_process_holds_is_refused(run: Path) -> None:
    run.mkdir()
    journal = Journal.open(run / "journal")
    try:
        with pytest.raises(JournalLocked):
            minimize(bowl, SPACE, n_trials=1, run=run, **QUICK)
    finally:
        journal.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {"x": (-2.0, 1.0), "k": (1, 8)}}, "space differs"),
        ({"optimizer": "sobol"}, "optimizer differs"),
        ({"objective": shifted}, "objective differs"),
        ({"seed": 7}, "seed, optimizer differ"),
        ({"min_budget": 1, "max_budget": 3}, "iter_generator differs"),
    ],
)
def test_another_search_in_the_same_directory_is_refused_and_shown(
    run: Path, change: dict[str, Any], said: str
) -> None:
    arguments = {"objective": bowl, "space": SPACE, "n_trials": 2, "run": run} | QUICK
    minimize(**arguments)
    with pytest.raises(JournalMismatch, match=said) as refused:
        minimize(**arguments | change)
    assert "in the journal" in str(refused.value)
    assert "another run=" in str(refused.value)
    assert len(Results.read(run).evaluations) == 2


def test_another_space_is_shown_even_when_first_configurations_are_not_in_it(run: Path) -> None:
    first = [{"x": -0.5, "k": 2}]
    minimize(bowl, SPACE, n_trials=1, initial_configs=first, run=run, **QUICK)
    with pytest.raises(JournalMismatch, match="space differs"):
        minimize(bowl, {"x": (0.0, 1.0)}, n_trials=1, run=run, **QUICK)


def test_continue_goes_on_with_another_objective(run: Path) -> None:
    minimize(bowl, SPACE, n_trials=2, run=run, **QUICK)
    results = minimize(shifted, SPACE, n_trials=4, run=run, on_change="continue", **QUICK)
    losses = [one.loss for one in results.evaluations]
    squares = [one.config["x"] ** 2 for one in results.evaluations]
    expected = [square + 1 for square in squares[:2]] + [square - 1 for square in squares[2:]]
    assert losses == expected


def test_a_resumed_run_keeps_its_first_configurations_and_says_so(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [{"x": 0.5, "k": 2}]
    minimize(bowl, SPACE, n_trials=1, initial_configs=first, run=run, **QUICK)
    results = minimize(bowl, SPACE, n_trials=2, run=run, executor="serial", progress="log")
    assert "initial_configs stay as at the start of the run" in capsys.readouterr().err
    assert results.evaluations[0].config == first[0]


# ------------------------------------------------------------------ names


def test_both_directions_take_the_arguments_of_the_contract() -> None:
    expected = (
        "(objective, space, *, min_budget=None, max_budget=None, eta=3, iter_generator=None, "
        "optimizer='auto', n_iterations=None, n_trials=None, n_evaluations=None, max_cost=None, "
        "time_limit=None, target_loss=None, workers=None, executor='process', run=None, "
        "resume='auto', seed=0, job_timeout=None, memory_limit=None, isolation='process', "
        "initial_configs=(), warm_start=(), early_stopping=None, objectives=('loss',), "
        "prefetch=0, callbacks=(), progress='auto', on_change='error', retry_failed=False, "
        "address=None, resources=None, timing=None, retry=None, grace=10.0)"
    )
    for function in (hpdist.minimize, hpdist.maximize):
        signature = inspect.signature(function)
        bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
        shown = signature.replace(parameters=bare, return_annotation=signature.empty)
        assert str(shown) == expected
        assert function.__doc__


def test_a_search_takes_patience_retries_and_grace(run: Path) -> None:
    calls: list[int] = []

    def flaky(config: dict[str, Any]) -> float:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("not yet")
        return 1.0

    patience = {"timing": Timing(lease_s=12), "retry": Retry(exceptions=2), "grace": 0.5}
    results = minimize(
        flaky, SPACE, n_trials=1, run=run, executor="serial", progress="none", **patience
    )
    assert (len(calls), results.best.loss) == (3, 1.0)


def test_what_failed_is_evaluated_again_when_that_is_asked_for(run: Path) -> None:
    broken = [True]

    def mended(config: dict[str, Any]) -> float:
        if broken:
            raise ValueError("broken")
        return 1.0

    minimize(mended, SPACE, n_trials=2, run=run, **QUICK)
    broken.clear()
    assert minimize(mended, SPACE, n_trials=2, run=run, **QUICK).best is None
    results = minimize(mended, SPACE, n_trials=2, run=run, retry_failed=True, **QUICK)
    assert results.best.loss == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["my search.py"], "my-search"),
        (["-c", "import runpy; runpy.run_path('my search.py')"], "train"),
        (["-m", "package"], "package"),
    ],
)
def test_a_run_is_named_after_its_script_or_else_its_function(
    tmp_path: Path, command: list[str], name: str
) -> None:
    text = (
        "import hpdist\n"
        "def train(config): return config['x']\n"
        "hpdist.minimize(train, {'x': (0.0, 1.0)}, n_trials=1, executor='serial')\n"
    )
    (tmp_path / "package").mkdir()
    for file in ("my search.py", "package/__main__.py"):
        (tmp_path / file).write_text(text)
    subprocess.run([sys.executable, *command], cwd=tmp_path, timeout=60, check=True)
    assert [path.name for path in (tmp_path / "hpdist-runs").iterdir()] == [name]


def fingerprint_of(function: Callable[..., object]) -> str:
    from hpdist.core.run.definition import fingerprint

    return fingerprint(objective_of(function))


def test_a_fingerprint_changes_with_the_source_and_nothing_else() -> None:
    assert fingerprint_of(bowl) == fingerprint_of(bowl)
    assert fingerprint_of(bowl).startswith("bowl#")
    assert fingerprint_of(bowl) != fingerprint_of(shifted)
    assert (
        fingerprint_of(functools.partial(bowl, budget=3)).rpartition("#")[2]
        == (fingerprint_of(bowl).rpartition("#")[2])
    )


def test_an_objective_without_source_is_known_by_its_name() -> None:
    namespace: dict[str, Any] = {}
    exec("def typed(config): return 1.0", namespace)
    assert fingerprint_of(namespace["typed"]) == "typed#"


def test_an_objective_given_by_name_is_not_compared() -> None:
    from hpdist.core.run.definition import fingerprint

    assert fingerprint(objective_of("hpdist.cli.demo_objective:train")) == ""
