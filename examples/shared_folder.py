"""Several processes that share nothing but a folder; one of them is killed, nothing is lost.

Each process calls `launch_runtime` with the same arguments. No server, no port: one of them holds
the journal beside its own evaluations, and when it dies another one goes on.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hpdist.folder import SharedState, Trial, get_in_progress_trial, launch_runtime
from hpdist.optimizers import RandomSearch

SPACE = {"x": (-5.0, 10.0), "y": (0.0, 15.0)}


def evaluate(x: float, y: float, pipeline_directory: Path) -> dict[str, Any]:
    """Return a loss and its cost; files of the trial go to its own directory."""
    trial = get_in_progress_trial()
    assert trial is not None
    (pipeline_directory / "note.txt").write_text(f"trial {trial.id} by process {os.getpid()}\n")
    time.sleep(0.05)
    return {"loss": (y - x * x / 8 + 1.6 * x - 6) ** 2 + 10, "cost": 1.0}


def participate(directory: Path, trials: int) -> None:
    """Take part in the search until it ends."""
    launch_runtime(
        evaluation_fn=evaluate,
        sampler=RandomSearch(SPACE),
        optimizer_info={"searcher_name": "random"},
        optimization_dir=directory,
        max_evaluations_total=trials,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--participate", action="store_true")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp()) / "run"
    if options.participate:
        participate(directory, options.trials)
        return
    command = [sys.executable, __file__, "--directory", str(directory), "--participate"]
    command += ["--trials", str(options.trials)]
    processes = [subprocess.Popen(command) for _ in range(options.processes)]
    while not list(directory.glob("results/*/result.json")):
        time.sleep(0.05)
    processes[0].send_signal(signal.SIGKILL)
    print(f"killed process {processes[0].pid}")
    for process in processes:
        process.wait()
    done = SharedState(directory).trial_refs()[Trial.State.COMPLETE]
    best = min((disk.load() for disk in done), key=lambda trial: trial.results["loss"])  # type: ignore[call-overload,index]
    print(f"{len(done)} trials, best: {best.config} with {best.results}")


if __name__ == "__main__":
    main()
