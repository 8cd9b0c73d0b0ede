"""``python -m benchmarks folder``: a shared folder whose processes are killed, and its costs.

*kills*: processes on one folder, one of them killed with SIGKILL each second, the elected one
among them; judged from the journal and from the objective's own log. *cost*: seconds that one
process needs for an evaluation that does nothing, while the folder fills.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpdist.core.journal.reader import read_journal
from hpdist.core.model.events import AttemptEnded, JobCreated
from hpdist.folder.election import FINISHED

SCRIPT = """
import os, sys, time
from hpdist.folder import run

def objective(config):
    time.sleep({seconds})
    line = f"{{config['x']!r}} {{os.getpid()}}\\n".encode()
    log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)
    os.close(log)
    return config["x"] ** 2

if __name__ == "__main__":
    run(objective, {{"x": (0.0, 1.0)}}, {folder!r}, n_trials={trials}, optimizer="random",
        isolation="none")
"""


class Crowd:
    """Processes on one folder; those that die are replaced."""

    def __init__(self, script: Path, count: int, folder: Path, seed: int) -> None:
        self._script, self._folder, self._rng = script, folder, random.Random(seed)
        self.killed = self.leaders_killed = 0
        self._errors: list[str] = []
        self.processes = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self._script)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def kill_one(self) -> None:
        """Kill one of them, each eighth time the leader, and start another."""
        leader = self._leader()
        alive = [each for each in self.processes if each.poll() is None]
        if not alive:
            return
        held = [each for each in alive if each.pid == leader]
        victim = held[0] if held and self.killed % 8 == 7 else self._rng.choice(alive)
        self.leaders_killed += victim.pid == leader
        self.killed += 1
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        self.processes[self.processes.index(victim)] = self._start()

    def finished(self) -> bool:
        """Whether the search has ended; processes that failed by themselves are an error."""
        for each in self.processes:
            if each.poll() not in (None, 0, -signal.SIGKILL):
                raise SystemExit(f"a process failed: {each.stderr and each.stderr.read()}")
        return self._heartbeat().get("state") == FINISHED

    def wait(self) -> None:
        for each in self.processes:
            each.communicate(timeout=60)

    def _heartbeat(self) -> dict[str, Any]:
        files = sorted((self._folder / "terms").glob("*.heartbeat"), key=lambda p: int(p.stem))
        try:
            heartbeat: dict[str, Any] = json.loads(files[-1].read_bytes())
        except (IndexError, OSError, ValueError):
            return {}
        return heartbeat

    def _leader(self) -> int:
        name = str(self._heartbeat().get("leader", ""))
        return int(name.split("-")[-2]) if name.count("-") >= 2 else 0


def judge(folder: Path, log: Path, trials: int) -> dict[str, int]:
    """Compare the journal with the objective's own log."""
    records = [record for _, record in read_journal(folder / "journal").records]
    jobs = {r.job.job_id: r.trial for r in records if isinstance(r, JobCreated)}
    ends = collections.Counter(r.job_id for r in records if isinstance(r, AttemptEnded) and r.final)
    lost = sum(isinstance(r, AttemptEnded) and not r.final for r in records)
    done = collections.Counter(line.split()[0] for line in log.read_text().splitlines())
    xs = collections.Counter(repr(trial.config["x"]) for trial in jobs.values() if trial)
    return {
        "trials": len(jobs),
        "missing": trials - len(jobs),
        "stuck": sum(ends[job_id] == 0 for job_id in jobs),
        "doubled": sum(count > 1 for count in ends.values()),
        "recorded, never evaluated": sum(not done[x] for x in xs),
        "attempts lost": lost,
        "evaluated again after a loss": sum(done[x] > xs[x] for x in xs),
    }


def kills(count: int, trials: int, seconds: float, seed: int) -> dict[str, Any]:
    """Have ``count`` processes evaluate ``trials``, with a SIGKILL each second."""
    with tempfile.TemporaryDirectory() as directory:
        folder, log, script = (
            Path(directory, "run"),
            Path(directory, "log"),
            Path(directory, "mine.py"),
        )
        script.write_text(
            SCRIPT.format(seconds=seconds, log=str(log), folder=str(folder), trials=trials)
        )
        started = time.monotonic()
        crowd = Crowd(script, count, folder, seed)
        while not crowd.finished():
            time.sleep(1.0)
            crowd.kill_one()
        took = time.monotonic() - started
        crowd.wait()
        found = judge(folder, log, trials)
    return {**found, "killed": crowd.killed, "leaders": crowd.leaders_killed, "seconds": took}


def cost(trials: int) -> list[tuple[int, float]]:
    """Seconds an evaluation, by one process, over the last tenth before each number of trials."""
    from hpdist.folder import run

    with tempfile.TemporaryDirectory() as directory:
        for count in (100, trials):
            run(_nothing, {"x": (0.0, 1.0)}, directory, n_trials=count, optimizer="random",
                isolation="none")  # fmt: skip
        at = [
            when
            for when, record in read_journal(Path(directory) / "journal").records
            if isinstance(record, AttemptEnded) and record.final
        ]
    return [(n, (at[n - 1] - at[n - n // 2]) / (n // 2 - 1)) for n in (100, trials // 10, trials)]


def _nothing(config: dict[str, Any]) -> float:
    return float(config["x"])


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks folder", description=__doc__)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one evaluation")
    parser.add_argument("--cost-trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.trials:
        found = kills(options.processes, options.trials, options.seconds, options.seed)
        print("  ".join(f"{name}: {value:g}" for name, value in found.items()))
    if options.cost_trials:
        for n, seconds in cost(options.cost_trials):
            print(f"cost at {n:6} trials: {1000 * seconds:.2f} ms an evaluation")
