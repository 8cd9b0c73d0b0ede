"""Mutants that must not count as killed: they show what a trial demands."""

from __future__ import annotations

from edits import at_start, swap
from mutation import mutant
from places import DISPATCH, DISPATCH_TESTS, RETRY

COUNTED_APART = DISPATCH_TESTS + "test_crashes_and_losses_are_counted_apart"

#: Each with a part of why it is not killed.
CONTROLS = {
    mutant(
        "control: nothing is different",
        RETRY.change("backoff", swap("losses <= 1", "losses < 2")),
        killed_by=COUNTED_APART,
    ): "passes",
    mutant(
        "control: the test fails and says something else",
        RETRY.change("retry_decision", swap("before[outcome.kind]", "sum(before.values())")),
        killed_by=COUNTED_APART,
        says="words that stand nowhere",
    ): "not what was expected",
    mutant(
        "control: the test fails, but by no assertion",
        RETRY.change("backoff", at_start("losses / 0")),
        killed_by=COUNTED_APART,
    ): "not what was expected",
    mutant(
        "control: nothing works at all",
        DISPATCH.change("DispatchState.assign", at_start("raise RuntimeError('broken')")),
        killed_by=COUNTED_APART,
    ): "quiet_run",
}
