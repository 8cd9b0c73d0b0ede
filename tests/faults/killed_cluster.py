"""A run whose nameserver, master and workers are killed, stopped and replaced as it goes.

``python -m tests.faults.killed_cluster --trials 20`` repeats it and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpdist.multi_fidelity import Hyperband

SCRIPTS = Path(__file__).with_name("cluster_scripts")
ITERATIONS = 19
PLAN = [[r.iteration, r.rung, r.num_configs, r.budget] for r in Hyperband(1, 27).plan(ITERATIONS)]
WORKERS = 4
LIMIT_S = 60.0

Line = dict[str, Any]


class Cluster:
    """The processes of one run, and what its journal and its objective's log say by now."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.gate = directory / "gate"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        number = len(self.processes)
        with (self.directory / f"{script}-{number}.out").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
                cwd=self.directory,
                env={**os.environ, "HOME": str(self.directory / "home")},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def start_master(self) -> subprocess.Popen[bytes]:
        return self.start("master", str(ITERATIONS))

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def log(self) -> list[Line]:
        return _whole_lines(self.directory / "evaluations.log")

    def journal(self, kind: str) -> list[Line]:
        records = _whole_lines(self.directory / "killed" / "journal", skip=18)
        return [record for record in records if record["kind"] == kind]

    def finished(self) -> int:
        return sum(record["final"] for record in self.journal("done"))

    def job_of(self, line: Line) -> int:
        (number,) = (
            record["job"]["job_id"]
            for record in self.journal("job")
            if (record["job"]["trial_id"], record["job"]["budget"])
            == (line["trial"], line["budget"])
        )
        return int(number)

    def held(self) -> list[Line]:
        """Evaluations that the gate holds, and whose worker is not dead."""
        log = self.log()
        ended = {_key(line) for line in log if line["event"] == "end"}
        alive = {process.pid for process in self.processes if process.poll() is None}
        return [
            line
            for line in log
            if line["event"] == "held"
            if _key(line) not in ended and line["worker"] in alive
        ]

    def hold(self, number: int) -> list[Line]:
        """Close the gate and wait until so many evaluations are held."""
        self.gate.touch()
        self.wait_until(lambda: len(self.held()) >= number, f"{number} evaluations in hand")
        return self.held()

    def wait_until(self, holds: Callable[[], Any], what: str) -> None:
        until = time.monotonic() + LIMIT_S
        while not holds():
            if time.monotonic() > until:
                raise AssertionError(f"waited {LIMIT_S:g} s for {what}\n{self.outputs()}")
            time.sleep(0.02)

    def wait_for_more(self, number: int) -> None:
        """Wait until so many more jobs are settled than now."""
        target = min(self.finished() + number, sum(row[2] for row in PLAN))
        self.wait_until(lambda: self.finished() >= target, f"{target} settled jobs")

    def wait_for_work(self, workers: list[subprocess.Popen[bytes]]) -> None:
        """Wait until all of these have begun an evaluation."""
        pids = {worker.pid for worker in workers}
        self.wait_until(lambda: pids <= {line["worker"] for line in self.log()}, "work for all")

    def process(self, pid: int) -> subprocess.Popen[bytes]:
        (found,) = (process for process in self.processes if process.pid == pid)
        return found

    def outputs(self) -> str:
        files = sorted(self.directory.glob("*.out"))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def close(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for line in self.log():  # children of workers have sessions of their own
            with suppress(ProcessLookupError):
                os.kill(line["pid"], signal.SIGKILL)


def trial(directory: Path, seed: int) -> dict[str, Any]:
    """Run it once, with what is killed when decided by ``seed``; returns what came of it.

    Raises
    ------
    AssertionError
        If anything went wrong.
    """
    cluster, rng = Cluster(directory), random.Random(seed)
    began = time.monotonic()
    try:
        nameserver = cluster.start("nameserver")
        for _ in range(WORKERS):
            cluster.start("worker")
        master = cluster.start_master()
        cluster.wait_for_more(rng.randint(5, 25))
        kill_workers_at_work(cluster, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        nameserver = replace_a_worker_without_nameserver(cluster, nameserver, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        stop_a_worker_past_its_lease(cluster, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        master, nameserver = kill_the_master_at_work(cluster, master, nameserver, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        cluster.kill(master)  # whatever it was doing
        master = cluster.start_master()
        assert master.wait(LIMIT_S) == 0, cluster.outputs()
        living = [p for p in cluster.processes if p is not nameserver and p.poll() is None]
        assert len(living) <= WORKERS
        assert [process.wait(LIMIT_S) for process in living] == [0] * len(living)
        verdict = judge(directory)
        assert verdict["complaints"] == [], "\n".join(verdict["complaints"])
        return verdict | {"seconds": round(time.monotonic() - began, 1)}
    finally:
        cluster.close()


def kill_workers_at_work(cluster: Cluster, rng: random.Random) -> None:
    """Two workers die in the middle of an evaluation; others take their places."""
    fresh = []
    for line in rng.sample(cluster.hold(WORKERS), 2):
        cluster.kill(cluster.process(line["worker"]))
        fresh.append(cluster.start("worker"))
    cluster.gate.unlink()
    cluster.wait_for_work(fresh)


def replace_a_worker_without_nameserver(
    cluster: Cluster, nameserver: subprocess.Popen[bytes], rng: random.Random
) -> subprocess.Popen[bytes]:
    """A worker dies while there is no nameserver; the new one gets work once that is back."""
    cluster.kill(nameserver)
    cluster.wait_for_more(3)
    line = rng.choice(cluster.hold(WORKERS))
    cluster.kill(cluster.process(line["worker"]))
    fresh = cluster.start("worker")
    cluster.gate.unlink()
    cluster.wait_for_more(3)
    nameserver = cluster.start("nameserver")
    cluster.wait_for_work([fresh])
    return nameserver


def stop_a_worker_past_its_lease(cluster: Cluster, rng: random.Random) -> None:
    """What it was doing is done by another one; what it tells then comes too late."""
    line = rng.choice(cluster.hold(WORKERS))
    for pid in (line["worker"], line["pid"]):
        os.kill(pid, signal.SIGSTOP)
    job = cluster.job_of(line)
    cluster.wait_until(
        lambda: job in [record["job_id"] for record in cluster.journal("done")], "a lost lease"
    )
    cluster.gate.unlink()
    cluster.wait_until(lambda: _final(cluster, job), "the same job at another worker")
    final = _final(cluster, job)[0]
    assert final["attempt"] > line["attempt"]
    os.kill(line["pid"], signal.SIGCONT)
    cluster.wait_until(
        lambda: any(
            late["event"] == "end" and _key(late) == _key(line) and late["at"] > final["at"]
            for late in cluster.log()
        ),
        "the end of the evaluation that was stopped",
    )
    os.kill(line["worker"], signal.SIGCONT)
    cluster.wait_until(
        lambda: any(
            other["worker"] == line["worker"] and other["at"] > final["at"]
            for other in cluster.log()
            if other["event"] == "start"
        ),
        "other work for the worker that was stopped",
    )
    assert len(_final(cluster, job)) == 1


def kill_the_master_at_work(
    cluster: Cluster,
    master: subprocess.Popen[bytes],
    nameserver: subprocess.Popen[bytes],
    rng: random.Random,
) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """What runs at the death of the master is settled by the next one, under the same attempt."""
    lines = cluster.hold(WORKERS)
    cluster.kill(master)
    before = len(cluster.journal("start"))
    if rng.random() < 0.5:
        cluster.kill(nameserver)
        nameserver = cluster.start("nameserver")
    early = rng.random() < 0.5
    if early:  # they end while nobody is there to be told
        cluster.gate.unlink()
        ends = {_key(line) for line in lines}
        cluster.wait_until(
            lambda: ends <= {_key(x) for x in cluster.log() if x["event"] == "end"}, "their ends"
        )
    master = cluster.start_master()
    if not early:
        cluster.wait_until(
            lambda: [r["state"] for r in cluster.journal("worker")].count("returned") >= WORKERS,
            "the return of all workers",
        )
        cluster.gate.unlink()
    for line in lines:
        job = cluster.job_of(line)
        cluster.wait_until(lambda job=job: _final(cluster, job), f"the result of job {job}")
        assert [r["attempt"] for r in _final(cluster, job)] == [line["attempt"]]
        assert job not in [r["job_id"] for r in cluster.journal("start")[before:]]
    return master, nameserver


def judge(directory: Path) -> dict[str, Any]:
    """Have the run judged by a program that knows nothing of hpdist."""
    arguments = [directory / "killed" / "journal", directory / "evaluations.log", json.dumps(PLAN)]
    said = subprocess.run(
        [sys.executable, str(SCRIPTS / "judge.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
        check=True,
    )
    verdict: dict[str, Any] = json.loads(said.stdout)
    return verdict


def _final(cluster: Cluster, job: int) -> list[Line]:
    return [r for r in cluster.journal("done") if r["job_id"] == job and r["final"]]


def _key(line: Line) -> tuple[int, float, int]:
    return line["trial"], line["budget"], line["attempt"]


def _whole_lines(path: Path, skip: int = 0) -> list[Line]:
    """What is in a file that others write, but for a last line that is not whole yet."""
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line[skip:]) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    arguments = parser.parse_args()
    columns = ("seed", "jobs", "evaluations", "lost", "fenced", "masters", "seconds")
    sys.stdout.write("  ".join(f"{name:>11}" for name in columns) + "\n")
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.trials):
        with tempfile.TemporaryDirectory(prefix="killed-") as directory:
            try:
                row = {"seed": seed, **trial(Path(directory), seed)}
                told = "  ".join(f"{row[name]:>11}" for name in columns)
            except AssertionError as error:
                failed, told = failed + 1, f"{seed:>11}  FAILED: {error}"
        sys.stdout.write(told + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{arguments.trials - failed} of {arguments.trials} trials without a fault\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
