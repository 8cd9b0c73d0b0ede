"""Peers behind the port of a searcher: programs in environments of their own.

``--peers optuna-mtpe,dehb=ENV/bin/python``: a name alone runs under the Python of the benchmark.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.quality.problem import Problem
from benchmarks.quality.simulation import Job

ROLES = {
    "optuna-tpe": "optuna_role.py",
    "optuna-mtpe": "optuna_role.py",
    "optuna-gp": "optuna_role.py",
    "nevergrad": "nevergrad_role.py",
    "dehb": "dehb_role.py",
}


class PeerSearcher:
    """Asks and tells a peer in a process of its own, by lines of JSON.

    Attributes
    ----------
    seconds
        Processor time that the peer itself needed.
    """

    def __init__(
        self, problem: Problem, name: str, python: str, seed: int, workers: int, length: float
    ) -> None:
        self.name, self.seconds = name, 0.0
        role = Path(__file__).parent / "roles" / ROLES[name]
        self._process = subprocess.Popen(
            [python, str(role), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._exchange(
            {
                "parameters": [asdict(one) for one in problem.parameters],
                "conditions": [asdict(one) for one in problem.conditions],
                "lowest": problem.lowest,
                "highest": problem.highest,
                "seed": seed,
                "workers": workers,
                "length": length,
            }
        )

    def ask(self) -> Job | None:
        job = self._exchange({"ask": True})["job"]
        return None if job is None else Job(*job)

    def tell(self, job: Job, loss: Any) -> None:
        message = {"tell": job.key, "config": job.config, "budget": job.budget, "loss": float(loss)}
        self._exchange(message)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _exchange(self, line: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it says why by ending, below
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError(f"{self.name} ended: {' '.join(map(str, self._process.args))}")
        answer: dict[str, Any] = json.loads(reply)
        self.seconds += answer.get("seconds", 0.0)
        return answer


def parse_peers(text: str) -> dict[str, str]:
    """Return the Python of each peer in "name,name=python".

    Raises
    ------
    SystemExit
        If there is no peer of that name.
    """
    pairs = (one.partition("=") for one in text.split(",") if one)
    chosen = {name: python or sys.executable for name, _, python in pairs}
    if unknown := chosen.keys() - ROLES:
        raise SystemExit(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(ROLES)}")
    return chosen
