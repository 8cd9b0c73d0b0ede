"""What an objective is told of its attempt, and how its reports get out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpdist.core.attempt.attempt_directories import AttemptDirectories
from hpdist.core.model.payload import PreviousAttempt
from hpdist.core.objective.context import Context, ReportValve
from hpdist.testing.executors import payload_of


def test_the_directory_is_made_when_first_asked_for(tmp_path: Path) -> None:
    context = Context(payload_of({}), 1, tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    assert context.directory.is_dir()
    assert context.dir == context.directory


def test_directories_stay_below_the_root_whatever_the_payload_says(tmp_path: Path) -> None:
    directories = AttemptDirectories()
    payload = replace(payload_of({}), trial_id="../../etc")
    with pytest.raises(ValueError, match="invalid literal"):
        directories.of(tmp_path, payload, 1)


def test_the_previous_directory_is_none_unless_it_exists(tmp_path: Path) -> None:
    directories = AttemptDirectories()
    lower, _ = directories.of(tmp_path, payload_of({}), 2)
    payload = payload_of({}, budget=3.0, previous=PreviousAttempt(1.0, 2))
    own, previous = directories.of(tmp_path, payload, 1)
    assert own != lower
    assert previous is None
    lower.mkdir(parents=True)
    assert directories.of(tmp_path, payload, 1) == (own, lower)


def test_a_temporary_root_is_removed_in_the_end() -> None:
    directories = AttemptDirectories()
    own, _ = directories.of(None, payload_of({}), 1)
    own.mkdir(parents=True)
    directories.close()
    assert not own.exists()


def test_reports_pass_on_plain_finite_numbers(tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    context = Context(
        payload_of({}), 1, tmp_path, report=lambda step, loss: seen.append((step, loss))
    )
    assert context.report(np.int64(3), np.float32(0.5)) is None
    context.report(4, math.nan)
    assert seen == [(3, 0.5)]
    assert [type(each) for each in seen[0]] == [int, float]


@pytest.mark.parametrize("arguments", [(1, "low"), (1, None), ("1", 0.5), (0.5, 0.5)])
def test_a_report_of_no_number_is_an_error(tmp_path: Path, arguments: Any) -> None:
    with pytest.raises(TypeError):
        Context(payload_of({}), 1, tmp_path).report(*arguments)


@pytest.mark.parametrize("step", [-1, 2**53, 10**400])
def test_a_report_of_a_step_that_cannot_be_sent_is_an_error(tmp_path: Path, step: int) -> None:
    """Its worker could say nothing any more, and would be given up."""
    with pytest.raises(ValueError, match="step"):
        Context(payload_of({}), 1, tmp_path).report(step, 0.5)


def test_a_report_answers_stop_when_asked_to(tmp_path: Path) -> None:
    context = Context(payload_of({}), 1, tmp_path, stop_requested=lambda: True)
    assert context.report(1, 0.5) == "stop"


def test_the_valve_lets_first_and_last_reports_through() -> None:
    seen: list[int] = []
    valve = ReportValve(lambda step, loss: seen.append(step), free=3, interval_s=3600)
    for step in range(100_000):
        valve(step, 0.0)
    valve.close()
    valve.close()
    assert seen == [0, 1, 2, 99_999]
