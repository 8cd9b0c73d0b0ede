"""A search that is killed at any moment comes to the same end as one that is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hpdist.core.journal.reader import read_journal
from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated

pytestmark = pytest.mark.slow

KILLS = 50

SCRIPT = Path(__file__).with_name("killed_search.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    directory = tmp_path_factory.mktemp("runs")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(directory), str(KILLS)],
        stdout=subprocess.PIPE,
        timeout=110,
        check=True,
    )
    return json.loads(done.stdout), directory


def told(run: Path) -> list[tuple[Any, ...]]:
    """What was evaluated and what came of it, in the order in which it was settled."""
    trials, jobs, lines = {}, {}, []
    for _, record in read_journal(run / "journal").records:
        if isinstance(record, JobCreated):
            jobs[record.job.job_id] = record.job
            if record.trial is not None:
                trials[record.trial.trial_id] = record.trial
        elif isinstance(record, AttemptEnded) and record.final:
            job = jobs[record.job_id]
            lines.append((trials[job.trial_id], job, record.outcome))
    return lines


def attempts(run: Path) -> Counter[int]:
    records = read_journal(run / "journal").records
    return Counter(record.job_id for _, record in records if isinstance(record, AttemptStarted))


def test_each_life_was_ended_by_sigkill_where_it_should(runs: tuple[dict[str, Any], Path]) -> None:
    report, _ = runs
    assert [status for _, status in report["killed"]] == [-9] * KILLS
    kinds = Counter(kind for kind, _ in report["killed"])
    assert kinds["evaluation"] == KILLS // 2
    assert len(kinds) == 8
    assert report["last"] == 0


def test_a_killed_search_finds_the_same_in_the_same_order(
    runs: tuple[dict[str, Any], Path],
) -> None:
    _, directory = runs
    whole, killed = told(directory / "whole"), told(directory / "killed")
    assert len({trial.trial_id for trial, _, _ in whole}) >= 30
    # repr tells apart all floats that differ in a single bit, and -0.0 from 0.0.
    assert [repr(line) for line in killed] == [repr(line) for line in whole]


def test_only_evaluations_that_were_interrupted_are_attempted_again(
    runs: tuple[dict[str, Any], Path],
) -> None:
    _, directory = runs
    assert set(attempts(directory / "whole").values()) == {1}
    again = sum(attempts(directory / "killed").values()) - len(attempts(directory / "killed"))
    assert 0 < again <= KILLS


def test_no_result_is_lost_once_it_is_written(runs: tuple[dict[str, Any], Path]) -> None:
    report, directory = runs
    kinds = Counter(kind for kind, _ in report["killed"])
    unwritten = kinds["answered"] + kinds["write"] + kinds["torn"]
    evaluated = (directory / "killed-evaluated").read_text().splitlines()
    assert 0 < len(evaluated) - len(told(directory / "killed")) <= unwritten
