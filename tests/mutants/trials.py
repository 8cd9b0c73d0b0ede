"""Tries mutants, each in a child of one process that has imported the package and the tests."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pytest
from children import ChildError, in_child
from faulty import install
from mutation import Mutant
from smoke import quiet_run

WITHIN_S = 240.0


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant; ``said`` is what the killing test said, or why it survived."""

    mutant: Mutant
    killed: bool
    said: str


@dataclass(frozen=True)
class Failure:
    """A test that failed; ``asserted`` if it was by an assertion of its own."""

    test: str
    asserted: bool
    text: str


class Trials:
    """A plugin of pytest: tries mutants on the tests that were collected."""

    def __init__(self, mutants: Sequence[Mutant], report: Callable[[Verdict], None]) -> None:
        self._mutants, self._report = mutants, report
        self._sound: dict[str, str] = {}  #: what each killing test says without any fault

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # not all could be collected; pytest says so
        quiet_run()
        gc.freeze()
        for mutant in self._mutants:
            self._report(self._verdict(mutant, session.items))
        return True

    def _verdict(self, mutant: Mutant, collected: Sequence[pytest.Item]) -> Verdict:
        items = [item for item in collected if _belongs(item.nodeid, mutant.killed_by)]
        try:
            failure = in_child(partial(_try, mutant, items), WITHIN_S)
            if failure is None:
                return Verdict(mutant, False, f"{mutant.killed_by} passes")
            said = _what_kills(mutant, failure)
            if not said:
                return Verdict(mutant, False, f"not what was expected:\n{failure.text}")
            without = self._without_fault(failure.test, items)
        except ChildError as error:
            return Verdict(mutant, False, str(error))
        return Verdict(mutant, not without, without or said)

    def _without_fault(self, test: str, items: Sequence[pytest.Item]) -> str:
        """Return why a test that failed proves nothing; empty if it passes without the fault."""
        if test not in self._sound:
            these = [item for item in items if item.nodeid == test]
            failure = in_child(partial(first_failure, these), WITHIN_S)
            self._sound[test] = failure and f"fails without a fault as well:\n{failure.text}"
        return self._sound[test] or ""


def _belongs(test: str, named: str) -> bool:
    return test == named or test.startswith((named + "::", named + "["))


def _try(mutant: Mutant, items: Sequence[pytest.Item]) -> Failure | None:
    """Make this process faulty; returns the first failure, None if there is none."""
    install(mutant)
    quiet_run()
    return first_failure(items)


def _what_kills(mutant: Mutant, failure: Failure) -> str:
    """Return the line in which a test says what it should; empty if it says something else."""
    lines = [line.strip() for line in failure.text.splitlines()]
    if mutant.says:
        return next((line for line in lines if mutant.says in line), "")
    errors = [line for line in lines if line.startswith("E ")]
    return errors[0] if failure.asserted and errors else ""


def first_failure(items: Sequence[pytest.Item]) -> Failure | None:
    """Run tests up to the first one that fails."""
    assert items, "no such test was collected"
    listener = Listener()
    items[0].config.pluginmanager.register(listener)
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if listener.failures:
            return listener.failures[0]
    return None


class Listener:
    """A plugin of pytest: keeps how tests failed."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def pytest_exception_interact(
        self, node: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        assert call.excinfo is not None
        error = call.excinfo.value
        asserted = isinstance(error, AssertionError) or "DID NOT RAISE" in str(error)
        self.failures.append(Failure(node.nodeid, asserted, str(report.longrepr)))
