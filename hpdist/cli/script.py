"""The user's script: its objective, its search space and its budget."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hpdist.core.journal.run_names import RUNS, safe_run_id
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr, to_real
from hpdist.core.objective.objective import check_signature, load_objective
from hpdist.core.objective.references import parse_source

#: Names by which the objective is found when none is given.
USUAL_NAMES = ("objective", "train", "evaluate", "f")


@dataclass(frozen=True)
class Reference:
    """A script as given by the user: a file or module, and optionally a name in it."""

    location: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``train.py``, ``train.py:f``, ``module`` or ``module:f``.

        Raises
        ------
        ConfigurationError
            If there is no such file.
        """
        location, colon, name = text.rpartition(":")
        if not (colon and name.isidentifier()):
            location, name = text, ""
        if location.endswith(".py") or "/" in location:
            path = Path(os.path.expanduser(location)).resolve()
            if not os.path.isfile(path):
                raise ConfigurationError(
                    f"there is no script {path}", do="check its name, or go to its directory"
                )
            if path.suffix != ".py":
                raise ConfigurationError(f"{path} is no script: its name does not end in .py")
            return cls(str(path), name)
        if os.path.isfile(f"{location}.py"):
            return cls(str(Path(f"{location}.py").resolve()), name)
        return cls(location, name)

    @property
    def directory(self) -> Path:
        """The default run directory of this script."""
        stem = (
            Path(self.location).stem
            if self.location.endswith(".py")
            else self.location.split(".")[-1]
        )
        return RUNS / safe_run_id(stem)

    def with_name(self, name: str) -> str:
        """Return the reference to a name in the script."""
        return f"{self.location}:{name}"


@dataclass(frozen=True)
class Script:
    """An imported script and its objective.

    ``target`` is a function that can be an objective, or a subclass of `hpdist.Worker`.
    """

    reference: str
    module: ModuleType
    target: Any

    @property
    def is_worker(self) -> bool:
        return is_worker(self.target)

    def variable(self, name: str) -> Any:
        """Return a variable of the module; None if it has none of that name."""
        return getattr(self.module, name, None)

    def space(self, name: str | None = None) -> Any:
        """Return the space: the variable ``name``, or else ``space``.

        Raises
        ------
        ConfigurationError
            If there is none.
        """
        found = self.variable(name or "space")
        if found is not None:
            return found
        raise ConfigurationError(
            f"{self.module.__file__} has no variable {name or 'space'!r}",
            cause="this variable defines the search space",
            do='space = {"lr": hpdist.Float(1e-5, 0.1, log=True), "units": (16, 512)}\n'
            "or name another variable: --space NAME",
        )

    @property
    def budget(self) -> tuple[float, float] | None:
        """The variable ``budget``, if there is one: (smallest, largest).

        Raises
        ------
        ConfigurationError
            If it is not a pair of numbers, since without it another search would be started.
        """
        found = self.variable("budget")
        if found is None or callable(found) or isinstance(found, ModuleType):
            return None
        numbers = [to_real(each) for each in found] if isinstance(found, tuple | list) else []
        if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
            return numbers[0], numbers[1]
        raise ConfigurationError(
            f"budget in {self.module.__file__} must be two numbers, got {short_repr(found)}",
            cause="it is the smallest and the largest budget of an evaluation",
            do="budget = (1, 81), or another name if it is something else",
        )


def load_script(reference: Reference) -> Script:
    """Import a script and find its objective.

    Raises
    ------
    ConfigurationError
        If it cannot be imported, or it is not clear which function is meant.
    """
    functions, classes = _top_level(reference.location)
    asked = [reference.name] if reference.name else [*functions, *classes]
    if not asked:
        raise _no_objective(reference, [])
    first = load_objective(reference.with_name(asked[0]))
    module = _module(reference.location)
    if reference.name:
        target = first
    else:
        fitting = [name for name in functions if _fits(getattr(module, name, None))]
        fitting = fitting or [name for name in classes if is_worker(getattr(module, name, None))]
        target = getattr(module, _choose(reference, fitting, [*functions, *classes]))
    if not is_worker(target):
        check_signature(target)
    name = reference.name or target.__name__
    return Script(reference.with_name(name), module, target)


def is_worker(target: Any) -> bool:
    """Return True for a subclass of `hpdist.Worker`, without importing that if nothing else did."""
    worker = sys.modules.get("hpdist.cluster.worker")
    return inspect.isclass(target) and worker is not None and issubclass(target, worker.Worker)


def names_function(reference: Reference) -> bool:
    """Return True if the reference names a function that the file itself defines."""
    return bool(reference.name) and reference.name in _top_level(reference.location)[0]


def _choose(reference: Reference, fitting: list[str], defined: list[str]) -> str:
    usual = [name for name in fitting if name in USUAL_NAMES]
    for names in (fitting, usual):
        if len(names) == 1:
            return names[0]
    if not fitting:
        raise _no_objective(reference, defined)
    raise ConfigurationError(
        f"{reference.location} has several functions that could be the objective",
        tried=", ".join(fitting),
        do=f"name one of them: {reference.with_name(fitting[0])}",
    )


def _no_objective(reference: Reference, defined: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{reference.location} has no function that can be the objective",
        cause="an objective is f(config), f(config, budget) or f(config, budget, ctx)",
        tried="\n".join(f"{name}: {_why_not(reference, name)}" for name in defined[:10])
        or "it has no function at all",
        do="def objective(config, budget): ...",
    )


def _why_not(reference: Reference, name: str) -> str:
    target = getattr(_module(reference.location), name, None)
    if inspect.isclass(target):
        return "a class, but no subclass of hpdist.Worker"
    try:
        check_signature(target)  # type: ignore[arg-type]
    except ConfigurationError as error:
        return error.cause or error.what
    return "it could be one"


def _fits(function: Callable[..., object] | None) -> bool:
    if function is None:
        return False
    try:
        check_signature(function)
    except ConfigurationError:
        return False
    return True


def _top_level(location: str) -> tuple[list[str], list[str]]:
    """Return the public functions and classes that a file defines, without running it."""
    tree = parse_source(location if location.endswith(".py") else _file_of(location))
    public = [node for node in tree.body if not getattr(node, "name", "_").startswith("_")]
    functions = [node.name for node in public if isinstance(node, ast.FunctionDef)]
    return functions, [node.name for node in public if isinstance(node, ast.ClassDef)]


def _file_of(module: str) -> str:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise _no_module(module, str(error)) from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise _no_module(module, "" if spec is None else "it is not written in Python")
    return spec.origin


def _no_module(module: str, cause: str) -> ConfigurationError:
    return ConfigurationError(
        f"there is no script or module {module!r}",
        cause=cause,
        tried="sys.path: " + ":".join(sys.path),
        do="write a file's name with .py, or the name of a module",
    )


def _module(location: str) -> ModuleType:
    """Return the module that was just imported from a file or by name."""
    if not location.endswith(".py"):
        return sys.modules[location]
    files = {getattr(each, "__file__", None): each for each in list(sys.modules.values())}
    for file, module in files.items():
        if file and Path(file).resolve() == Path(location):
            return module
    raise ConfigurationError(f"{location} was imported, and is gone from sys.modules again")
