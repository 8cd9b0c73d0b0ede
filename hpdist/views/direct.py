"""A view on chosen engines: it splits work beforehand, and sets and reads their names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hpdist.views.calls import pack_function
from hpdist.views.engine import Call, Lookup
from hpdist.views.pickled import pack
from hpdist.views.result import AsyncResult, Submitter
from hpdist.views.task import Task


class DirectView:
    """Some engines of a client.

    Parameters
    ----------
    engines
        Numbers of the engines.
    single
        Whether the view has one engine, and returns its values instead of lists of them.
    """

    def __init__(self, client: Submitter, engines: Sequence[int], *, single: bool = False) -> None:
        self._client = client
        self.targets = list(engines)
        self._single = single

    def __len__(self) -> int:
        return len(self.targets)

    # ------------------------------------------------------------------ functions

    def apply_async(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> AsyncResult:
        """Call a function once on each engine."""
        return self._each("call", function, [(args, kwargs)])

    def apply(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """As `apply_async`."""
        return self.apply_async(function, *args, **kwargs)

    def apply_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function once on each engine, and return its values."""
        return self.apply_async(function, *args, **kwargs).get()

    def map_async(self, function: Callable[..., Any], /, *sequences: Iterable[Any]) -> AsyncResult:
        """Call a function on each element: each engine gets a block of them beforehand."""
        calls: list[Call] = [(arguments, {}) for arguments in zip(*sequences, strict=False)]
        packed = pack_function(function)
        tasks = [
            self._task(engine, "call", packed, block)
            for engine, block in zip(self.targets, blocks(calls, len(self)), strict=True)
            if block
        ]
        return self._client.submit(tasks)

    def map(self, function: Callable[..., Any], /, *sequences: Iterable[Any]) -> AsyncResult:
        """As `map_async`."""
        return self.map_async(function, *sequences)

    def map_sync(self, function: Callable[..., Any], /, *sequences: Iterable[Any]) -> list[Any]:
        """As `map_async`, and return the values."""
        values: list[Any] = self.map_async(function, *sequences).get()
        return values

    def parallel(self, *, block: bool = False) -> Callable[[Callable[..., Any]], ParallelFunction]:
        """Decorate a function so that calling it calls it on every engine."""
        return lambda function: ParallelFunction(self, function, block)

    # ------------------------------------------------------------------ names

    def push(self, names: Mapping[str, Any]) -> AsyncResult:
        """Set names on each engine."""
        return self._each("push", None, [((), dict(names))])

    def pull(self, names: str | Sequence[str]) -> AsyncResult:
        """Read names: a list of values per engine, or one value for a single name."""
        if isinstance(names, str):
            return self._each("call", Lookup(names), [((), {})])
        return self._each("pull", None, [(tuple(names), {})])

    def get(self, name: str) -> Any:
        """Read a name on each engine; a NameError of an engine is raised."""
        return self.pull(name).get()

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.push({name: value}).get()

    def execute(self, code: str) -> AsyncResult:
        """Run statements in each engine's names."""
        compile(code, "<cell>", "exec")  # a syntax error is raised here, with its line
        return self._each("cell", None, [((code,), {})])

    def scatter(self, name: str, sequence: Sequence[Any]) -> AsyncResult:
        """Set a name to a block of ``sequence`` on each engine, in order."""
        tasks = [
            self._task(engine, "push", pack(None), [((), {name: part})])
            for engine, part in zip(self.targets, blocks(sequence, len(self)), strict=True)
        ]
        return self._client.submit(tasks)

    def gather(self, name: str) -> list[Any]:
        """Join the sequences of this name on the engines."""
        parts = self.get(name)
        return [item for part in ([parts] if self._single else parts) for item in part]

    # ------------------------------------------------------------------ internal

    def _each(self, kind: str, function: Any, calls: Sequence[Call]) -> AsyncResult:
        packed = pack(None) if function is None else pack_function(function)
        tasks = [self._task(engine, kind, packed, calls) for engine in self.targets]
        return self._client.submit(tasks, "single" if self._single else "values")

    def _task(self, engine: int, kind: str, packed: str, calls: Sequence[Call]) -> Task:
        call = (kind, packed, pack(list(calls)))
        return Task(call, len(calls), targets=frozenset([engine]), static=True)


class ParallelFunction:
    """A function that runs on the engines of a view."""

    def __init__(self, view: Any, function: Callable[..., Any], block: bool) -> None:
        self._view = view
        self._function = function
        self._block = block

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._view.apply_async(self._function, *args, **kwargs)
        return result.get() if self._block else result

    def map(self, *sequences: Iterable[Any]) -> Any:
        """Call it on each element."""
        result = self._view.map_async(self._function, *sequences)
        return result.get() if self._block else result


def blocks(sequence: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Cut a sequence into ``count`` blocks in order; the first ones may be longer by one."""
    size, more = divmod(len(sequence), count)
    starts = [number * size + min(number, more) for number in range(count + 1)]
    return [sequence[start:end] for start, end in itertools.pairwise(starts)]
