"""Run functions, which an evaluator calls with a dict of parameters, and their results."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.payload import Payload
from hpdist.core.model.validation import check_kind, short_repr
from hpdist.core.model.values import JsonValue
from hpdist.core.objective.context import Context
from hpdist.core.objective.objective import Call, function_name
from hpdist.core.objective.returned_value import InvalidResult, to_number

FAIL_RETURN_VALUE = "F"
"""First letter of a run function's result that is a failure, and of a failed job's objective."""

AsyncCall = Callable[[Payload, Context], Awaitable[object]]


class Parameters(dict[str, Any]):
    """The parameters of a job, as its run function gets them.

    Iterating yields their names only; ``["job_id"]`` is answered, too.
    """

    def __init__(self, parameters: Mapping[str, Any], job_id: str) -> None:
        super().__init__(parameters)
        self.id = self.job_id = job_id

    @property
    def parameters(self) -> dict[str, Any]:
        """A plain dict of them."""
        return dict(self)

    def __missing__(self, name: str) -> Any:
        if name == "job_id":
            return self.job_id
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self or name == "job_id" else default

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (dict(self), self.job_id)


@dataclass(frozen=True)
class RunFunction:
    """``function(parameters, **options)`` as an `hpdist.core.objective.objective.Objective`."""

    function: Callable[..., object]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.function, self.options)

    @property
    def name(self) -> str:
        return function_name(self.function)

    def build(self) -> Call:
        """Return the call; an awaitable value is awaited in an event loop of its own."""

        def call(payload: Payload, context: Context) -> object:
            value = self._call(payload)
            return to_result(asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value)

        return call

    def build_async(self) -> AsyncCall:
        """Return the call for use within an event loop."""

        async def call(payload: Payload, context: Context) -> object:
            value = self._call(payload)
            return to_result(await value if inspect.isawaitable(value) else value)

        return call

    def _call(self, payload: Payload) -> object:
        job_id = payload.config_info.get("job_id", str(payload.trial_id))
        return self.function(Parameters(payload.config, job_id), **self.options)


async def _awaited(value: Any) -> object:
    return await value


def _check(function: object, options: object) -> None:
    name = function_name(function)
    if not callable(function) or inspect.isclass(function):
        raise ConfigurationError(
            f"run_function must be a function, got {short_repr(function)}",
            do="def run(job): return -job['x'] ** 2",
        )
    options = check_kind("run_function_kwargs", options, dict)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # such as functions of C
        return
    try:
        signature.bind({}, **options)
    except TypeError as error:
        raise ConfigurationError(
            f"the run function {name}{signature} cannot be called as "
            f"{name}({', '.join(['job', *(f'{key}=...' for key in options)])})",
            cause=str(error),
            do="give it one parameter for the job; those of run_function_kwargs come by name",
        ) from error


def to_result(returned: object) -> dict[str, JsonValue]:
    """Turn the value of a run function into a result with ``loss`` and ``info``.

    Raises
    ------
    InvalidResult
        If a run function may not return this.
    """
    objective, metadata = _parts(returned)
    if isinstance(objective, str) and objective.startswith(FAIL_RETURN_VALUE):
        return {"loss": 0.0, "info": {"objective": objective, "metadata": metadata}}
    if isinstance(objective, tuple | list) or getattr(objective, "ndim", 0) == 1:
        numbers: list[JsonValue] = [_number(value) for value in objective]  # type: ignore[attr-defined]
        if not numbers:
            raise InvalidResult("there is no number in it")
        return {"loss": numbers[0], "info": {"objective": numbers, "metadata": metadata}}
    number = _number(objective)
    return {"loss": number, "info": {"objective": number, "metadata": metadata}}


def _number(value: object) -> float:
    number = to_number(value)
    if number is None or not math.isfinite(number):
        raise InvalidResult(
            f"the objective is {short_repr(value)}; accepted are finite numbers, "
            "several of them, and "
            f"text that starts with {FAIL_RETURN_VALUE!r}"
        )
    return number


def _parts(returned: object) -> tuple[object, dict[str, Any]]:
    """Take objective and metadata apart, of a profiled function, too."""
    metadata: dict[str, Any] = {}
    for name in ("output", "objective"):
        if isinstance(returned, Mapping) and name in returned:
            if unknown := set(returned) - {name, "metadata"}:
                raise InvalidResult(
                    f"the dict has keys beside {name!r} and 'metadata': "
                    f"{short_repr(sorted(unknown))}"
                )
            metadata.update(returned.get("metadata") or {})
            returned = returned[name]
    if isinstance(returned, Mapping):
        raise InvalidResult(f"the dict has no 'objective', only {short_repr(list(returned))}")
    return returned, metadata
