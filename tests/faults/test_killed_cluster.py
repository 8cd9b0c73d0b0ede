"""A run survives the death of any of its processes; and whoever judges that can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed_cluster import PLAN, trial
from stage import SCRIPTS


@pytest.mark.slow
def test_a_run_whose_every_process_is_killed_comes_to_its_planned_end(tmp_path: Path) -> None:
    verdict = trial(tmp_path, seed=1)
    assert verdict["complaints"] == []
    assert verdict["jobs"] == sum(row[2] for row in PLAN) >= 200
    assert verdict["lost"] >= 4, "three workers were killed and one was stopped"
    assert verdict["fenced"] >= 1
    assert verdict["masters"] == 3


# ------------------------------------------------------------------------------ the judge

Line = dict[str, Any]


def job(number: int, x: float) -> Line:
    what = {"job_id": number, "trial_id": number, "budget": 1.0, "bracket": 0, "rung": 0}
    return {"kind": "job", "job": what, "trial": {"trial_id": number, "config": {"x": x}}}


def start(number: int, attempt: int = 1) -> Line:
    return {"kind": "start", "job_id": number, "attempt": attempt, "at": 1.0}


def done(number: int, x: float, attempt: int = 1, *, final: bool = True) -> Line:
    outcome = {"loss": (x - 0.3) ** 2 + 1.0}
    record = {"kind": "done", "job_id": number, "attempt": attempt, "at": 3.0, "final": final}
    return record | {"outcome": outcome if final else None}


def note(event: str, number: int, attempt: int = 1, at: float = 2.0) -> Line:
    return {"event": event, "trial": number, "budget": 1.0, "attempt": attempt, "at": at}


def honest() -> tuple[list[Line], list[Line]]:
    """Two jobs; the first was lost once, and its first attempt ended late."""
    journal = [
        {"kind": "resumed", "epoch": 1, "pid": 1},
        *(job(0, 0.1), start(0), done(0, 0.1, final=False), start(0, 2), done(0, 0.1, 2)),
        *(job(1, 0.9), start(1), done(1, 0.9)),
        {"kind": "ended", "reason": "finished"},
    ]
    log = [note("start", 0), note("start", 0, 2), note("end", 0, 2), note("end", 0, at=9.0)]
    return journal, [*log, note("start", 1), note("end", 1)]


def judged(directory: Path, journal: list[Line], log: list[Line]) -> Line:
    paths = directory / "journal", directory / "log"
    for path, lines, prefix in zip(paths, (journal, log), ("0" * 18, ""), strict=True):
        path.write_text("".join(f"{prefix}{json.dumps(line)}\n" for line in lines))
    said = subprocess.run(
        [sys.executable, str(SCRIPTS / "judge.py"), *map(str, paths), "[[0, 0, 2, 1.0]]"],
        stdout=subprocess.PIPE,
        check=True,
    )
    verdict: Line = json.loads(said.stdout)
    return verdict


def test_the_judge_has_nothing_against_an_honest_run(tmp_path: Path) -> None:
    verdict = judged(tmp_path, *honest())
    assert verdict["complaints"] == []
    assert (verdict["jobs"], verdict["evaluations"], verdict["fenced"]) == (2, 3, 1)


Crime = Callable[[list[Line], list[Line]], object]

CRIMES: dict[str, tuple[Crime, str]] = {
    "a result twice": (lambda j, log: j.append(j[5]), "exactly one final record"),
    "a result lost": (lambda j, log: j.pop(8), "exactly one final record"),
    "a job lost": (lambda j, log: [j.pop(6) for _ in range(3)], "missing Counter"),
    "a job twice": (lambda j, log: j.insert(6, j[1]), "created twice"),
    "a job too many": (
        lambda j, log: j.insert(9, job(2, 0.5)),
        "other jobs than planned: Counter",
    ),
    "a stale result": (lambda j, log: j[5].update(attempt=1), "a stale attempt won"),
    "another's result": (lambda j, log: j[8]["outcome"].update(loss=0.5), "has the loss 0.5"),
    "a failure": (lambda j, log: j[8].update(outcome={"failure": "crash"}), "has the loss None"),
    "a number used again": (lambda j, log: j[4].update(attempt=0), "went back to 0"),
    "an invented result": (lambda j, log: log.pop(), "is recorded, but never ended"),
    "an attempt run twice": (lambda j, log: log.append(log[0]), "was evaluated 2 times"),
    "an attempt not written down": (
        lambda j, log: log.append(note("start", 1, 7)),
        "was not in the journal before",
    ),
    "an epoch used twice": (lambda j, log: j.insert(5, j[0] | {"pid": 2}), "epochs [1, 1]"),
    "no end": (lambda j, log: j.pop(), "no end"),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_the_judge_sees(tmp_path: Path, crime: str) -> None:
    journal, log = honest()
    commit, complaint = CRIMES[crime]
    commit(journal, log)
    assert any(complaint in told for told in judged(tmp_path, journal, log)["complaints"])
