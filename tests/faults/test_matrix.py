"""The short form of the fault matrix; and whoever reads its table can rely on it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import matrix
import pytest
from matrix import Row, Trial, bound, collect, play, table
from stage import Stage

ROWS = collect()

#: A part of the names of the rows that there have to be, and the moments of each.
REQUIRED = {
    "SIGKILL worker": ("M1", "M2", "M3", "M4", "M5", "M6", "M7", "M9"),
    "SIGKILL child": ("M4",),
    "SIGSTOP worker 1/6 lease": ("M2", "M4", "M5", "M6"),
    "SIGSTOP worker 5/6 lease": ("M2", "M4", "M5", "M6"),
    "SIGSTOP worker 31/30 lease": ("M2", "M4", "M5", "M6"),
    "SIGSTOP worker 10 leases": ("M2", "M4", "M5", "M6"),
    "SIGSTOP master": ("M4", "M6"),
    "SIGKILL master": ("M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "M9"),
    "SIGKILL nameserver": ("M2", "M4"),
    "two masters": ("at start", "M4"),
    "poison job: segmentation fault": ("M4",),
    "poison job: os._exit": ("M4",),
    "poison job: SIGKILL itself": ("M4",),
    "poison job: allocates": ("M4",),
    "poison job: leaves 50 forks": ("M4",),
    "poison job: infinite loop": ("M4",),
    "poison job: holds the GIL": ("M4",),
    "poison job: prints 100 MiB": ("M4",),
    "SIGTERM worker": ("M2", "M3", "M4", "M5", "M6", "M9"),
    "SIGTERM master": ("M4", "M9"),
    "SIGTERM, grace, SIGKILL": ("M4",),
    "black-hole node": ("",),
    "64 workers": ("256 connections",),
    "line cut both ways, shorter": ("M3", "M4", "M5"),
    "line cut both ways, longer": ("M3", "M4", "M5"),
    "line cut to the master, shorter": ("M3", "M4", "M5"),
    "line cut to the master, longer": ("M3", "M4", "M5"),
    "line cut to the worker, shorter": ("M3", "M4", "M5"),
    "line cut to the worker, longer": ("M3", "M4", "M5"),
    "connection reset": ("M3", "M4", "M5", "M6"),
    "connection half-open": ("M3", "M4", "M5", "M6"),
    "calls dropped": ("all",),
    "calls doubled": ("all",),
    "calls delayed": ("all",),
    "calls late once more": ("all",),
    "disk full": ("M4", "M6"),
    "sync fails": ("M3", "M6"),
    "jump of master's clock": ("M4",),
    "jump of workers' clocks": ("M4",),
    "odd results": ("M5",),
    "stalled worker": ("M4",),
}


#: Those that are played whenever tests are: a death, a partition, a process that is told to go.
QUICK = (
    "SIGKILL worker: M4 running",
    "SIGKILL master, restart: M4 running",
    "SIGTERM worker: M4 running",
)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow)
        for row in ROWS
        if not row.long
    ],
)
def test_a_fault_comes_to_what_is_expected(row: Row) -> None:
    trial = play(row, seed=0)
    assert trial.error == "", trial.error


def test_the_matrix_has_each_fault_at_each_of_its_moments() -> None:
    for fault, required in REQUIRED.items():
        moments = " ".join(row.moment for row in ROWS if row.fault.startswith(fault))
        assert [moment for moment in required if moment not in moments] == [], fault


def test_the_quick_rows_are_rows() -> None:
    assert set(QUICK) <= {row.name for row in ROWS if not row.long}


# ------------------------------------------------------------------------------ the table


def row(moment: str, outcome: object) -> Row:
    def act(stage: Stage, rng: random.Random) -> matrix.Figures:
        if isinstance(outcome, Exception):
            raise outcome
        stage.verdict = {} if outcome else None
        return {"seen s": rng.random()}

    return Row("nothing", moment, "nothing happens", act)


def test_a_row_that_fails_or_is_not_judged_is_counted_and_its_traces_are_kept() -> None:
    good, bad = row("good", True), row("bad", AssertionError("it was lost"))
    trials = [play(good, 1), play(bad, 1), play(row("unjudged", False), 1)]
    assert [trial.error.splitlines()[:1] for trial in trials] == [
        [],
        ["AssertionError: it was lost"],
        ["AssertionError: the row does not have its run judged"],
    ]
    for trial in trials[1:]:
        Path(trial.error.rpartition(": ")[2].rstrip(")")).rmdir()
    lines = table(trials)
    assert [line[3:6] for line in lines[:2]] == [("1", "0", "100 %"), ("1", "1", "100 %")]
    assert lines[-1][:5] == ("all", "", "", "3", "2")


def test_a_trial_of_one_seed_is_always_the_same_trial() -> None:
    assert play(row("good", True), 7).figures == play(row("good", True), 7).figures
    assert play(row("good", True), 7).figures != play(row("good", True), 8).figures


@pytest.mark.parametrize(
    ("failures", "trials", "rate"),
    [(0, 300, 0.01), (0, 2, 1.0), (3, 3, 1.0), (1, 100, 0.0466), (5, 50, 0.2)],
)
def test_the_bound_of_a_rate_is_the_known_one(failures: int, trials: int, rate: float) -> None:
    assert bound(failures, trials) == pytest.approx(rate, rel=0.02)


def test_medians_and_worst_figures_are_shown() -> None:
    good = row("good", True)
    trials = [Trial(good, seed, 1.0, {"queued again s": float(seed)}) for seed in (1, 2, 9)]
    assert table(trials)[0][-1] == "queued again 2 / 9 s"
    assert "   * - nothing\n     - good\n" in matrix.as_rst(table(trials), "a title")


FAILING = """
import sys
sys.argv = ["tests.faults", "--trials", "2", "--seed", "5", "--json", "trials.json"]
sys.path.insert(0, {faults!r})
import matrix, __main__ as command
from matrix import Row

def act(stage, rng):
    raise AssertionError("it was lost")

matrix.collect = lambda: [Row("nothing", "never", "nothing happens", act)]
import runpy
runpy.run_path({command!r}, run_name="__main__")
"""


def test_the_command_names_the_seeds_that_failed_and_exits_with_1(tmp_path: Path) -> None:
    faults = Path(__file__).parent
    script = FAILING.format(faults=str(faults), command=str(faults / "__main__.py"))
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": "", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 1, said.stderr
    assert said.stdout.count("AssertionError: it was lost") == 2
    assert 'python -m tests.faults --long --seed 6 --rows "nothing: never"' in said.stdout
    trials = json.loads((tmp_path / "trials.json").read_text())
    assert [trial["seed"] for trial in trials] == [5, 6]
