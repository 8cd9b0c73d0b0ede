"""Starts pytest for mutants: only the tests that kill them are collected, once for all."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from mutation import Mutant
from trials import Trials, Verdict

ROOT = Path(__file__).resolve().parents[2]

OPTIONS = (
    "-s",
    "-m",  # whatever the configuration leaves out
    "",
    "--tb=short",
    "--timeout=120",
    "--timeout-method=signal",
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    f"--rootdir={ROOT}",
)


def judge_all(mutants: Sequence[Mutant], report: Callable[[Verdict], None]) -> None:
    """Try mutants, one after the other, and report what became of each.

    Raises
    ------
    RuntimeError
        If the tests cannot be collected.
    """
    # The same examples in each run, and none made simpler when it has failed.
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")
    tests = sorted({str(ROOT / mutant.killed_by) for mutant in mutants})
    told = io.StringIO()
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(told):
        options = [*OPTIONS, f"--basetemp={directory}/tests"]
        status = pytest.main([*options, *tests], plugins=[Trials(mutants, report)])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(told.getvalue())
