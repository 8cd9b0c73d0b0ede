"""Workers: what they evaluate and where, when they leave, what they say when they cannot work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cluster_workers
import pytest
from cluster_scene import LIMIT_S, RUN, Scene, eventually, give_x, scene_in

from hpdist import Results, Worker
from hpdist.core.model.errors import ConfigurationError
from hpdist.multi_fidelity import SuccessiveHalving


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as scene:
        scene.nameserver()
        yield scene


def infos(results: Results) -> list[Any]:
    return [one.info for one in results.evaluations]


# ------------------------------------------------------------------------ what is evaluated


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        (cluster_workers.with_config, [{}, {}]),
        (cluster_workers.with_budget, [{"budget": 1.0}] * 2),
        (cluster_workers.with_context, [{"trial": 0}, {"trial": 1}]),
        ("cluster_workers:with_budget", [{"budget": 1.0}] * 2),
    ],
)
def test_functions_of_all_three_forms_run_in_a_child(
    scene: Scene, objective: Any, told: list[dict[str, Any]]
) -> None:
    scene.worker(objective, isolation="process")
    results = infos(scene.master(2).run())
    pids = {info.pop("pid") for info in results}
    assert results == told
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_a_function_of_no_known_form_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        Worker(RUN).initialize(lambda: 0.0)


def test_a_worker_that_overrides_nothing_says_what_to_do(scene: Scene) -> None:
    worker = scene.worker(None, cluster_workers.HasNothingToDo, start=False)
    with pytest.raises(ConfigurationError, match=r"(?s)has nothing to evaluate.*override compute"):
        worker.run()


def test_a_subclass_is_made_once_in_its_child(scene: Scene, tmp_path: Path) -> None:
    log = tmp_path / "made"
    scene.worker(None, cluster_workers.LoadsData, log=str(log), isolation="process")
    results = infos(scene.master(4).run())
    (child,) = {info["pid"] for info in results}
    assert log.read_text().split() == [str(os.getpid()), str(child)]
    assert [info["config_id"] for info in results] == [[0, 0, index] for index in range(4)]
    assert [info["origin"] for info in results] == ["random"] * 4
    assert [info["budget"] for info in results] == [1.0] * 4
    assert [Path(info["directory"]) for info in results] == [
        scene.run / "configs" / str(trial) / "b1" / "a1" for trial in range(4)
    ]


def test_a_subclass_without_isolation_computes_in_this_process(
    scene: Scene, tmp_path: Path
) -> None:
    scene.worker(None, cluster_workers.LoadsData, log=str(tmp_path / "made"))
    assert {info["pid"] for info in infos(scene.master(2).run())} == {os.getpid()}


def test_a_subclass_that_cannot_be_sent_computes_here_and_says_so(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.worker(None, cluster_workers.HoldsALock, threading.Lock(), isolation="process")
    assert infos(scene.master(2).run()) == [{"pid": os.getpid()}] * 2
    assert "HoldsALock.compute cannot be sent to its process" in caplog.text
    assert "evaluations run in the worker's own process" in caplog.text


def test_a_constructor_that_fails_in_the_child_is_told_with_its_traceback(
    scene: Scene, tmp_path: Path
) -> None:
    log = str(tmp_path / "made")
    worker = scene.worker(
        None,
        cluster_workers.LoadsData,
        log=log,
        fail_in_child=True,
        isolation="process",
        start=False,
    )
    with pytest.raises(ConfigurationError) as caught:
        worker.run()
    assert "LoadsData.compute cannot be started in its process" in str(caught.value)
    assert "OSError: the data set is gone" in str(caught.value)


@pytest.mark.parametrize("isolation", ["process", "none"])
@pytest.mark.parametrize(("carry_over", "expected"), [(True, [1, 2, 3]), (False, [1, 1, 1])])
def test_what_the_lower_budget_left_is_there(
    scene: Scene, isolation: str, carry_over: bool, expected: list[int]
) -> None:
    for _ in range(2):
        scene.worker(None, cluster_workers.Continues, isolation=isolation, carry_over=carry_over)
    results = scene.master(iter_generator=SuccessiveHalving(1, 9)).run(min_n_workers=2)
    times = {one.budget: one.info["times"] for one in results.evaluations}
    assert [times[budget] for budget in (1, 3, 9)] == expected


class Callback:
    def __init__(self) -> None:
        self.told: list[tuple[Any, Any]] = []

    def register_result(self, id: Any, result: Any) -> None:
        self.told.append((id, result))


def test_one_computation_can_be_run_in_place(tmp_path: Path) -> None:
    worker, callback = cluster_workers.Continues(RUN), Callback()
    arguments: dict[str, Any] = {"config": {"x": 0.5}, "config_info": {}, "budget": 1.0}
    worker.start_computation(callback, (0, 0, 0), working_directory=str(tmp_path), **arguments)
    worker.start_computation(callback, (0, 0, 1), working_directory="/nowhere", **arguments)
    (first, done), (second, failed) = callback.told
    assert (first, second) == ((0, 0, 0), (0, 0, 1))
    assert done == {"result": {"loss": 0.5, "info": {"times": 1}}, "exception": None}
    assert failed["result"] is None
    assert failed["exception"].startswith("FileNotFoundError: ")


# ------------------------------------------------------------------------ where and when


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_worker_works_in_the_background(scene: Scene, kind: str) -> None:
    worker = Worker(RUN, isolation="none")
    worker.initialize(cluster_workers.with_config)
    worker.load_nameserver_credentials(scene.directory)
    worker.run(background=True, concurrent_type=kind)
    try:
        with scene.master(2) as master:
            pids = {info["pid"] for info in infos(master.run())}
        assert (pids == {os.getpid()}) is (kind == "thread")
        assert worker.wait(LIMIT_S), "the master has sent it home"
    finally:
        worker.leave("the test is over", at_once=True)


def test_a_background_process_uses_the_directory_of_the_run(scene: Scene, tmp_path: Path) -> None:
    worker = cluster_workers.LoadsData(RUN, log=str(tmp_path / "made"), isolation="none")
    worker.load_nameserver_credentials(scene.directory)
    worker.run(background=True, concurrent_type="process")
    try:
        (info,) = infos(scene.master(1).run())
        assert Path(info["directory"]) == scene.run / "configs" / "0" / "b1" / "a1"
    finally:
        worker.leave("the test is over", at_once=True)
        assert worker.wait(LIMIT_S)


def test_a_background_process_that_is_shut_down_ends_its_evaluation(
    scene: Scene, tmp_path: Path
) -> None:
    began, go_on = tmp_path / "began", tmp_path / "go on"
    worker = Worker(RUN, isolation="none")
    worker.initialize(_Waits(began, go_on))
    worker.load_nameserver_credentials(scene.directory)
    worker.run(background=True, concurrent_type="process")
    master = scene.master(1)
    caller = threading.Thread(target=master.run)
    caller.start()
    eventually(began.exists, "the evaluation")
    worker.shutdown()
    go_on.touch()
    caller.join(LIMIT_S)
    assert worker.wait(LIMIT_S)
    assert [(one.attempts, one.loss) for one in master.results().evaluations] == [(1, 0.0)]


class _Waits:
    def __init__(self, began: Path, go_on: Path) -> None:
        self.began, self.go_on = began, go_on

    def __call__(self, config: dict[str, Any]) -> float:
        self.began.touch()
        eventually(self.go_on.exists, "the permission")
        return 0.0


def test_other_ways_into_the_background_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be one of thread, process, got 'fork'"):
        Worker(RUN).run(background=True, concurrent_type="fork")


def test_a_worker_is_a_context_manager(scene: Scene) -> None:
    master = scene.master(1)
    worker = Worker(RUN, isolation="none")
    worker.initialize(give_x)
    worker.load_nameserver_credentials(scene.directory)
    with worker:
        assert len(master.run().evaluations) == 1
        assert not worker.is_busy()
    assert worker.reason == "shut down"


def test_an_idle_worker_leaves_after_its_timeout(scene: Scene) -> None:
    master = scene.master()
    worker = scene.worker(timeout=0.3)
    master.wait_for_workers()
    assert worker.wait(LIMIT_S)
    assert worker.reason == "idle for 0.3 s"
    eventually(lambda: master.dispatcher.number_of_workers() == 0, "its good-bye")


def test_a_debugged_worker_leaves_after_its_first_failure(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def fails_at(config: dict[str, Any], budget: float, ctx: Any) -> float:
        assert os.getpid() == parent
        if ctx.trial_id == 1:
            raise ValueError("on purpose")
        return 0.0

    parent = os.getpid()
    master = scene.master(4)
    first = scene.worker(fails_at, debug=True, isolation="process")
    caller = threading.Thread(target=master.run)
    caller.start()
    assert first.wait(LIMIT_S)
    assert first.reason == "an evaluation failed"
    assert 'raise ValueError("on purpose")' in caplog.text
    scene.worker()
    caller.join(LIMIT_S)
    assert [one.loss is None for one in master.results().evaluations] == [
        False,
        True,
        False,
        False,
    ]


def test_a_worker_that_is_shut_down_finishes_its_evaluation(scene: Scene) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(config: dict[str, Any]) -> float:
        began.set()
        assert go_on.wait(LIMIT_S)
        return 0.25

    master = scene.master(1)
    worker = scene.worker(slow)
    caller = threading.Thread(target=master.run)
    caller.start()
    assert began.wait(LIMIT_S)
    assert worker.is_busy()
    worker.shutdown()
    go_on.set()
    caller.join(LIMIT_S)
    assert worker.wait(LIMIT_S)
    assert [one.loss for one in master.results().evaluations] == [0.25]


def test_credentials_that_never_come_are_given_up_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Worker(RUN).load_nameserver_credentials(tmp_path, num_tries=2, interval=0.01)
    told = str(caught.value)
    assert "no connection file" in told
    assert "2 times, every 0.01 s" in told
    assert f"hpdist nameserver --run {tmp_path / RUN}" in told


@pytest.mark.parametrize(
    "make", [lambda: Worker("../x"), lambda: Worker(RUN, isolation="container")]
)
def test_bad_arguments_are_refused_at_once(make: Callable[[], Worker]) -> None:
    with pytest.raises(ConfigurationError):
        make()
