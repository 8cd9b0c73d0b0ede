"""Tries mutants, each in a process of its own that has imported nothing of hpdist yet."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# What takes long to import and is not hpdist: once here, not once in each process.
import ConfigSpace  # noqa: F401
import numpy as np  # noqa: F401
import Pyro4.naming  # noqa: F401
import pytest
from catalogue import MUTANTS
from hypothesis import Phase, settings
from mutation import Mutant, install
from smoke import quiet_run

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant; ``said`` is what the killing test said, or why it survived."""

    mutant: Mutant
    killed: bool
    said: str


def judge_all(mutants: Sequence[Mutant] = MUTANTS) -> Iterator[Verdict]:
    """Try mutants, one after the other.

    Raises
    ------
    AssertionError
        If one of the tests fails without any fault: it would prove nothing.
    """
    assert "hpdist" not in sys.modules, "faults could not get in any more"
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        failures = pool.apply(run_quietly, [sorted({mutant.killed_by for mutant in mutants})])
        assert not failures, failures[0]
        verdicts = pool.imap(judge, mutants)
        for _ in mutants:
            yield verdicts.next(TIMEOUT_S)


def judge(mutant: Mutant) -> Verdict:
    """Try a mutant in this process, which is of no use for anything else afterwards."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            said = try_here(mutant)
    except BaseException:  # noqa: BLE001 - whatever it is, it is the verdict
        return Verdict(mutant, False, traceback.format_exc())
    return Verdict(mutant, True, said)


def run_quietly(nodes: Sequence[str]) -> list[str]:
    """Do as `run_tests` does, and print nothing."""
    with contextlib.redirect_stdout(io.StringIO()):
        return run_tests(nodes)


def try_here(mutant: Mutant) -> str:
    """Apply a mutant; returns what the named test said.

    Raises
    ------
    AssertionError
        If the smoke run notices the fault, or the named test does not, or says something else.
    """
    install(mutant)
    quiet_run()
    failures = run_tests([mutant.killed_by])
    assert failures, f"{mutant.killed_by} passes"
    said = [line.strip() for line in failures[0].splitlines() if mutant.message in line]
    assert said, f"it was not said that {mutant.message!r}, but:\n{failures[0]}"
    return said[0]


def run_tests(nodes: Sequence[str]) -> list[str]:
    """Run tests up to the first failure; returns what the failing one said."""
    # The same examples in each run, and none made simpler when it has failed.
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")
    listener = Listener()
    options = [
        "-x",
        "-q",
        "--tb=short",
        "--timeout=120",
        "--timeout-method=signal",
        "-p",
        "no:cacheprovider",
    ]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    paths = [str(ROOT / node) for node in nodes]
    status = pytest.main([*options, f"--rootdir={ROOT}", *paths], plugins=[listener])
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), f"{nodes}: {status!r}"
    return listener.failures


class Listener:
    """Keeps what the failing tests of a session said."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(str(report.longrepr))
