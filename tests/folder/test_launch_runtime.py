"""`launch_runtime`: the shared folder's own kind of function, its files, and its rules."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from hpdist import Results
from hpdist.core.model.errors import ConfigurationError
from hpdist.folder import ConfigResult, SharedState, Trial, get_in_progress_trial, launch_runtime
from hpdist.folder.election import Election
from hpdist.optimizers import RandomSearch

SPACE = {"x": (0.0, 1.0)}


def evaluate(x: float) -> float:
    trial = get_in_progress_trial()
    assert trial is not None
    assert trial.state is Trial.State.IN_PROGRESS
    assert trial.config == {"x": x}
    return x


def with_cost(x: float) -> dict[str, Any]:
    return {"loss": x, "cost": 2.0, "more": "text"}


def free(x: float) -> dict[str, Any]:
    return {"loss": x, "cost": 2.0, "account_for_cost": False}


def failing(x: float) -> float:
    raise ValueError("too bad")


def placed(pipeline_directory: Path, x: float, previous_pipeline_directory: Path | None) -> float:
    assert previous_pipeline_directory is None
    (pipeline_directory / "model").write_text(str(x))
    return x


def former_name(x: float, working_directory: str) -> float:
    return x


def launch(directory: Path, function: Any = evaluate, **options: Any) -> Results:
    launch_runtime(
        **{
            "evaluation_fn": function,
            "sampler": RandomSearch(SPACE),
            "optimizer_info": {"searcher_name": "random", "seed": 1},
            "optimization_dir": directory,
            "max_evaluations_total": 3,
            **options,
        }
    )
    return Results.read(directory)


def states(directory: Path) -> dict[str, int]:
    refs = SharedState(directory).trial_refs()
    return {state.value: len(found) for state, found in refs.items() if found}


def test_trials_are_on_disk_and_in_the_journal(tmp_path: Path) -> None:
    results = launch(tmp_path / "run")
    assert states(tmp_path / "run") == {"evaluated": 3}
    disk = Trial.Disk.from_dir(tmp_path / "run" / "results" / "config_1")
    trial = disk.load()
    assert (trial.id, trial.prev_config_id, trial.state) == ("1", None, Trial.State.COMPLETE)
    frame = results.to_frame().set_index("trial")
    assert trial.results == {"loss": frame.loc[1, "loss"]} == {"loss": trial.config["x"]}
    assert trial.metadata["time_sampled"] <= trial.metadata["time_end"]
    assert not disk.lock.is_locked()
    assert disk.optimization_dir == tmp_path / "run"
    told = trial.to_result(lambda config: {"X": config["x"]})
    assert told == ConfigResult("1", {"X": trial.config["x"]}, trial.results, trial.metadata)
    assert get_in_progress_trial() is None


def test_a_failed_evaluation_is_a_result_too(tmp_path: Path) -> None:
    results = launch(tmp_path / "run", failing)
    assert states(tmp_path / "run") == {"evaluated": 3}
    trial = Trial.Disk(tmp_path / "run" / "results" / "config_0").load()
    assert trial.results == "error"
    assert {each.message for each in results.failures} == {"ValueError: too bad"}


def test_directories_are_given_by_name(tmp_path: Path) -> None:
    launch(tmp_path / "run", placed)
    assert len(list((tmp_path / "run" / "results").glob("*/model"))) == 3


@pytest.mark.parametrize(
    ("function", "count", "used"), [(with_cost, 2, [0.0, 2.0]), (free, 3, [0.0, 0.0, 0.0])]
)
def test_a_budget_of_cost_ends_the_search(
    function: Any, count: int, used: list[float], tmp_path: Path
) -> None:
    sampler = RandomSearch(SPACE)
    sampler.budget = 4.0  # type: ignore[attr-defined]
    results = launch(tmp_path / "run", function, sampler=sampler)
    assert len(results.to_frame()) == count
    notes = [disk.load().metadata["budget"] for disk in
             SharedState(tmp_path / "run").trial_refs()[Trial.State.COMPLETE]]  # fmt: skip
    assert [note["used"] for note in notes] == used
    assert {(note["max"], note["eval_cost"]) for note in notes} == {(4.0, 2.0)}
    assert {note["account_for_cost"] for note in notes} == {function is with_cost}


def test_a_missing_cost_under_a_budget_is_a_value_error_of_that_trial(tmp_path: Path) -> None:
    sampler = RandomSearch(SPACE)
    sampler.budget = 4.0  # type: ignore[attr-defined]
    results = launch(tmp_path / "run", sampler=sampler, max_evaluations_total=2)
    assert all(each.message.startswith("ValueError") for each in results.failures)
    assert "has no 'cost'" in results.failures[0].message


def test_former_names_of_arguments_are_refused_with_the_new_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="renamed to 'pipeline_directory'"):
        launch(tmp_path / "run", former_name)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_all_processes_agree_on_the_optimizer(tmp_path: Path) -> None:
    launch(tmp_path / "run")
    launch(tmp_path / "run", optimizer_info={"searcher_name": "another", "seed": 1})
    with pytest.raises(ValueError, match=r"'seed': 2.*'seed': 1"):
        launch(tmp_path / "run", optimizer_info={"searcher_name": "random", "seed": 2})


def test_hooks_see_what_they_are_promised(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []
    loaded: list[Any] = []

    def load(sampler: Any) -> Any:
        loaded.append(sampler)
        return sampler

    logger = logging.getLogger("test-folder")
    launch(
        tmp_path / "run",
        post_evaluation_hook=lambda *told: seen.append(told),
        pre_load_hooks=[load],
        logger=logger,
        max_evaluations_per_run=2,
    )
    assert len(loaded) == 1
    assert len(seen) == 2
    config, id_, place, results, told_logger = seen[0]
    assert (id_, place.name, results) == ("0", "config_0", {"loss": config["x"]})
    assert told_logger is logger


def test_corrupted_trials_are_moved_aside_and_not_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "run" / "results" / "config_77"
    broken.mkdir(parents=True)
    (broken / "precious").write_text("output")
    assert states(tmp_path / "run") == {"corrupted": 1}
    launch(tmp_path / "run")
    assert states(tmp_path / "run") == {"evaluated": 3}
    assert (broken.parent / "corrupted_config_77" / "precious").read_text() == "output"
    assert "is moved to" in caplog.text


def test_observing_takes_nothing_and_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    trial = Trial("5", {"x": 1.0}, tmp_path / "results" / "config_5", "4", {"time_sampled": 1.0})
    disk = trial.write_to_disk()
    assert disk.previous_pipeline_dir == tmp_path / "results" / "config_4"
    assert disk.state is Trial.State.PENDING
    disk.lock.take()
    assert disk.state is Trial.State.IN_PROGRESS
    note = json.loads(disk.lock.path.read_bytes())
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    disk.lock.path.write_text(json.dumps({"process": [note["process"][0], pid]}))
    assert disk.state is Trial.State.PENDING
    assert disk.load().prev_config_id == "4"


def test_beginning_anew_moves_the_old_directory_aside(tmp_path: Path) -> None:
    launch(tmp_path / "run")
    launch(tmp_path / "run", overwrite_optimization_dir=True, optimizer_info={"seed": 2})
    (old,) = tmp_path.glob("run.old-*")
    assert states(old) == {"evaluated": 3}
    assert Election(tmp_path / "run" / "terms", "me", 4.0).try_to_lead(renew=True)
    with pytest.raises(ConfigurationError, match="works in it"):
        launch(tmp_path / "run", overwrite_optimization_dir=True)


@pytest.mark.parametrize("variable", ["HPDIST_STATE_POLL", "HPDIST_STATE_TIMEOUT"])
def test_the_environment_sets_poll_and_time_out(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "2.0" if "TIMEOUT" in variable else "0.01")
    assert len(launch(tmp_path / "run").to_frame()) == 3
    monkeypatch.setenv(variable, "soon")
    with pytest.raises(ConfigurationError, match=variable):
        launch(tmp_path / "run", max_evaluations_total=5)
