"""Whoever judges a soak can tell: each crime that is forged into an honest history is named."""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soak_judge import SoakCourt

Line = dict[str, Any]

PLAN = {"run": "soak", "jobs": 2, "workers": 2, "seed": 7, "lease_s": 2.0}
SEEDS = [1718373188, 4149949613]  #: of trials 0 and 1, as hpdist derives them from seed 7
X = [0.1, 0.9]
LOSSES = [(x - 0.3) ** 2 + seed / 2**32 for x, seed in zip(X, SEEDS, strict=True)]
FIRST, SECOND, MASTER = 11, 12, 99


def job(number: int) -> Line:
    what = {"job_id": number, "trial_id": number, "budget": 1.0, "bracket": 0, "rung": 0}
    trial = {"trial_id": number, "config": {"x": X[number]}}
    return {"kind": "job", "job": what, "trial": trial, "at": 0.0}


def worker(pid: int) -> Line:
    return {"kind": "worker", "state": "joined", "worker": {"worker_id": f"w{pid}", "pid": pid}}


def start(number: int, attempt: int, pid: int, at: float) -> Line:
    record = {"kind": "start", "job_id": number, "attempt": attempt, "at": at}
    return record | {"worker_id": f"w{pid}"}


def done(number: int, attempt: int, pid: int, at: float, *, final: bool = True) -> Line:
    outcome = {"loss": LOSSES[number]} if final else {"failure": "lost"}
    record = {"kind": "done", "job_id": number, "attempt": attempt, "at": at, "final": final}
    return record | {"worker_id": f"w{pid}", "outcome": outcome}


def note(event: str, number: int, attempt: int, pid: int, at: float) -> Line:
    what = {"trial": number, "budget": 1.0, "attempt": attempt, "seed": SEEDS[number]}
    return {"event": event, "worker": pid, "at": at, **what}


def sample(at: float) -> Line:
    return {"who": "master", "pid": MASTER, "at": at, "rss": 80 << 20, "threads": 9, "fds": 12}


class History:
    """Two jobs; the worker of the first was killed at work, and the second was stopped a while."""

    def __init__(self) -> None:
        self.journal = [
            {"kind": "resumed", "epoch": 1, "pid": 1, "at": 0.0},
            *(worker(FIRST), worker(SECOND)),
            *(job(0), start(0, 1, FIRST, 1.0), done(0, 1, FIRST, 3.0, final=False)),
            *(start(0, 2, SECOND, 4.0), done(0, 2, SECOND, 5.0)),
            *(job(1), start(1, 1, SECOND, 6.0), done(1, 1, SECOND, 40.0)),
            {"kind": "ended", "reason": "finished", "at": 41.0},
        ]
        self.log = [
            note("start", 0, 1, FIRST, 1.1),
            *(note("start", 0, 2, SECOND, 4.1), note("end", 0, 2, SECOND, 4.2)),
            *(note("start", 1, 1, SECOND, 6.1), note("end", 1, 1, SECOND, 6.2)),
        ]
        self.diary = [
            {"event": "signalled", "pid": FIRST, "signal": int(signal.SIGKILL), "at": 2.0},
            {"event": "died", "pid": FIRST, "code": -9, "at": 2.0},
            {"event": "signalled", "pid": SECOND, "signal": int(signal.SIGSTOP), "at": 10.0},
            {"event": "signalled", "pid": SECOND, "signal": int(signal.SIGCONT), "at": 13.5},
            {"event": "died", "pid": SECOND, "code": 0, "at": 42.0},
        ]
        self.samples = [sample(float(at)) for at in range(40)]
        self.calls = {"pass request step": 90, "drop request step": 1, "drop reply beat": 1}

    def record(self, kind: str, **having: Any) -> Line:
        """The record of this kind with these values."""
        (found,) = (
            r
            for r in self.journal
            if r["kind"] == kind and all(r[name] == value for name, value in having.items())
        )
        return found

    def judged(self, directory: Path) -> Line:
        (directory / "soak").mkdir()
        (directory / "evaluations").mkdir()
        lines = "".join(f"{'0' * 18}{json.dumps(record)}\n" for record in self.journal)
        (directory / "soak" / "journal").write_text(lines)
        for pid in (FIRST, SECOND):
            own = [line for line in self.log if line["worker"] == pid]
            write(directory / "evaluations" / f"{pid}.log", own)
        write(directory / "diary", self.diary)
        write(directory / "samples", self.samples)
        (directory / "calls").write_text(json.dumps(self.calls))
        return SoakCourt(directory, PLAN).judge()


