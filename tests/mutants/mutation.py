"""Mutants: functions of the package with a deliberate fault, made from their syntax trees."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edits import Edit, Function
from patterns import PlaceError, Slot


@dataclass(frozen=True)
class Change:
    """Edits of one function, ``name`` or ``Class.name``, of one module."""

    module: str
    function: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Module:
    """A module of the package, by its dotted name."""

    name: str

    def change(self, function: str, *edits: Edit) -> Change:
        return Change(self.name, function, edits)


@dataclass(frozen=True)
class Mutant:
    """A fault that somebody could make, and the test that must notice it.

    Attributes
    ----------
    killed_by
        A test file, or a test in it.
    says
        A part of what the test must say; if empty, one of its assertions must fail.
    quick
        Whether the mutant is tried in every test run: a few, one or two of each kind.
    """

    name: str
    changes: tuple[Change, ...]
    killed_by: str
    says: str
    quick: bool


def mutant(
    name: str, *changes: Change, killed_by: str, says: str = "", quick: bool = False
) -> Mutant:
    """Make an entry of the catalogue."""
    return Mutant(name, changes, killed_by, says, quick)


def original(change: Change) -> Function:
    """Return the tree of a function as it is."""
    function: Function = definition(parsed(change.module), change.function).node
    return function


def mutated(fault: Mutant, change: Change) -> Function:
    """Return the changed tree of a function; the tree of its module stays as it is.

    Raises
    ------
    PlaceError
        If what the mutant changes is not found exactly once.
    """
    try:
        function = copy.deepcopy(original(change))
        for edit in change.edits:
            edit.apply(function)
    except PlaceError as error:
        raise PlaceError(_where(fault, change) + str(error)) from None
    return function


def _where(fault: Mutant, change: Change) -> str:
    return f"mutant {fault.name!r}, module {change.module}, function {change.function}: "


@cache
def source(module: str) -> tuple[Path, str]:
    """Return the file of a module and its text."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise PlaceError("there is no such module")
    return Path(spec.origin), Path(spec.origin).read_text()


@cache
def parsed(module: str) -> ast.Module:
    """Return the syntax tree of a module; not to be changed."""
    path, text = source(module)
    return ast.parse(text, str(path))


def definition(tree: ast.AST, function: str) -> Slot:
    """Return where a function, ``name`` or ``Class.name``, stands in the tree of its module."""
    found = list(_definitions(tree, function.split(".")))
    if len(found) != 1:
        raise PlaceError(f"the function is there {len(found)} times")
    return found[0]


def _definitions(tree: Any, path: Sequence[str]) -> Iterator[Slot]:
    kinds = ast.ClassDef if path[1:] else ast.FunctionDef | ast.AsyncFunctionDef
    for key, node in enumerate(tree.body):
        if isinstance(node, kinds) and node.name == path[0]:
            if path[1:]:
                yield from _definitions(node, path[1:])
            else:
                yield Slot(tree.body, key, node)
