"""The objective: a function of the user's, given itself or by name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Context
from hpdist.core.objective.references import (
    cannot_import,
    check_defines,
    existing_file,
    is_file,
    look_in,
    no_function,
    split_reference,
)

Call = Callable[[Payload, Context], object]
"""Evaluates one payload: what a runner calls, once an attempt."""

_FORMS = "f(config), f(config, budget) or f(config, budget, ctx); other parameters need defaults"
_CONTEXT_NAMES = ("ctx", "context")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_importing = threading.RLock()  # workers in threads ask for one file at the same moment


@runtime_checkable
class Objective(Protocol):
    """Builds the function that evaluates payloads, in the process that calls it.

    It is pickled (by cloudpickle) to the child process, where `build` runs once, before the
    first attempt: data is best loaded there.
    """

    @property
    def name(self) -> str:
        """The name in messages."""
        ...

    def build(self) -> Call:
        """Return the function that evaluates a payload."""
        ...


@dataclass(frozen=True)
class FunctionObjective:
    """A callable, its signature already checked."""

    function: Callable[..., object]
    num_arguments: int

    @property
    def name(self) -> str:
        return function_name(self.function)

    def build(self) -> Call:
        function = self.function
        num_arguments = self.num_arguments

        def call(payload: Payload, context: Context) -> object:
            arguments = (dict(payload.config), payload.budget, context)
            return function(*arguments[:num_arguments])

        return call


@dataclass(frozen=True)
class ImportedObjective:
    """A function by name, imported only where it is called."""

    reference: str

    @property
    def name(self) -> str:
        return self.reference

    def build(self) -> Call:
        return objective_of(load_objective(self.reference)).build()


def objective_of(value: Objective | Callable[..., object] | str) -> Objective:
    """Return ``value`` as an objective: a callable, "module:function" or "path/file.py:function".

    Raises
    ------
    ConfigurationError
        If the callable cannot be called as an objective, or there is nothing of that name; it is
        looked for without running the file.
    """
    if isinstance(value, str):
        source, function = split_reference(value)
        source = str(existing_file(source)) if is_file(source) else source
        check_defines(source, function)
        return ImportedObjective(f"{source}:{function}")
    if isinstance(value, Objective) and not isinstance(value, type):
        return value
    return FunctionObjective(value, check_signature(value))


def function_name(function: object) -> str:
    """Return how messages call ``function``."""
    return getattr(function, "__qualname__", None) or type(function).__name__


def check_signature(function: Callable[..., object]) -> int:
    """Return how many of (config, budget, ctx) to pass to ``function``.

    A second and third parameter with a default count only when they are called ``budget``, and
    ``ctx`` or ``context``.

    Raises
    ------
    ConfigurationError
        If it cannot be called that way.
    """
    name = function_name(function)
    if inspect.isclass(function) or not callable(function):
        raise ConfigurationError(
            f"the objective {name} is {'a class' if callable(function) else 'no function'}",
            do=f"give a function: {_FORMS}",
        )
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called):
        raise ConfigurationError(
            f"the objective {name} is a coroutine or generator function: calling it runs nothing",
            do="give a plain function that returns the loss",
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the objective {name} has no readable signature: {error}",
            do=f"wrap it in a function: {_FORMS}",
        ) from error
    return _num_arguments(name, signature)


def _num_arguments(name: str, signature: inspect.Signature) -> int:
    parameters = list(signature.parameters.values())
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    needed = [each for each in positional if each.default is each.empty]
    problem = _problem_with(parameters, needed)
    if problem or not positional or len(needed) > 3:
        raise ConfigurationError(
            f"the objective {name}{signature} cannot be called",
            cause=problem or f"it has {len(needed)} parameters without a default",
            do=f"accepted are {_FORMS}",
        )
    return _with_optional([each.name for each in positional], max(1, len(needed)))


def _problem_with(parameters: list[inspect.Parameter], needed: list[inspect.Parameter]) -> str:
    """Return why a function with these parameters cannot be called; empty if it can."""
    problem = ""
    for index, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            problem = f"the parameter {parameter.name} has no default"
        elif parameter.kind is parameter.VAR_POSITIONAL and index == 0:
            problem = "*args does not name its parameters (a decorator needs functools.wraps)"
    if len(needed) > 1 and needed[1].name in _CONTEXT_NAMES:
        problem = f"the second argument is the budget, but is called {needed[1].name}"
    return problem


def _with_optional(names: list[str], count: int) -> int:
    """Add the parameters with defaults that are called budget, and ctx or context."""
    if count == 1 and names[1:2] == ["budget"]:
        count = 2
    if count == 2 and len(names) > 2 and names[2] in _CONTEXT_NAMES:
        count = 3
    return count


def load_objective(reference: str) -> Callable[..., object]:
    """Import the function that "module:function" or "path/to/file.py:function" names.

    A file's directory, or else the current one, is put at the head of ``sys.path``, as it is
    when Python runs a script; the file is imported under its own name, so that its
    ``if __name__ == "__main__"`` part does not run.

    Raises
    ------
    ConfigurationError
        If it cannot be imported, naming the file, the exception and ``sys.path``.
    """
    source, name = split_reference(reference)
    module = _import(source)
    function = getattr(module, name, None)
    if not callable(function):
        existing = sorted(
            key for key, value in vars(module).items() if callable(value) and key[:1] != "_"
        )
        raise no_function(source, name, existing)
    found: Callable[..., object] = function
    return found


def _import(source: str) -> ModuleType:
    path = existing_file(source) if is_file(source) else None
    look_in(str(path.parent) if path else os.getcwd())
    try:
        if path is None:
            return importlib.import_module(source)
        with _importing:
            return _import_file(path)
    except (Exception, SystemExit) as error:
        raise cannot_import(path or source, error) from error


def _import_file(path: Path) -> ModuleType:
    name = path.stem
    loaded: Any = sys.modules.get(name)
    if loaded is not None and _origin(loaded) == path:
        return loaded  # type: ignore[no-any-return]
    if loaded is not None or not name.isidentifier():
        # another module has this name; this one is found by its path, the same in each process
        name = f"objective_{zlib.crc32(str(path).encode()):08x}"
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _origin(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None
