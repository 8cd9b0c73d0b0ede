"""What a mutant does to a function: each edit finds its place by a pattern and changes it.

Where a pattern occurs ``of`` times in the function, ``nth`` says which of them is meant.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from patterns import (
    PlaceError,
    Slot,
    condition_slots,
    expression,
    expression_slots,
    statement_slots,
    statements,
)

Finder = Callable[[ast.AST, str], list[Slot]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Edit:
    """One change of a function's tree; ``new`` is source text."""

    action: Callable[[Edit, Any], None]
    pattern: str
    new: str = ""
    nth: int = 1
    of: int = 1

    def apply(self, function: Function) -> None:
        """Change ``function``.

        Raises
        ------
        PlaceError
            If the pattern does not occur as often as it should.
        """
        self.action(self, function)

    def find(self, function: Function, find: Finder, pattern: str = "") -> Slot:
        """Return the one place that is meant."""
        pattern = pattern or self.pattern
        found = find(function, pattern)
        of = self.of if pattern == self.pattern else 1
        if len(found) != of:
            raise PlaceError(f"found {len(found)} times, not {of}: {pattern}")
        return found[self.nth - 1 if of > 1 else 0]


def swap(old: str, new: str, *, nth: int = 1, of: int = 1) -> Edit:
    """Put an expression in the place of an expression, or statements in the place of one."""
    return Edit(_swap, old, new, nth, of)


def drop(statement: str, *, nth: int = 1, of: int = 1) -> Edit:
    """Leave a statement out."""
    return Edit(_swap_statement, statement, "pass", nth, of)


def never(condition: str, *, nth: int = 1, of: int = 1) -> Edit:
    """Take the whole condition of an ``if`` or ``while`` for false."""
    return Edit(_decide, condition, "False", nth, of)


def always(condition: str, *, nth: int = 1, of: int = 1) -> Edit:
    """Take the whole condition of an ``if`` or ``while`` for true."""
    return Edit(_decide, condition, "True", nth, of)


def only_if(condition: str, statement: str, *, nth: int = 1, of: int = 1) -> Edit:
    """Execute a statement only where a condition holds."""
    return Edit(_only_if, statement, condition, nth, of)


def before(statement: str, new: str, *, nth: int = 1, of: int = 1) -> Edit:
    """Insert statements in front of one."""
    return Edit(_before, statement, new, nth, of)


def after(statement: str, new: str, *, nth: int = 1, of: int = 1) -> Edit:
    """Insert statements behind one."""
    return Edit(_after, statement, new, nth, of)


def at_start(new: str) -> Edit:
    """Insert statements at the beginning of the function."""
    return Edit(_at_start, "", new)


def move(statement: str, *, behind: str) -> Edit:
    """Execute a statement later, behind another one."""
    return Edit(_move, statement, behind)


def _swap(edit: Edit, function: Function) -> None:
    new = expression(edit.new)
    if expression(edit.pattern) is not None and new is not None:
        edit.find(function, expression_slots).replace(new)
    else:
        _swap_statement(edit, function)


def _swap_statement(edit: Edit, function: Function) -> None:
    edit.find(function, statement_slots).replace(statements(edit.new))


def _decide(edit: Edit, function: Function) -> None:
    edit.find(function, condition_slots).replace(ast.Constant(edit.new == "True"))


def _only_if(edit: Edit, function: Function) -> None:
    slot = edit.find(function, statement_slots)
    test = expression(edit.new)
    assert test is not None, f"no condition: {edit.new}"
    slot.replace([ast.If(test, [slot.node], [])])


def _before(edit: Edit, function: Function) -> None:
    slot = edit.find(function, statement_slots)
    slot.replace([*statements(edit.new), slot.node])


def _after(edit: Edit, function: Function) -> None:
    slot = edit.find(function, statement_slots)
    slot.replace([slot.node, *statements(edit.new)])


def _at_start(edit: Edit, function: Function) -> None:
    body = function.body
    first = 1 if ast.get_docstring(function) is not None else 0
    Slot(body, first, body[first]).replace([*statements(edit.new), body[first]])


def _move(edit: Edit, function: Function) -> None:
    slot = edit.find(function, statement_slots)
    moved = copy.copy(slot.node)
    slot.replace(statements("pass"))
    target = edit.find(function, statement_slots, edit.new)
    target.replace([target.node, moved])
