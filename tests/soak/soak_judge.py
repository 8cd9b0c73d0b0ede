"""Judge a soak by what it left behind, knowing no code of hpdist.

``python soak_judge.py DIRECTORY PLAN`` prints a JSON object: ``complaints``, empty if nothing is
wrong, and figures. PLAN has ``run``, ``jobs``, ``workers``, ``seed`` and ``lease_s``. Looked at are
the journal, the evaluation log that each worker wrote by itself, the driver's diary of faults,
what the proxy says it did to calls, and samples of what the processes used.
"""

from __future__ import annotations

import hashlib
import json
import signal
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "faults" / "cluster_scripts"))

from judge import Court, read_journal, read_log
from soak_flatness import judge_samples

Line = dict[str, Any]
Span = tuple[float, float]


class SoakCourt(Court):
    """Looks at a soak: the court for any run, and what only a soak has."""

    def __init__(self, directory: Path, plan: Line) -> None:
        logs = (directory / "evaluations").glob("*.log")
        log = sorted(
            (line for path in logs for line in read_log(path)), key=lambda line: line["at"]
        )
        journal = read_journal(directory / plan["run"] / "journal")
        super().__init__(journal, log, [[0, 0, plan["jobs"], 1.0]], failures={})
        self.orders = plan
        self.diary = read_log(directory / "diary")
        self.samples = read_log(directory / "samples")
        self.calls = _read_calls(directory / "calls")
        self.killed = {line["pid"]: line["at"] for line in self._signals(signal.SIGKILL)}
        self.stopped = self._stops()
        self.masters_killed = [d["at"] for d in self.diary if d["event"] == "master killed"]
        self.begun = sorted(
            (*self.attempt(line), line["at"], line["worker"])
            for line in log
            if line["event"] == "start"
        )

    def judge(self) -> Line:
        """All that there is to say."""
        general = super().judge()
        self._judge_seeds()
        self._judge_order()
        self._judge_ends()
        repeated = self._judge_repetitions()
        resources = self._judge_resources()
        outcomes = len(self.of("done", "final"))
        return {
            "complaints": self.complaints,
            "jobs": general["jobs"],
            "outcomes": outcomes,
            "lost": self.orders["jobs"] - len(self.finals),
            "doubled": outcomes - len(self.finals),
            "wrong": sum("has the loss" in complaint for complaint in self.complaints),
            "evaluations": general["evaluations"],
            "repeated because of": repeated,
            "too late, refused": general["fenced"],
            "recovery": self._recovery(),
            "faults": {
                "workers killed": len(self.killed),
                "workers stopped": sum(map(len, self.stopped.values())),
                "longest stop s": self._longest_stop(),
                "masters killed": len(self.masters_killed),
            },
            "calls": self._calls_harmed(),
            "resources": resources,
        }

    def expected(self, job: Line) -> float:
        x = self.configs[job["trial_id"]]["x"]
        return float((x - 0.3) ** 2 + self._seed_of(job["trial_id"]) / 2**32)

    def _seed_of(self, trial: int) -> int:
        digest = hashlib.blake2b(f"{self.orders['seed']}/{trial}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big")

    def _judge_seeds(self) -> None:
        for line in self.log:
            if line["event"] == "start":
                right = line["seed"] == self._seed_of(line["trial"])
                self.check(right, f"trial {line['trial']} ran with the seed {line['seed']}")

    def _judge_order(self) -> None:
        """Nothing was evaluated before it stood in the journal that it would be."""
        written: dict[tuple[int, int], float] = {}
        for record in self.of("start"):
            written.setdefault((record["job_id"], record["attempt"]), record["at"])
        for job, attempt, at, _ in self.begun:
            before = written.get((job, attempt), 0.0) <= at
            self.check(before, f"attempt {(job, attempt)} ran before it was written down")

    def _judge_ends(self) -> None:
        """No worker went home before the run was over."""
        over = max((record["at"] for record in self.of("ended")), default=float("inf"))
        for line in self.diary:
            if line["event"] == "died" and line["pid"] not in self.killed:
                home = line["at"] >= over and line["code"] == 0
                self.check(home, f"worker {line['pid']} ended by itself, with {line['code']}")

    def _judge_resources(self) -> Line:
        settled = sorted(record["at"] for record in self.finals.values())
        warm_up_s = self.orders["lease_s"]  # by then all workers are back, or given up
        # After that a master reads all results once more, to return them.
        before = [sample for sample in self.samples if settled and sample["at"] < settled[-1]]
        leaks, figures = judge_samples(before, settled, warm_up_s, self.orders["workers"])
        self.complaints += leaks
        return figures

    # ------------------------------------------------------------------ work done again

    def _judge_repetitions(self) -> dict[str, int]:
        """Count the evaluations that were repeated, by what explains it."""
        reasons: Counter[str] = Counter()
        given_up = {(r["job_id"], r["attempt"]) for r in self.of("done") if _is_lost(r)}
        for (job, attempt, at, pid), (later, _, until, _) in zip(
            self.begun, self.begun[1:], strict=False
        ):
            if later != job:
                continue
            reason = self._reason(pid, (at, until), (job, attempt) in given_up)
            reasons[reason] += 1
            self.check(reason != "", f"attempt {(job, attempt)} was repeated for no reason")
        self.check(
            reasons["lost calls"] <= self._calls_harmed().get("drop", 0),
            f"{reasons['lost calls']} workers were given up, more than calls were lost",
        )
        return dict(reasons)

    def _reason(self, pid: int, span: Span, was_given_up: bool) -> str:
        """Why an evaluation was repeated; empty if nothing explains it.

        The death of a master is no reason: its successor takes over what runs, unless a worker
        does not come back to it in time.
        """
        if span[0] <= self.killed.get(pid, 0.0) <= span[1]:
            return "worker killed"
        if any(begin <= span[1] and span[0] <= end for begin, end in self.stopped[pid]):
            return "worker stopped"
        if not was_given_up:
            return ""
        missed = any(span[0] <= at <= span[1] for at in self.masters_killed)
        return "worker late after a master's death" if missed else "lost calls"

    def _recovery(self) -> dict[str, float]:
        """Seconds from the death of a worker to the next start of what it was doing.

        And from the death of a master until the next one has given work to somebody.
        """
        starts = defaultdict(list)
        for job, _, at, _ in self.begun:
            starts[job].append(at)
        resumed = [record["at"] for record in self.of("resumed")]
        absences = [(at, at + wait) for at in self.masters_killed for wait in _next(at, resumed)]
        waits: dict[bool, list[float]] = {False: [], True: []}  # by whether a master was missing
        for job, at in self._lost_with_their_workers():
            for wait in _next(at, starts[job]):
                missing = any(begin <= at + wait and at <= end for begin, end in absences)
                waits[missing].append(wait)
        given = [record["at"] for record in self.of("start")]
        pauses = [wait for at in self.masters_killed for wait in _next(at, given)]
        return {
            **_middle_and_most("killed worker", waits[False]),
            **_middle_and_most("killed worker while a master was missing", waits[True]),
            **_middle_and_most("killed master", pauses),
        }

    def _lost_with_their_workers(self) -> list[tuple[int, float]]:
        """The jobs that were given up with a worker that was killed, and when it was killed."""
        pids = {r["worker"]["worker_id"]: r["worker"]["pid"] for r in self.of("worker")}
        found = []
        for record in self.of("done"):
            at = self.killed.get(pids.get(record["worker_id"], 0))
            if at is not None and at <= record["at"] and _is_lost(record):
                found.append((record["job_id"], at))
        return found

    # ------------------------------------------------------------------ what was done to it

    def _calls_harmed(self) -> dict[str, int]:
        """How many messages the proxy saw, and to how many it did what."""
        done: Counter[str] = Counter()
        for what, number in self.calls.items():
            done["messages"] += number
            done[what.partition(" ")[0]] += number
        return dict(done)

    def _signals(self, number: int) -> list[Line]:
        return [d for d in self.diary if d["event"] == "signalled" and d["signal"] == number]

    def _stops(self) -> dict[int, list[Span]]:
        """When each worker was stopped: until it was woken, or killed, or for ever."""
        stops: dict[int, list[Span]] = defaultdict(list)
        woken = self._signals(signal.SIGCONT)
        for line in self._signals(signal.SIGSTOP):
            ends = [w["at"] for w in woken if w["pid"] == line["pid"] and w["at"] > line["at"]]
            stops[line["pid"]].append((line["at"], min(ends, default=float("inf"))))
        return stops

    def _longest_stop(self) -> float:
        """Of those that were woken again."""
        lengths = [end - begin for spans in self.stopped.values() for begin, end in spans]
        return round(max((length for length in lengths if length < float("inf")), default=0.0), 1)


def _read_calls(path: Path) -> dict[str, int]:
    calls: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return calls


def _is_lost(record: Line) -> bool:
    return (record["outcome"] or {}).get("failure") == "lost"


def _next(at: float, later: Sequence[float]) -> list[float]:
    """How long after ``at`` the next of these times is, if there is one."""
    wait = min((other - at for other in later if other > at), default=None)
    return [] if wait is None else [wait]


def _middle_and_most(of: str, waits: Sequence[float]) -> dict[str, float]:
    figures: dict[str, float] = {f"of a {of}, cases": len(waits)}
    if waits:
        figures[f"of a {of}, median s"] = round(statistics.median(waits), 2)
        figures[f"of a {of}, longest s"] = round(max(waits), 2)
    return figures


if __name__ == "__main__":
    sys.stdout.write(json.dumps(SoakCourt(Path(sys.argv[1]), json.loads(sys.argv[2])).judge()))
