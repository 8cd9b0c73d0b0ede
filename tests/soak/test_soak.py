"""A short soak: nothing is lost while everything dies; and its driver leaves nothing running."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 240.0

OFTEN = ["--lease", "2", "--kill-every", "0.5", "--stop-every", "2.5", "--master-every", "3"]


def command(directory: Path, *options: str) -> list[str]:
    place = ["--directory", str(directory / "run"), "--seed", "1"]
    return [sys.executable, "-m", "tests.soak", *place, *OFTEN, *options]


@pytest.mark.timeout(LIMIT_S + 30)
@pytest.mark.slow
def test_five_hundred_jobs_survive_the_deaths_of_everybody(tmp_path: Path) -> None:
    verdict = tmp_path / "verdict.json"
    limits = ["--limit", str(LIMIT_S - 30), "--json", str(verdict)]
    done = subprocess.run(
        command(tmp_path, "--jobs", "500", "--workers", "4", *limits),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout
    told: dict[str, Any] = json.loads(verdict.read_text())
    assert told["complaints"] == []
    assert told["outcomes"] == 500
    assert told["lost"] == told["doubled"] == told["wrong"] == 0
    assert told["faults"]["workers killed"] >= 4
    assert told["faults"]["workers stopped"] >= 1
    assert told["faults"]["masters killed"] >= 1
    assert told["calls"]["drop"] >= 1
    assert told["calls"].get("double", 0) + told["calls"].get("repeat", 0) >= 1
    assert told["resources"]["lives"] >= 1
    assert running_in(tmp_path / "run") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_a_driver_that_is_told_to_go_takes_all_its_processes_along(
    tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    driver = subprocess.Popen(command(tmp_path, "--jobs", "100000", "--workers", "3"), cwd=ROOT)
    try:
        until = time.monotonic() + 60.0
        while not list(run.glob("evaluations/*.log")):
            assert driver.poll() is None
            assert time.monotonic() < until, "no worker got work"
            time.sleep(0.1)
        assert len(running_in(run)) >= 6, "master, proxy, spawner and workers"
        driver.send_signal(number)
        assert driver.wait(60.0) == 128 + number
    finally:
        driver.kill()
        driver.wait()
        left = running_in(run)
        for process in left:
            process.kill()
    assert left == []


@pytest.mark.slow
def test_a_run_that_does_not_end_is_broken_off_with_the_last_words_of_all(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--jobs", "100000", "--workers", "3", "--limit", "8"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=90.0,
        check=False,
    )
    assert done.returncode == 2
    assert "not done after 8 s" in done.stdout
    for name in ("master.out", "proxy.out", "workers.out", "diary", "journal"):
        assert f"--- the end of {name}\n" in done.stdout
    assert running_in(tmp_path / "run") == []


def running_in(directory: Path) -> list[psutil.Process]:
    """The processes that work in this directory."""
    return [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(directory)]
