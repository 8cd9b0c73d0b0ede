"""Drives a soak: starts everything, lets the weather blow, and has the rest judged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from soak_options import LONGEST_JOB_S, RUN, SPARED, Options
from soak_processes import PROXY, Diary, Masters, Workers, end, free_port, start, tail
from soak_samples import Samples
from soak_weather import Weather

from hpdist import NameServer

JUDGE = Path(__file__).with_name("soak_judge.py")
LOOK_EVERY_S = 0.05
SAMPLE_EVERY_S = 0.25

#: Seconds that the workers have to go home after the end of the run.
GOING_HOME_S = 60.0


class SoakFailed(Exception):
    """The run broke off; the message has the last words of all processes."""


class Soak:
    """One run in ``directory``, from the first process to the verdict."""

    def __init__(self, options: Options, directory: Path) -> None:
        self.options, self.directory = options, directory.resolve()
        self.diary = Diary(directory / "diary")
        self.samples = Samples(directory / "samples", SAMPLE_EVERY_S)
        self._proxy: Any = None
        self._port = free_port()
        settings = {"run": RUN, "port": self._port, "timing": options.timing()}
        settings |= {"jobs": options.jobs, "seed": options.seed}
        self._masters = Masters(self.directory, settings, self.diary)
        self._workers: Workers | None = None

    def run(self) -> dict[str, Any]:
        """Run to the end and return the verdict.

        Raises
        ------
        SoakFailed
            If the master ended by itself before the run was over, or time ran out.
        """
        (self.directory / "evaluations").mkdir()
        began = time.monotonic()
        try:
            with NameServer(RUN, self.directory):
                workers = self._start()
                self._drive(workers, began + self.options.limit_s)
                self._wait_for_home(workers)
        finally:
            self._end()
        return {**self._judged(), "seconds": round(time.monotonic() - began, 1)}

    def _start(self) -> Workers:
        self._masters.start()
        proxy = self._start_proxy() if self.options.drop or self.options.double else ""
        settings = {"run": RUN, "proxy": proxy, "longest_job_s": LONGEST_JOB_S}
        self._workers = Workers(self.directory, settings, self.diary)
        for _ in range(self.options.workers):
            self._workers.fork()
        return self._workers

    def _start_proxy(self) -> str:
        """Lose calls, and double others: half of these as they were, half as calls of their own.

        The former have to be refused by the session, the latter are for the dispatcher to see.
        """
        options, address = self.options, f"127.0.0.1:{free_port()}"
        twice = str(options.double / 2)
        self._proxy = start(
            self.directory,
            "proxy",
            [
                *(str(PROXY), address, f"127.0.0.1:{self._port}"),
                *("--drop", str(options.drop), "--double", twice, "--repeat", twice),
                *("--seed", str(options.seed), "--counts", "calls"),
                *("--key-file", str(self.directory / RUN / "key")),
            ],
        )
        return address

    def _drive(self, workers: Workers, until: float) -> None:
        weather = Weather(self.options, workers, self._masters)
        weather.begin()
        while self._masters.code is None:
            weather.blow()
            workers.listen()
            spared = list(workers.alive)[:SPARED]
            watched = dict.fromkeys(spared, "worker")
            self.samples.take(
                watched | ({self._masters.pid: "master"} if self._masters.is_up else {})
            )
            self._check(workers, until)
            time.sleep(LOOK_EVERY_S)
        if self._masters.code != 0:
            raise self._failed(f"the master ended by itself, with {self._masters.code}")

    def _check(self, workers: Workers, until: float) -> None:
        if workers.unexpected and self._masters.code is None:
            raise self._failed(f"a worker ended by itself: {workers.unexpected[0]}")
        if self._proxy is not None and self._proxy.poll() is not None:
            raise self._failed("the proxy ended")
        if time.monotonic() > until:
            raise self._failed(f"not done after {self.options.limit_s:g} s")

    def _wait_for_home(self, workers: Workers) -> None:
        """All who joined hear of the end, and go; those that are stopped are woken for that.

        One that came when the run was over waits for the next master, as it is meant to.
        """
        until = time.monotonic() + GOING_HOME_S
        journal = (self.directory / RUN / "journal").read_bytes()
        told: set[int] = set()
        while workers.alive:
            for pid in workers.alive.keys() - told:
                joined = f'"pid":{pid},'.encode() in journal
                workers.signal(pid, signal.SIGCONT if joined else signal.SIGKILL)
                told.add(pid)
            workers.listen()
            if time.monotonic() > until:
                raise self._failed(f"workers stayed: {list(workers.alive)}")
            time.sleep(LOOK_EVERY_S)

    def _end(self) -> None:
        if self._workers is not None:
            self._workers.close()
        self._masters.close()
        if self._proxy is not None:
            self._proxy.terminate()
            end(self._proxy)

    def _judged(self) -> dict[str, Any]:
        """Have the run judged by a program that knows nothing of hpdist."""
        said = subprocess.run(
            [sys.executable, str(JUDGE), str(self.directory), json.dumps(self._plan())],
            stdout=subprocess.PIPE,
            check=True,
        )
        verdict: dict[str, Any] = json.loads(said.stdout)
        return verdict

    def _plan(self) -> dict[str, Any]:
        names = ("jobs", "workers", "seed", "lease_s")
        return {"run": RUN, **{name: getattr(self.options, name) for name in names}}

    def _failed(self, why: str) -> SoakFailed:
        journal = self.directory / RUN / "journal"
        words = [
            f"--- the end of {path.name}\n{tail(path, 4000).decode(errors='replace')}"
            for path in [*sorted(self.directory.glob("*.out")), self.directory / "diary", journal]
        ]
        return SoakFailed("\n".join([why, *words]))
