"""Results of tasks: an `AsyncResult` with values, errors and times."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Any, Protocol

from hpdist.core.model.errors import HpdistError
from hpdist.core.model.values import Failure
from hpdist.views.task import Task
from hpdist.views.values import read_value

if TYPE_CHECKING:
    import pandas as pd


class RemoteError(HpdistError):
    """A call failed on an engine; ``traceback`` is the engine's.

    ``failure.kind`` is the kind of failure: an exception, a lost engine, a time-out.
    """

    def __init__(self, failure: Failure, engine: int | None) -> None:
        where = "no engine" if engine is None else f"engine {engine}"
        super().__init__(f"{where}: {failure.message}", cause=failure.traceback.strip())
        self.failure = failure
        self.engine = engine
        self.traceback = failure.traceback


class CompositeError(HpdistError):
    """Several calls failed; ``errors`` has each `RemoteError`."""

    def __init__(self, errors: Sequence[RemoteError], count: int) -> None:
        first = errors[0]
        super().__init__(
            f"{len(errors)} of {count} calls failed, the first on {first.what}", cause=first.cause
        )
        self.errors = list(errors)


class Submitter(Protocol):
    """Runs the tasks of views: a `hpdist.views.client.Client`."""

    def submit(self, tasks: Sequence[Task], flat: str = "values") -> AsyncResult:
        """Queue the tasks, and return their result."""
        ...


class AsyncResult:
    """The values of calls, in the order of the calls.

    Parameters
    ----------
    futures
        One for each task: the reply of its engine, or a `hpdist.core.model.values.Failure`.
    flat
        "values": a list of all values; "single": the only value; "engines": one value per engine.
    unpickle
        Whether to unpickle values of engines, see `hpdist.views.client.Client`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        futures: Sequence[Future[Any]],
        flat: str = "values",
        unpickle: bool = False,
    ) -> None:
        self.tasks = list(tasks)
        self._futures = list(futures)
        self._flat = flat
        self._unpickle = unpickle
        self._started_at = time.monotonic()

    # ------------------------------------------------------------------ waiting

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds; return True if all calls are done."""
        return not wait_for(self._futures, timeout).not_done

    def ready(self) -> bool:
        """Whether all calls are done."""
        return all(future.done() for future in self._futures)

    def successful(self) -> bool:
        """Whether all calls are done and none failed."""
        return self.ready() and not self._errors()

    def get(self, timeout: float | None = None, *, return_exceptions: bool = False) -> Any:
        """Return the values.

        Raises
        ------
        TimeoutError
            If a call is not done within ``timeout`` seconds.
        PickledValue
            If an engine returned an object that only unpickling could read.
        RemoteError, CompositeError
            If one call failed, or several; with ``return_exceptions`` each error is a value.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"{self.progress} of {len(self)} calls are done")
        errors = self._errors()
        if errors and not return_exceptions:
            raise errors[0] if len(errors) == 1 else CompositeError(errors, len(self))
        values = [value for number in range(len(self.tasks)) for value in self._values(number)]
        return values[0] if self._flat == "single" else values

    def wait_interactive(self, interval: float = 0.1, timeout: float | None = None) -> None:
        """Wait, and print how many calls are done: one line, rewritten on a terminal."""
        until = None if timeout is None else time.monotonic() + timeout
        live = sys.stdout.isatty()
        while not self.wait(interval) and (until is None or time.monotonic() < until):
            if live:
                sys.stdout.write("\r" + self._line())
                sys.stdout.flush()
        sys.stdout.write(("\r" if live else "") + self._line() + "\n")

    def _line(self) -> str:
        total = len(self)
        width = len(str(total))
        return f"{self.progress:{width}d}/{total} tasks finished after {self.elapsed:4.0f} s"

    def __len__(self) -> int:
        return sum(task.count for task in self.tasks)

    def __iter__(self) -> Iterator[Any]:
        """Yield each value as soon as it and all values before it are available."""
        for number, future in enumerate(self._futures):
            wait_for([future])
            for value in self._values(number):
                if isinstance(value, RemoteError):
                    raise value
                yield value

    # ------------------------------------------------------------------ figures

    @property
    def progress(self) -> int:
        """Number of calls that are done."""
        return sum(
            task.count if future.done() else task.reports
            for task, future in zip(self.tasks, self._futures, strict=True)
        )

    @property
    def elapsed(self) -> float:
        """Seconds from the submission until now or the end."""
        if self.ready():
            return self.wall_time
        return time.monotonic() - self._started_at

    @property
    def serial_time(self) -> float:
        """Total seconds of all calls."""
        return float(sum(row["completed"] - row["started"] for row in self.metadata))

    @property
    def wall_time(self) -> float:
        """Seconds from the first submission to the last result."""
        times = [task.times for task in self.tasks]
        ends = [each["received"] for each in times if "received" in each]
        return max(ends, default=time.time()) - min(each["submitted"] for each in times)

    @property
    def speedup(self) -> float:
        """Ratio of serial time to wall time."""
        return self.serial_time / self.wall_time

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """A dict for each successful call, in order.

        ``submitted``, ``started``, ``completed`` and ``received`` are seconds since 1970, by the
        client's clock, even if an engine's clock is wrong; ``engine_id``, ``pid`` and ``status``
        describe where the call ran, ``stdout`` is its printed output.
        """
        return [row for number in range(len(self.tasks)) for row in self._rows(number)]

    def timeline(self) -> pd.DataFrame:
        """Return the times and the order of the calls on each engine.

        Columns: engine_id, pid, started, completed (seconds since 1970), rel_started,
        rel_completed (seconds since the first started), order (from 0, for each engine).
        """
        import pandas as pd

        names = ["engine_id", "pid", "started", "completed"]
        frame = pd.DataFrame([[row[name] for name in names] for row in self.metadata],
                             columns=names)  # fmt: skip
        frame["rel_started"] = frame["started"] - frame["started"].min()
        frame["rel_completed"] = frame["completed"] - frame["started"].min()
        frame = frame.sort_values(["engine_id", "rel_started", "rel_completed"], ignore_index=True)
        frame["order"] = frame.groupby("engine_id").cumcount()
        return frame

    # ------------------------------------------------------------------ internal

    def _values(self, number: int) -> list[Any]:
        reply, task = self._futures[number].result(), self.tasks[number]
        if isinstance(reply, Failure):
            return [RemoteError(reply, task.engine)] * task.count
        return [read_value(value, self._unpickle) for value in reply["values"]]

    def _errors(self) -> list[RemoteError]:
        return [
            RemoteError(future.result(), task.engine)
            for task, future in zip(self.tasks, self._futures, strict=True)
            if isinstance(future.result(), Failure)
        ]

    def _rows(self, number: int) -> list[dict[str, Any]]:
        future, task = self._futures[number], self.tasks[number]
        reply = future.result() if future.done() else None
        if not isinstance(reply, dict):
            return []
        shared = {
            "engine_id": task.engine,
            "pid": reply["pid"],
            "submitted": task.times["submitted"],
            "received": task.times["received"],
            "status": "ok",
            "stdout": reply.get("output", ""),
        }
        spans = task.spans(reply["times"])
        return [{**shared, "started": start, "completed": end} for start, end in spans]
