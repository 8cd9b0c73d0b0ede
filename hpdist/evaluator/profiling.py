"""A decorator that adds times and resource usage to a function's value."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.model.errors import ConfigurationError, HpdistError
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.validation import check_flag
from hpdist.core.model.values import Failure
from hpdist.core.objective.context import Context
from hpdist.core.objective.limits import check_attempt_limits
from hpdist.core.objective.objective import Call, function_name

Function = Callable[..., Any]

EXCEEDED = "F_memory_limit_exceeded"
"""The output of a function that took more memory than it may."""

_PAYLOAD = Payload(0, (0, 0, 0), {}, 1.0)


@overload
def profile(function: Function, /) -> Function: ...


@overload
def profile(
    *, memory: bool = False, memory_limit: int = -1, raise_exception: bool = False
) -> Callable[[Function], Function]: ...


def profile(
    function: Function | None = None,
    /,
    *,
    memory: bool = False,
    memory_limit: int = -1,
    raise_exception: bool = False,
) -> Function | Callable[[Function], Function]:
    """Let a function return a dict with its "output", and "metadata" with times.

    Metadata are ``timestamp_start`` and ``timestamp_end`` in seconds since 1970 on the clock of
    the host where it ran, and ``cpu_start`` and ``cpu_end``, the CPU seconds of its process by
    then. Evaluators take the dict apart. Coroutine functions stay coroutine functions.

    Parameters
    ----------
    memory
        Run each call in a fresh process, and add ``memory_peak``, the bytes resident there.
        Its arguments must be picklable, its value JSON.
    memory_limit
        Bytes that the function and its own processes may take, in a fresh process likewise;
        -1 for unlimited.
    raise_exception
        Raise a MemoryError beyond the limit; else the output is "F_memory_limit_exceeded".

    Raises
    ------
    ConfigurationError
        If it is not a function, or the limit is not a number of bytes.
    """
    check_flag("memory", memory)
    check_flag("raise_exception", raise_exception)
    limit = None if memory_limit == -1 else memory_limit
    check_attempt_limits(None, limit)

    def decorate(function: Function) -> Function:
        if not callable(function) or inspect.isclass(function):
            raise ConfigurationError(f"profile needs a function, got {function!r}", do="@profile")
        if memory or limit is not None:
            function = _in_a_process(function, limit, raise_exception)
        return _timed(function)

    return decorate if function is None else decorate(function)


def _timed(function: Function) -> Function:
    # Functions, not objects, so that pickle finds the decorated function by its name.
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def timed_coroutine(*arguments: Any, **options: Any) -> dict[str, Any]:
            start = _clocks()
            return _result(start, await function(*arguments, **options))

        return timed_coroutine

    @functools.wraps(function)
    def timed(*arguments: Any, **options: Any) -> dict[str, Any]:
        start = _clocks()
        return _result(start, function(*arguments, **options))

    return timed


def _clocks() -> tuple[float, float, float]:
    return time.time(), time.monotonic(), time.process_time()


def _result(start: tuple[float, float, float], output: Any) -> dict[str, Any]:
    wall, monotonic, cpu = start
    metadata = {
        "timestamp_start": wall,
        # Not affected by a clock that is set meanwhile.
        "timestamp_end": wall + time.monotonic() - monotonic,
        "cpu_start": cpu,
        "cpu_end": time.process_time(),
    }
    if isinstance(output, _Measured):
        return {"output": output.value, "metadata": {**metadata, **output.metadata}}
    return {"output": output, "metadata": metadata}


# ------------------------------------------------------------------ in a process of its own


@dataclass
class _Measured:
    value: Any
    metadata: dict[str, Any]


@dataclass(frozen=True)
class _OneCall:
    """A call as an objective, whose value comes back as information."""

    function: Function
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return function_name(self.function)

    def build(self) -> Call:
        return self._call

    def _call(self, payload: Payload, context: Context) -> object:
        import resource

        value = self.function(*self.arguments, **self.options)
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)  # JSON has none; as text it is refused like the number
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"loss": 0.0, "info": {"value": value, "memory_peak": peak}}


async def _awaited(value: Any) -> Any:
    return await value


def _in_a_process(function: Function, limit: int | None, raise_exception: bool) -> Function:
    def run(*arguments: Any, **options: Any) -> _Measured:
        runner = ChildRunner(_OneCall(function, arguments, options), memory_limit=limit)
        try:
            result = runner.run(_PAYLOAD, (0, 1), directory_root=Path())
        finally:
            runner.close()
        assert result is not None, "there is no other thread to cancel it"
        if isinstance(result.outcome, Failure):
            return _failed(result.outcome, raise_exception)
        value = result.outcome.info.pop("value")
        return _Measured(value, result.outcome.info)

    if not inspect.iscoroutinefunction(function):
        return functools.wraps(function)(run)

    @functools.wraps(function)
    async def run_in_thread(*arguments: Any, **options: Any) -> _Measured:
        return await asyncio.to_thread(run, *arguments, **options)

    return run_in_thread


def _failed(failure: Failure, raise_exception: bool) -> _Measured:
    if failure.kind is not FailureKind.MEMORY:
        raise HpdistError(failure.message, cause=failure.traceback)
    if raise_exception:
        raise MemoryError(failure.message)
    return _Measured(EXCEEDED, {})
