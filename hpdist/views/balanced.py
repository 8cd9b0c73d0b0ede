"""A view that gives each task to an engine when one is free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_choice, check_seconds, check_whole, maybe
from hpdist.views.calls import pack_function
from hpdist.views.direct import ParallelFunction
from hpdist.views.engine import Call
from hpdist.views.pickled import pack
from hpdist.views.policies import POLICIES
from hpdist.views.result import AsyncResult, Submitter
from hpdist.views.task import Task


class LoadBalancedView:
    """Tasks for idle engines.

    Attributes
    ----------
    policy
        How to choose between idle engines: a name of `hpdist.views.policies.POLICIES`.
    retries
        How often a call is retried after an exception; on another engine if there is one.
        A call whose engine dies is tried again without counting.
    timeout
        Seconds that a task may run; its engine restarts after it.
    after, follow
        Results that have to be there first; and whose engines may run it (with the policy
        "affinity": are to be preferred).
    chunksize
        How many elements of a map make a task.
    """

    def __init__(self, client: Submitter, targets: Sequence[int] | None = None) -> None:
        self._client = client
        self.targets = None if targets is None else frozenset(targets)
        self.policy = "leastload"
        self.retries = 0
        self.chunksize = 1
        self.timeout: float | None = None
        self.after: Sequence[AsyncResult] = ()
        self.follow: Sequence[AsyncResult] = ()

    def set_flags(self, **flags: Any) -> None:
        """Set attributes for all later calls.

        Raises
        ------
        ConfigurationError
            If one has a value that cannot work.
        """
        for name, value in flags.items():
            setattr(self, name, _CHECKS[name](value) if name in _CHECKS else _no_flag(name))

    @contextmanager
    def temp_flags(self, **flags: Any) -> Iterator[None]:
        """Set attributes for the calls of a ``with`` block."""
        former = {name: getattr(self, name, None) for name in flags}
        self.set_flags(**flags)
        try:
            yield
        finally:
            for name, value in former.items():
                setattr(self, name, value)

    def apply_async(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> AsyncResult:
        """Call a function once, on one engine."""
        return self._client.submit(
            [self._task(pack_function(function), [(args, kwargs)])], "single"
        )

    def apply(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """As `apply_async`."""
        return self.apply_async(function, *args, **kwargs)

    def apply_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function once, on one engine, and return its value."""
        return self.apply_async(function, *args, **kwargs).get()

    def map_async(self, function: Callable[..., Any], /, *sequences: Iterable[Any]) -> AsyncResult:
        """Call a function on each element, ``chunksize`` of them in a task."""
        calls: list[Call] = [(arguments, {}) for arguments in zip(*sequences, strict=False)]
        size = self.chunksize
        chunks = [calls[start : start + size] for start in range(0, len(calls), size)]
        packed = pack_function(function)
        return self._client.submit([self._task(packed, chunk) for chunk in chunks])

    def map(self, function: Callable[..., Any], /, *sequences: Iterable[Any]) -> AsyncResult:
        """As `map_async`."""
        return self.map_async(function, *sequences)

    def map_sync(self, function: Callable[..., Any], /, *sequences: Iterable[Any]) -> list[Any]:
        """As `map_async`, and return the values."""
        values: list[Any] = self.map_async(function, *sequences).get()
        return values

    def parallel(self, *, block: bool = False) -> Callable[[Callable[..., Any]], ParallelFunction]:
        """Decorate a function so that calling it calls it on an engine."""
        return lambda function: ParallelFunction(self, function, block)

    def _task(self, packed: str, calls: Sequence[Call]) -> Task:
        return Task(
            ("call", packed, pack(list(calls))),
            len(calls),
            targets=self.targets,
            policy=self.policy,
            retries=self.retries,
            timeout=self.timeout,
            after=[task for result in self.after for task in result.tasks],
            follow=[task for result in self.follow for task in result.tasks],
        )


def _results(value: Any) -> Sequence[AsyncResult]:
    return [value] if isinstance(value, AsyncResult) else list(value or ())


def _no_flag(name: str) -> Any:

    raise ConfigurationError(f"there is no flag {name!r}", do=f"choose from {', '.join(_CHECKS)}")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "policy": lambda value: check_choice("policy", value, tuple(POLICIES)),
    "retries": lambda value: check_whole("retries", value, minimum=0),
    "chunksize": lambda value: check_whole("chunksize", value, minimum=1),
    "timeout": lambda value: maybe(check_seconds, "timeout", value),
    "after": _results,
    "follow": _results,
    "targets": lambda value: None if value is None else frozenset(value),
}
