"""Execution of the code that an authenticated client sends, in a namespace that lasts.

The names live in the engine's child process for as long as that does. Who has the run's key can
run anything here; ordinary workers never do this.
"""

from __future__ import annotations

import functools
import os
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpdist.core.objective.context import Context
from hpdist.views.chunks import call_of, fetch, keep, reply_with
from hpdist.views.pickled import unpack
from hpdist.views.values import write_value

NAMESPACE: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
"""The names of this engine."""

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments."""

CALL = "hpdist_call"
"""Key of the call in a configuration."""

IN_CHUNKS = "in chunks"
"""The kind of a call that was sent before, in chunks."""


def execute(config: dict[str, Any], budget: float, ctx: Context) -> dict[str, Any]:
    """Execute a call, and return its values with the times of each.

    The values are written one by one, so that an error names the value that cannot be written.
    """
    kind, function, calls = config[CALL]
    if kind == IN_CHUNKS:
        kind, function, calls = call_of(function)
    run = _KINDS[kind](_function(function))
    argument_lists: list[Call] = unpack(calls)
    values, times = [], []
    for number, (arguments, named) in enumerate(argument_lists):
        start = time.time()
        value = run(*arguments, **named)
        times.append([start, time.time()])
        values.append(write_value(value))
        if len(argument_lists) > 1:
            ctx.report(number + 1, 0.0)
    return {"loss": 0.0, "info": {**reply_with(values), "times": times, "pid": os.getpid()}}


@functools.lru_cache(maxsize=64)
def _function(text: str) -> Any:
    """Return an unpacked function; cached, since each task of a map sends the same one."""
    return unpack(text)


def _in_namespace(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of the client's script see this engine's names before its own."""
    if not isinstance(function, types.FunctionType) or function.__module__ != "__main__":
        return function
    names = {**function.__globals__, **NAMESPACE}
    bound = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    bound.__kwdefaults__ = function.__kwdefaults__
    return bound


@dataclass(frozen=True)
class Lookup:
    """Returns the value of a name on the engine that runs it."""

    name: str

    def __call__(self) -> Any:
        if self.name not in NAMESPACE:
            raise NameError(f"this engine has no name {self.name!r}")
        return NAMESPACE[self.name]


def _push(_: None) -> Callable[..., None]:
    return lambda **names: NAMESPACE.update(names)


def _pull(_: None) -> Callable[..., Any]:
    return lambda *names: [Lookup(name)() for name in names]


def _cell(_: None) -> Callable[[str], None]:
    def run(code: str) -> None:
        exec(compile(code, "<cell>", "exec"), NAMESPACE)

    return run


_KINDS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "call": _in_namespace,
    "push": _push,
    "pull": _pull,
    "cell": _cell,
    "keep": lambda _: keep,
    "fetch": lambda _: fetch,
}
