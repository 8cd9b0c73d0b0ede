"""A master in this process, with workers in threads: what its arguments and methods do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster_scene import LIMIT_S, RUN, Scene, eventually, give_x, scene_in

from hpdist import Master, Results
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.errors import ConfigurationError, StateError
from hpdist.core.model.events import JobCreated, RunResumed
from hpdist.core.model.states import JobState
from hpdist.core.objective.objective import objective_of
from hpdist.core.space.space import Space
from hpdist.executors.registry import make_executor
from hpdist.multi_fidelity import Asha, Bracket, Hyperband, SingleFidelity, SuccessiveHalving
from hpdist.optimizers import RandomSearch


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as scene:
        scene.nameserver()
        yield scene


class Log:
    """A result logger and a progress callback that remember."""

    def __init__(self) -> None:
        self.configs: list[tuple[Any, ...]] = []
        self.jobs: list[Any] = []
        self.bars: list[list[int]] = []

    def new_config(self, *told: Any) -> None:
        self.configs.append(told)

    def __call__(self, job: Any) -> None:
        self.jobs.append(job)

    @contextmanager
    def progress(self, done: int, planned: int) -> Iterator[Log]:
        self.bars.append([done, planned])
        yield self
        self.bars[-1].append(-1)

    def update(self, n: int) -> None:
        self.bars[-1].append(n)


# ------------------------------------------------------------------------------ running


def test_a_run_returns_all_results(scene: Scene) -> None:
    master = scene.master(iter_generator=Hyperband(1, 9))
    for _ in range(2):
        scene.worker(lambda config, budget: config["x"] + 1 / budget)
    results = master.run(n_iterations=2, min_n_workers=2)
    planned = Hyperband(1, 9).num_all_configs(2)
    assert [one.state for one in results.evaluations] == [JobState.COMPLETED] * planned
    assert results.reason == "finished"
    assert results.best is not None
    assert results.best.budget == 9


def test_each_run_adds_iterations(scene: Scene) -> None:
    master = scene.master(num_configs=4)
    scene.worker()
    assert len(master.run(n_iterations=1).evaluations) == 4
    assert len(master.run(n_iterations=2).evaluations) == 12
    trials = [one.config_id for one in master.results().evaluations]
    assert trials == [(iteration, 0, index) for iteration in range(3) for index in range(4)]


@pytest.mark.parametrize(
    "limit", [{"n_trials": 5}, {"n_evaluations": 5}, {"max_cost": 5.0}, {"target_loss": 1e9}]
)
def test_limits_of_the_whole_run_end_what_never_ends_by_itself(
    scene: Scene, limit: dict[str, Any]
) -> None:
    master = scene.master(iter_generator=Asha(1, 2, eta=2), **limit)
    scene.worker(lambda config, budget: config["x"])
    results = master.run(n_iterations=1)
    assert results.reason == "finished"
    frame = results.to_frame()
    if "n_trials" in limit:
        assert frame["trial"].nunique() == 5
    elif "n_evaluations" in limit:
        assert len(frame) == 5
    else:
        assert len(frame) <= 6


def test_limits_stay_in_a_master_that_is_made_again(scene: Scene) -> None:
    for more, expected in (({"n_evaluations": 3}, 3), ({}, 3), ({"n_evaluations": 5}, 5)):
        with scene.master(num_configs=20, **more) as master:
            scene.worker()
            assert len(master.run(n_iterations=1).to_frame()) == expected


def test_a_master_that_was_shut_down_says_so(scene: Scene) -> None:
    with scene.master() as master:
        scene.worker()
        master.run()
    with pytest.raises(StateError, match="make another"):
        master.run()


def test_the_result_logger_sees_configurations_and_results(scene: Scene) -> None:
    log = Log()
    master = scene.master(3, result_logger=log)
    scene.worker(lambda config: {"loss": config["x"], "info": "seen"})
    results = master.run()
    ids = [(0, 0, index) for index in range(3)]
    assert [config_id for config_id, _, _ in log.configs] == ids
    assert [config for _, config, _ in log.configs] == [one.config for one in results.evaluations]
    assert [info["origin"] for _, _, info in log.configs] == ["random"] * 3
    assert [job.id for job in log.jobs] == ids
    assert [job.result for job in log.jobs] == [
        {"loss": one.loss, "info": "seen"} for one in results.evaluations
    ]


def test_a_function_is_a_result_logger(scene: Scene) -> None:
    jobs: list[Any] = []
    scene.worker()
    scene.master(2, result_logger=jobs.append).run()
    assert len(jobs) == 2


def test_progress_is_told_from_what_is_done_to_what_is_planned(scene: Scene) -> None:
    log = Log()
    master = scene.master(3, progress_callback=log.progress)
    scene.worker()
    master.run()
    master.run(n_iterations=2)
    assert log.bars == [[0, 3, 1, 1, 1, -1], [3, 9, 1, 1, 1, 1, 1, 1, -1]]


def test_incumbents_are_kept_by_budget(scene: Scene) -> None:
    known: dict[float, dict[str, Any]] = {1.0: {"x": 0.5}}
    master = scene.master(
        iter_generator=SuccessiveHalving(1, 9),
        incumbents=known,
        incumbent_performances={1.0: -5.0},
    )
    scene.worker(lambda config, budget: config["x"] / budget)
    results = master.run()
    assert master.incumbents.keys() == {1.0, 3.0, 9.0}
    assert (master.incumbents[1.0], master.incumbent_performances[1.0]) == ({"x": 0.5}, -5.0)
    assert results.best is not None
    assert master.incumbents[9.0] == results.best.config
    assert master.incumbent_performances[9.0] == results.best.loss
    assert known == {1.0: {"x": 0.5}}, "the caller's own dict was changed"


def test_failures_are_results_and_no_incumbents(scene: Scene) -> None:
    def fails(config: dict[str, Any]) -> float:
        raise ValueError("on purpose")

    master = scene.master(2)
    scene.worker(fails)
    results = master.run()
    assert len(results.failures) == 2
    assert master.incumbents == {}


# ------------------------------------------------------------------------- previous results

SOURCES: dict[str, Callable[[Results, Path], Any]] = {
    "path": lambda results, path: path,
    "results": lambda results, path: results,
    "frame": lambda results, path: results.to_frame(),
    "list": lambda results, path: [path, results],
}


@pytest.mark.parametrize("source", SOURCES)
def test_earlier_results_are_told_to_the_optimizer(
    scene: Scene, source: str, tmp_path: Path
) -> None:
    told = []

    class Learns(RandomSearch):
        def tell(self, observation: Any) -> None:
            told.append((observation.trial_id, observation.budget, observation.loss))

    scene.worker()
    with scene.master(3, checkpoint_file=tmp_path / "earlier") as master:
        earlier = master.run()
    previous = SOURCES[source](earlier, tmp_path / "earlier")
    optimizer = Learns(Space.of({"x": (0.0, 1.0)}))
    with Master(
        RUN,
        optimizer,
        SingleFidelity(),
        working_directory=scene.directory,
        nameserver=None,
        previous_result=previous,
    ) as later:
        times = 2 if source == "list" else 1
        losses = [one.loss for one in earlier.evaluations]
        assert [loss for _, _, loss in told] == losses * times
        assert {trial_id >= 0 for trial_id, _, _ in told} == {False}
        later.wait_for_workers(0)
        later.dispatcher.discover_workers()  # before that, the nameserver says that it is over
        scene.worker()
        assert len(later.run().evaluations) == 1


# ------------------------------------------------------------------------------ the journal


def test_the_journal_is_the_checkpoint(scene: Scene, tmp_path: Path) -> None:
    scene.worker()
    file = tmp_path / "elsewhere" / "checkpoint"
    with scene.master(4, checkpoint_file=file, checkpoint_freq=3, shutdown_workers=False) as first:
        losses = [one.loss for one in first.run().evaluations]
    assert file.exists()
    assert not (scene.run / "journal").exists()
    with scene.master(4, checkpoint_file=file) as second:
        assert [one.loss for one in second.results().evaluations] == losses
        assert len(second.run().evaluations) == 8


def test_what_an_interrupted_call_had_asked_for_is_made_up(scene: Scene) -> None:
    """The second call finds three of its five iterations done, and adds none to them."""
    stop = threading.Event()

    def objective(config: dict[str, Any]) -> float:
        if len(done) == 4:
            stop.set()
            eventually(lambda: stopped.is_set(), "the stop")
        done.append(1)
        return give_x(config)

    done: list[int] = []
    stopped = threading.Event()
    with scene.master(1, shutdown_workers=False) as first:
        scene.worker(objective)
        first.run()
        caller = threading.Thread(target=first.run, args=(5,))
        caller.start()
        assert stop.wait(LIMIT_S)
        first.shutdown()
        stopped.set()
        caller.join(LIMIT_S)
        assert not caller.is_alive()
    with scene.master(1) as second:
        assert len(second.run(5).evaluations) == 6
    created = [record for record in scene.records if isinstance(record, JobCreated)]
    assert len(created) == 6


# ------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("keeps", [True, False])
def test_nothing_starts_when_the_time_is_up(scene: Scene, keeps: bool) -> None:
    began = threading.Event()
    go_on = threading.Event()

    def slow(config: dict[str, Any]) -> float:
        began.set()
        assert go_on.wait(LIMIT_S)
        return 0.0

    master = scene.master(50, time_left_for_this_task=0.3, grace=0.2, shutdown_workers=not keeps)
    worker = scene.worker(slow)
    results = master.run()
    assert results.reason == "time_limit"
    assert [one.state for one in results.evaluations] == [JobState.QUEUED]
    go_on.set()
    assert worker.wait(0.5 if keeps else LIMIT_S) is not keeps


@pytest.mark.parametrize(
    ("sizes", "dynamic", "expected"),
    [((-1, 0), True, 1), ((0, 3), True, 4), ((1, 2), False, 2)],
)
def test_so_many_evaluations_are_chosen_ahead(
    scene: Scene, sizes: tuple[int, int], dynamic: bool, expected: int
) -> None:
    go_on = threading.Event()
    master = scene.master(20, job_queue_sizes=sizes, dynamic_queue_size=dynamic)
    assert master.adjust_queue_size(1) == (sizes[0] + dynamic, sizes[1] + dynamic)
    scene.worker(lambda config: go_on.wait(LIMIT_S) and 0.0)
    caller = threading.Thread(target=master.run)
    caller.start()
    jobs = master.study.table.jobs
    eventually(lambda: len(jobs) >= expected, f"{expected} jobs")
    assert master.dispatcher.discover_workers(), "the loop had time for one job more"
    assert len(jobs) == expected
    go_on.set()
    caller.join(LIMIT_S)
    assert len(jobs) == 20


def test_queue_sizes_that_start_nothing_are_refused(scene: Scene) -> None:
    with pytest.raises(ConfigurationError, match="would never start a job"):
        scene.master(job_queue_sizes=(-1, 0), dynamic_queue_size=False)


# --------------------------------------------------------------------------------- brackets


def test_the_next_iteration_can_be_overridden(scene: Scene) -> None:
    asked: list[tuple[int, dict[str, Any]]] = []

    class Mine(Master):
        def get_next_iteration(self, iteration: int, iteration_kwargs: dict[str, Any]) -> Bracket:
            asked.append((iteration, iteration_kwargs))
            return SingleFidelity(7.0, 2).get_next_iteration(0)

    optimizer = RandomSearch(Space.of({"x": (0.0, 1.0)}))
    scene.worker()
    with Mine(
        RUN, optimizer, SingleFidelity(), working_directory=scene.directory, nameserver=None
    ) as master:
        results = master.run(n_iterations=2, iteration_kwargs={"colour": "red"})
    assert [one.budget for one in results.evaluations] == [7.0] * 4
    # Once more at the beginning: what no bracket can be made with is refused there.
    assert asked == [(number, {"colour": "red"}) for number in (0, 0, 1)]


def test_open_brackets_are_the_active_iterations(scene: Scene) -> None:
    go_on = threading.Event()
    master = scene.master(2)
    assert master.active_iterations() == []
    scene.worker(lambda config: go_on.wait(LIMIT_S) and 0.0)
    caller = threading.Thread(target=master.run, args=(3,))
    caller.start()
    (bracket,) = eventually(master.active_iterations, "a bracket")
    assert not bracket.is_finished
    go_on.set()
    caller.join(LIMIT_S)
    assert master.active_iterations() == []
    assert bracket.is_finished


def test_a_logger_that_raises_does_not_block_the_run(scene: Scene) -> None:
    def careless(job: Any) -> None:
        raise KeyError(job.id)

    scene.worker()
    with scene.master(3, result_logger=careless) as master:
        assert len(master.run().evaluations) == 3


def test_an_end_that_answers_another_command_ends_no_later_call(scene: Scene) -> None:
    scene.worker()
    with scene.master(3) as master:
        assert len(master.run().evaluations) == 3
        master.dispatcher.control("retry")
        assert len(master.run().evaluations) == 6


def test_iteration_kwargs_are_known_again_after_a_restart(scene: Scene) -> None:
    asked: list[dict[str, Any]] = []

    class Coloured(Master):
        def get_next_iteration(self, iteration: int, iteration_kwargs: dict[str, Any]) -> Bracket:
            asked.append(dict(iteration_kwargs))
            return super().get_next_iteration(iteration, {})

    def coloured() -> Master:
        space = Space.of({"x": (0.0, 1.0)})
        options = {"working_directory": scene.directory, "nameserver": None}
        return Coloured(RUN, RandomSearch(space), SingleFidelity(), **options)

    scene.worker()
    with coloured() as master:
        master.run(iteration_kwargs={"colour": "red"})
    asked.clear()
    with coloured():
        assert asked == [{"colour": "red"}]


def test_incumbents_are_known_again_after_a_restart(scene: Scene) -> None:
    scene.worker()
    with scene.master(3, shutdown_workers=False) as first:
        first.run()
    with scene.master(3) as second:
        assert second.incumbent_performances == first.incumbent_performances
        assert second.incumbents == first.incumbents


def test_a_study_decides_what_its_dispatcher_runs(scene: Scene) -> None:
    with (
        scene.master(3) as master,
        pytest.raises(ConfigurationError, match="runs the jobs of a study"),
    ):
        master.dispatcher.submit_job("a", config={"x": 0.5})


def _shrinking(config: dict[str, Any], budget: float) -> float:
    return float(config["x"]) / budget


def test_an_executor_takes_the_place_of_workers(tmp_path: Path) -> None:
    def master() -> Master:
        return Master(
            "local",
            RandomSearch({"x": (0.0, 1.0)}),
            Hyperband(1, 9),
            working_directory=tmp_path,
            executor=make_executor(
                "thread", objective_of(_shrinking), tmp_path / "local", workers=2
            ),
        )

    with master() as first:
        results = first.run(1)
        assert first.dispatcher.number_of_workers() == 2
        assert not (tmp_path / "local" / "connection.json").exists()
    assert (results.reason, len(results.to_frame())) == ("finished", 13)
    with master() as second:
        assert len(second.run(1).to_frame()) > 13, "it goes on from the journal"
    epochs = [
        record.epoch
        for _, record in read_journal(tmp_path / "local" / "journal").records
        if isinstance(record, RunResumed)
    ]
    assert epochs == [1, 2]
    with pytest.raises(ConfigurationError, match="no executor"):
        Master("x", RandomSearch({"x": (0.0, 1.0)}), Hyperband(1, 9), executor="magic")