def write(path: Path, lines: list[Line]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_the_judge_has_nothing_against_an_honest_soak(tmp_path: Path) -> None:
    verdict = History().judged(tmp_path)
    assert verdict["complaints"] == []
    assert {name: verdict[name] for name in ("jobs", "outcomes", "lost", "doubled", "wrong")} == {
        "jobs": 2, "outcomes": 2, "lost": 0, "doubled": 0, "wrong": 0,
    }  # fmt: skip
    assert verdict["repeated because of"] == {"worker killed": 1}
    assert verdict["recovery"]["of a killed worker, longest s"] == 2.1
    assert verdict["faults"] == {
        "workers killed": 1, "workers stopped": 1, "longest stop s": 3.5, "masters killed": 0,
    }  # fmt: skip
    assert verdict["calls"] == {"messages": 92, "pass": 90, "drop": 2}
    assert verdict["resources"]["lives"] == 1


Crime = Callable[[History], object]


def again(history: History) -> None:
    """The second job is evaluated once more, though nothing befell it."""
    history.journal[-1:-1] = [start(1, 2, SECOND, 30.0)]
    history.record("done", job_id=1)["attempt"] = 2
    history.log += [note("start", 1, 2, SECOND, 30.1), note("end", 1, 2, SECOND, 30.2)]
    history.diary[2:4] = []


def again_for_another_master(history: History) -> None:
    """The successor of a dead master repeats what it should have been handed."""
    again(history)
    history.diary.append({"event": "master killed", "pid": MASTER, "at": 20.0})


def given_up_too_often(history: History) -> None:
    """More workers are given up than any lost call explains."""
    again(history)
    history.journal.insert(-2, done(1, 1, SECOND, 29.0, final=False))
    history.calls = {"pass request step": 90}


def grow(name: str, step: int) -> Crime:
    def commit(history: History) -> None:
        for count, each in enumerate(history.samples):
            each[name] += count * step

    return commit


CRIMES: dict[str, tuple[Crime, str]] = {
    "a job lost": (
        lambda h: h.journal.remove(h.record("done", job_id=1)),
        "not every job has exactly one final record",
    ),
    "an outcome doubled": (
        lambda h: h.journal.insert(-1, copy.deepcopy(h.record("done", job_id=1))),
        "not every job has exactly one final record",
    ),
    "a wrong value": (
        lambda h: h.record("done", job_id=1)["outcome"].update(loss=0.5),
        "job 1 has the loss 0.5",
    ),
    "a wrong seed": (
        lambda h: h.log[3].update(seed=1),
        "trial 1 ran with the seed 1",
    ),
    "a job that was given up": (
        lambda h: h.record("done", job_id=1).update(outcome={"failure": "lost"}),
        "job 1 has the failure lost, not None",
    ),
    "a stale result": (
        lambda h: h.record("done", job_id=0, final=True).update(attempt=1),
        "a stale attempt won",
    ),
    "an unknown evaluation": (
        lambda h: h.log.append(note("start", 1, 9, SECOND, 7.0)),
        "ran, but was not in the journal before",
    ),
    "an evaluation before its record": (
        lambda h: h.log[3].update(at=5.9),
        "attempt (1, 1) ran before it was written down",
    ),
    "an attempt evaluated twice": (
        lambda h: h.log.append(note("start", 1, 1, SECOND, 7.0)),
        "was evaluated 2 times",
    ),
    "an invented result": (
        lambda h: h.log.pop(),
        "is recorded, but never ended",
    ),
    "a number used again": (
        lambda h: h.record("start", job_id=0, attempt=2).update(attempt=0),
        "job 0 went back to 0",
    ),
    "work repeated for no reason": (again, "attempt (1, 1) was repeated for no reason"),
    "work repeated because a master died": (
        again_for_another_master,
        "attempt (1, 1) was repeated for no reason",
    ),
    "workers given up for no reason": (given_up_too_often, "more than calls were lost"),
    "a worker that went home early": (
        lambda h: h.diary[-1].update(at=20.0),
        "worker 12 ended by itself, with 0",
    ),
    "a worker that failed": (
        lambda h: h.diary[-1].update(code=1),
        "worker 12 ended by itself, with 1",
    ),
    "a leak of memory": (grow("rss", 1 << 20), "master 99 leaks bytes"),
    "a leak of threads": (grow("threads", 1), "master 99 leaks threads"),
    "a leak of files": (grow("fds", 1), "master 99 leaks fds"),
    "nobody watched": (lambda h: h.samples.clear(), "no process was watched for long enough"),
    "no end": (lambda h: h.journal.pop(), "no end"),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_the_judge_of_a_soak_sees(tmp_path: Path, crime: str) -> None:
    history = History()
    commit, complaint = CRIMES[crime]
    commit(history)
    complaints = history.judged(tmp_path)["complaints"]
    assert any(complaint in told for told in complaints), complaints


def test_a_repetition_counts_as_lost_calls_where_calls_were_lost(tmp_path: Path) -> None:
    history = History()
    given_up_too_often(history)
    history.calls = {"drop request beat": 1}
    verdict = history.judged(tmp_path)
    assert verdict["complaints"] == []
    assert verdict["repeated because of"] == {"worker killed": 1, "lost calls": 1}
