"""Judge a run by its journal and by what the objective wrote down, knowing no code of hpdist.

``python judge.py JOURNAL LOG PLAN [FAILURES]`` prints a JSON object: ``complaints``, empty if
nothing is wrong, and counts of what happened. PLAN is a JSON list of [bracket, rung, number,
budget], FAILURES a JSON object with the kind of failure in which each trial that is not to have a
loss has to end, by the trial's number.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def read_journal(path: Path) -> list[Line]:
    """The records, without the length and checksum before each."""
    return [json.loads(line[18:]) for line in path.read_bytes().splitlines()]


def read_log(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Court:
    """Looks at one run from all sides; ``complaints`` is what is wrong with it."""

    def __init__(
        self,
        journal: list[Line],
        log: list[Line],
        plan: list[list[Any]],
        failures: dict[str, str],
    ) -> None:
        self.journal, self.log, self.failures = journal, log, failures
        self.plan = Counter({(b, rung, budget): number for b, rung, number, budget in plan})
        self.jobs = {r["job"]["job_id"]: r["job"] for r in self.of("job")}
        self.configs = {
            r["trial"]["trial_id"]: r["trial"]["config"] for r in self.of("job", "trial")
        }
        self.finals = {r["job_id"]: r for r in self.of("done", "final")}
        self.numbers = {(j["trial_id"], j["budget"]): number for number, j in self.jobs.items()}
        self.starts = Counter(self.attempt(line) for line in log if line["event"] == "start")
        self.ends = {self.attempt(line): line["at"] for line in log if line["event"] == "end"}
        self.complaints: list[str] = []

    def of(self, kind: str, having: str = "kind") -> list[Line]:
        return [record for record in self.journal if record["kind"] == kind and record[having]]

    def attempt(self, line: Line) -> tuple[int, int]:
        return self.numbers.get((line["trial"], line["budget"]), -1), line["attempt"]

    def masters(self) -> list[tuple[int, int]]:
        """Epoch and process id of each; one may say twice that it has taken over."""
        return list(dict.fromkeys((r["epoch"], r["pid"]) for r in self.of("resumed")))

    def check(self, holds: bool, complaint: str) -> None:
        if not holds:
            self.complaints.append(complaint)

    def judge(self) -> dict[str, Any]:
        self._judge_plan()
        self._judge_results()
        self._judge_attempts()
        late = [a for a, at in self.ends.items() if a[0] in self.finals and self._late(a, at)]
        return {
            "complaints": self.complaints,
            "jobs": len(self.jobs),
            "evaluations": sum(self.starts.values()),
            "lost": sum("failure" in (r["outcome"] or {}) for r in self.of("done")),
            "fenced": len(late),
            "masters": len(self.masters()),
        }

    def _late(self, attempt: tuple[int, int], at: float) -> bool:
        final = self.finals[attempt[0]]
        return bool(attempt[1] < final["attempt"] and at > final["at"])

    def _judge_plan(self) -> None:
        created = [record["job"]["job_id"] for record in self.of("job")]
        self.check(created == list(range(len(created))), "jobs are missing or were created twice")
        made = Counter((j["bracket"], j["rung"], j["budget"]) for j in self.jobs.values())
        self.check(made == self.plan, f"other jobs than planned: {made - self.plan}, missing "
                   f"{self.plan - made}")  # fmt: skip
        finals = Counter(record["job_id"] for record in self.of("done", "final"))
        self.check(finals == Counter(created), "not every job has exactly one final record")
        epochs = [epoch for epoch, _ in self.masters()]
        self.check(epochs == list(range(1, len(epochs) + 1)), f"epochs {epochs}")
        last = self.journal[-1]
        ended = (last["kind"], last.get("reason")) == ("ended", "finished")
        self.check(ended or any(r.get("reason") == "finished" for r in self.of("ended")), "no end")

    def _judge_results(self) -> None:
        for number, record in self.finals.items():
            job = self.jobs[number]
            kind = self.failures.get(str(job["trial_id"]))
            told = (record["outcome"] or {}).get("failure")
            self.check(told == kind, f"job {number} has the failure {told}, not {kind}")
            if kind is not None:
                continue
            expected = self.expected(job)
            loss = (record["outcome"] or {}).get("loss")
            self.check(loss == expected, f"job {number} has the loss {loss}, not {expected}")
            attempt = (number, record["attempt"])
            self.check(attempt in self.ends, f"attempt {attempt} is recorded, but never ended")

    def expected(self, job: Line) -> float:
        """The one loss that this job can have."""
        return float((self.configs[job["trial_id"]]["x"] - 0.3) ** 2 + 1 / job["budget"])

    def _judge_attempts(self) -> None:
        latest: dict[int, int] = {}
        begun = set()
        for record in self.of("start"):
            number, attempt = record["job_id"], record["attempt"]
            self.check(attempt >= latest.get(number, 1), f"job {number} went back to {attempt}")
            latest[number] = attempt
            begun.add((number, attempt))
        for number, record in self.finals.items():
            self.check(
                latest.get(number) == record["attempt"], f"job {number}: a stale attempt won"
            )
        for attempt, times in self.starts.items():
            self.check(times == 1, f"attempt {attempt} was evaluated {times} times")
            self.check(
                attempt in begun, f"attempt {attempt} ran, but was not in the journal before"
            )


if __name__ == "__main__":
    _, journal, log, plan, *failures = sys.argv
    kinds = json.loads(failures[0]) if failures else {}
    court = Court(read_journal(Path(journal)), read_log(Path(log)), json.loads(plan), kinds)
    sys.stdout.write(json.dumps(court.judge()))
