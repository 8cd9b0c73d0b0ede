"""Objectives by name: check that a reference names a file or module and a function of it."""

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
    """Return the source, a file or a module, and the name of the function."""
    source, colon, name = reference.rpartition(":")
    if not (source and colon and name.isidentifier() and source.isprintable()):
        raise ConfigurationError(
            f"{short_repr(reference)} does not name an objective",
            do="write module:function or path/to/file.py:function",
        )
    return source, name


def is_file(source: str) -> bool:
    """Whether a source is a file, not a module."""
    return source.endswith(".py") or os.sep in source


def existing_file(source: str) -> Path:
    """Return the absolute path of a file, or raise `ConfigurationError`."""
    path = Path(source).expanduser().resolve()
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


def check_defines(source: str, name: str) -> None:
    """Reject a reference to a function that certainly does not exist."""
    file = source if is_file(source) else _source_of(source)
    if not file.endswith(".py"):
        return
    names = _bound_names(parse_source(file))
    if names and name not in names:
        raise no_function(source, name, sorted(each for each in names if each[:1] != "_"))


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
    """Put ``directory`` at the head of the import path, as when a script of it runs."""
    if directory not in sys.path:
        sys.path.insert(0, directory)


def no_function(source: str, name: str, existing: list[str]) -> ConfigurationError:
    """Return the error for a function that a source does not have."""
    return ConfigurationError(
        f"{source} has no function {name!r}",
        tried=f"it has {', '.join(existing[:20]) or 'no function at all'}",
    )


def cannot_import(source: str | Path, error: BaseException) -> ConfigurationError:
    """Return the error for a file or module whose import raised ``error``."""
    kind = "file" if isinstance(source, Path) else "module"
    where = sys.path if isinstance(error, ImportError) else []
    return ConfigurationError(
        f"the objective's {kind} {source} cannot be imported: {type(error).__name__}: {error}",
        cause=_line_of(error, str(source)),
        tried="sys.path: " + os.pathsep.join(where) if where else "",
    )


def _line_of(error: BaseException, file: str) -> str:
    """Return the line of a file at which an import of it broke off."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename == file]
    return f"line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
