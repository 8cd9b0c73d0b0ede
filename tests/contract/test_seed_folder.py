"""The names that the seed of the shared folder promises, with signatures."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

from hpdist.folder import SharedState, Trial, get_in_progress_trial, launch_runtime

REQUIRED = inspect.Parameter.empty

LAUNCH: dict[str, Any] = {
    "evaluation_fn": REQUIRED,
    "sampler": REQUIRED,
    "optimizer_info": REQUIRED,
    "optimization_dir": REQUIRED,
    "max_evaluations_total": None,
    "max_evaluations_per_run": None,
    "continue_until_max_evaluation_completed": False,
    "logger": None,
    "post_evaluation_hook": None,
    "overwrite_optimization_dir": False,
    "pre_load_hooks": None,
}

SIGNATURES: list[tuple[Any, dict[str, Any]]] = [
    (launch_runtime, LAUNCH),
    (get_in_progress_trial, {}),
    (SharedState, {"base_dir": REQUIRED, "create_dirs": False}),
    (SharedState.trial_refs, {"self": REQUIRED}),
    (
        SharedState.check_optimizer_info_on_disk_matches,
        {"self": REQUIRED, "optimizer_info": REQUIRED, "excluded_keys": ("searcher_name",)},
    ),
    (
        Trial,
        {
            "id": REQUIRED,
            "config": REQUIRED,
            "pipeline_dir": REQUIRED,
            "prev_config_id": REQUIRED,
            "metadata": REQUIRED,
            "results": None,
        },
    ),
    (Trial.to_result, {"self": REQUIRED, "config_transform": None}),
    (Trial.write_to_disk, {"self": REQUIRED}),
    (Trial.Disk, {"pipeline_dir": REQUIRED}),
    (Trial.Disk.config, {"self": REQUIRED}),
    (Trial.Disk.from_dir, {"pipeline_dir": REQUIRED}),
    (Trial.Disk.load, {"self": REQUIRED}),
]


def test_signatures() -> None:
    for function, expected in SIGNATURES:
        parameters = inspect.signature(function).parameters
        assert {name: each.default for name, each in parameters.items()} == expected, function


def test_launch_takes_everything_by_name() -> None:
    kinds = {each.kind for each in inspect.signature(launch_runtime).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_the_states() -> None:
    assert {state.name: state.value for state in Trial.State} == {
        "COMPLETE": "evaluated",
        "IN_PROGRESS": "in_progress",
        "PENDING": "pending",
        "CORRUPTED": "corrupted",
    }


def test_the_attributes(tmp_path: Path) -> None:
    assert {each.name for each in fields(Trial.Disk)} == {
        *("pipeline_dir", "id", "config_file", "result_file", "metadata_file"),
        *("optimization_dir", "previous_config_id_file", "previous_pipeline_dir", "lock"),
    }
    state = SharedState(tmp_path, create_dirs=True)
    names = ("lock", "optimizer_state_file", "optimizer_info_file", "results_dir", "base_dir")
    assert all(hasattr(state, name) for name in names)
    assert isinstance(Trial("1", {}, tmp_path / "config_1", None, {}).disk, Trial.Disk)
