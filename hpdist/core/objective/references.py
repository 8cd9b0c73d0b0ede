"""Objectives by name: what a reference names, and whether it can be there, without running it."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import traceback
from pathlib import Path

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr


def split_reference(reference: str) -> tuple[str, str]:
    place, colon, name = reference.rpartition(":")
    if not (place and colon and name.isidentifier() and place.isprintable()):
        raise ConfigurationError(
            f"{short_repr(reference)} does not name an objective",
            do="write module:function or path/to/file.py:function",
        )
    return place, name


def is_file(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def existing_file(place: str) -> Path:
    path = Path(place).expanduser().resolve()
    if not os.path.isfile(path):
        raise ConfigurationError(f"the objective's file {path} does not exist")
    return path


def parse_source(file: str | Path) -> ast.Module:
    """Parse a Python file, without running it.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or is no Python.
    """
    try:
        return ast.parse(Path(file).read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigurationError(
            f"the script {file} cannot be imported: {type(error).__name__}: {error}",
            cause=_marked(error) if isinstance(error, SyntaxError) else "",
        ) from error


def _marked(error: SyntaxError) -> str:
    line = (error.text or "").rstrip("\n")
    return f"line {error.lineno}: {line.strip()}" if line.strip() else ""


def check_defines(place: str, name: str) -> None:
    """Refuse a reference to what is certainly not there."""
    file = place if is_file(place) else _source_of(place)
    if not file.endswith(".py"):
        return
    names = _bound_names(parse_source(file))
    if names and name not in names:
        raise no_function(place, name, sorted(each for each in names if each[:1] != "_"))


def _source_of(module: str) -> str:
    if module in sys.modules:
        return ""
    look_in(os.getcwd())
    try:
        spec = importlib.util.find_spec(module)
    except (Exception, SystemExit) as error:  # the package that it lies in is imported
        raise cannot_import(module, error) from error
    if spec is None:
        raise cannot_import(module, ModuleNotFoundError(f"No module named {module!r}"))
    return spec.origin or ""


_UNFORESEEABLE = {"globals", "exec", "setattr", "vars", "__getattr__"}


def _bound_names(tree: ast.Module) -> set[str]:
    """Return all names that a file may define; empty if running it could define any."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.Name):
            names.add(node.id)
    return set() if names & {*_UNFORESEEABLE, "*"} else names


def look_in(directory: str) -> None:
    if directory not in sys.path:
        sys.path.insert(0, directory)


def no_function(place: str, name: str, there: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{place} has no function {name!r}",
        tried=f"it has {', '.join(there[:20]) or 'no function at all'}",
    )


def cannot_import(place: str | Path, error: BaseException) -> ConfigurationError:
    """Return the error for a file or module whose import raised ``error``."""
    kind = "file" if isinstance(place, Path) else "module"
    where = sys.path if isinstance(error, ImportError) else []
    return ConfigurationError(
        f"the objective's {kind} {place} cannot be imported: {type(error).__name__}: {error}",
        cause=_line_of(error, str(place)),
        tried="sys.path: " + os.pathsep.join(where) if where else "",
    )


def _line_of(error: BaseException, file: str) -> str:
    """Return the line of a file at which an import of it broke off."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename == file]
    return f"line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
