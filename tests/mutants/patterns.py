"""Pieces of Python source that are found in a syntax tree, whatever their format and position.

A pattern is source text. In it ``...`` stands for any expression; as the only argument of a call
for any arguments; as the only statement of a block for any statements.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

_ANY = Ellipsis


class PlaceError(Exception):
    """What a mutant changes is not there, or is there more often than it says."""


@dataclass(frozen=True)
class Slot:
    """A node of a tree and where it hangs: in a list of nodes, or in a field of its parent."""

    holder: Any
    key: Any
    node: ast.AST

    def replace(self, new: list[ast.stmt] | ast.expr) -> None:
        """Put something else in its place, which reports the same line in tracebacks."""
        for node in new if isinstance(new, list) else [new]:
            for each in ast.walk(node):
                if not hasattr(each, "lineno"):
                    ast.copy_location(each, self.node)
        if isinstance(self.holder, ast.AST):
            setattr(self.holder, self.key, new)
        else:
            self.holder[self.key : self.key + 1] = new if isinstance(new, list) else [new]


def statements(text: str) -> list[ast.stmt]:
    """Parse statements and take their positions away."""
    body = ast.parse(text).body
    for node in (each for one in body for each in ast.walk(one)):
        for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            if hasattr(node, name):
                delattr(node, name)
    return body


def expression(text: str) -> ast.expr | None:
    """Parse an expression; None if the text is something else."""
    body = statements(text)
    return body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None


@cache
def _parsed(text: str) -> ast.AST:
    (found,) = statements(text)
    return found


def statement_slots(tree: ast.AST, pattern: str) -> list[Slot]:
    """Return where a statement stands below ``tree``."""
    return [slot for slot in _slots(tree) if matches(slot.node, _parsed(pattern))]


def expression_slots(tree: ast.AST, pattern: str) -> list[Slot]:
    """Return where an expression stands below ``tree``."""
    wanted = expression(pattern)
    assert wanted is not None, f"no expression: {pattern}"
    return [slot for slot in _slots(tree) if matches(slot.node, wanted)]


def condition_slots(tree: ast.AST, pattern: str) -> list[Slot]:
    """Return where an expression stands below ``tree`` and decides alone which way to go."""
    return [slot for slot in expression_slots(tree, pattern) if slot.key == "test"]


def _slots(parent: ast.AST) -> Iterator[Slot]:
    """Walk through a tree in the order of its source."""
    for name, value in ast.iter_fields(parent):
        nodes = enumerate(value) if isinstance(value, list) else [(name, value)]
        for key, node in nodes:
            if isinstance(node, ast.AST):
                yield Slot(value if isinstance(value, list) else parent, key, node)
                yield from _slots(node)


def matches(found: Any, pattern: Any) -> bool:
    """Whether a tree is what the pattern says."""
    if _is_any(pattern):
        return isinstance(found, ast.expr)
    if isinstance(pattern, list):
        return isinstance(found, list) and _match_all(found, pattern)
    if not isinstance(pattern, ast.AST):
        return type(found) is type(pattern) and found == pattern
    if type(found) is not type(pattern):
        return False
    names = pattern._fields
    if isinstance(pattern, ast.Call) and not pattern.keywords and _is_only_any(pattern.args):
        names = ("func",)
    return all(matches(getattr(found, name, None), getattr(pattern, name, None)) for name in names)


def _match_all(found: list[Any], pattern: list[Any]) -> bool:
    if len(pattern) == 1 and isinstance(pattern[0], ast.Expr) and _is_any(pattern[0].value):
        return True
    return len(found) == len(pattern) and all(map(matches, found, pattern))


def _is_only_any(nodes: list[Any]) -> bool:
    return len(nodes) == 1 and _is_any(nodes[0])


def _is_any(node: Any) -> bool:
    return isinstance(node, ast.Constant) and node.value is _ANY
