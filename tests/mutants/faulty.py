"""Functions of this process are made faulty."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
from types import CodeType, FunctionType
from typing import Any

from edits import Function
from mutation import Change, Mutant, definition, mutated, parsed, source


def install(fault: Mutant) -> None:
    """Make the functions of this process faulty, whoever has imported them."""
    for change in fault.changes:
        function = mutated(fault, change)
        live_function(change).__code__ = _compiled(change, function)


def live_function(change: Change) -> FunctionType:
    """Return the function as it is imported, without what decorators put around it."""
    found: Any = importlib.import_module(change.module)
    for name in change.function.split("."):
        found = vars(found)[name]
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    unwrapped: FunctionType = inspect.unwrap(found)
    return unwrapped


def _compiled(change: Change, function: Function) -> CodeType:
    path, _ = source(change.module)
    tree = copy.deepcopy(parsed(change.module))
    definition(tree, change.function).replace([function])
    code = compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)
    for name in change.function.split("."):
        (code,) = (each for each in code.co_consts if _is_code(each, name))
    return code


def _is_code(value: object, name: str) -> bool:
    return isinstance(value, CodeType) and value.co_name == name
