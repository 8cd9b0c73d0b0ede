"""Runs attempts as coroutines, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hpdist.core.attempt.attempt_directories import AttemptDirectories
from hpdist.core.attempt.objective_call import failure_of
from hpdist.core.dispatch.executor import Post
from hpdist.core.model.events import (
    Assignment,
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    Event,
    ExecutorFailed,
    ProgressReported,
    WorkerJoined,
    WorkerLeft,
)
from hpdist.core.model.orders import Cancel, Launch, Order, ShutDown
from hpdist.core.model.states import FailureKind
from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import Outcome, WorkerInfo
from hpdist.core.objective.context import Context
from hpdist.core.objective.returned_value import normalise_result
from hpdist.evaluator.run_function import AsyncCall


class AsyncObjective(Protocol):
    """Makes the coroutine function that is called in the event loop."""

    @property
    def name(self) -> str: ...

    def build_async(self) -> AsyncCall: ...


class CoroutineExecutor:
    """One worker whose ``workers`` attempts at a time take turns wherever they await something.

    The event loop has a thread of its own, so that there may be another one in the caller's
    thread, as in notebooks. A function that never awaits blocks the others, and cannot be
    cancelled.
    """

    keeps_running = False

    def __init__(
        self, objective: AsyncObjective, workers: int = 1, root: Path | None = None
    ) -> None:
        workers = check_whole("workers", workers, minimum=1)
        self._objective = objective
        self._root = root
        host, pid = socket.gethostname(), os.getpid()
        self._worker = WorkerInfo("coroutines", uuid.uuid4().hex, host, pid, slots=workers)
        self._directories = AttemptDirectories()
        self._tasks: dict[Assignment, asyncio.Task[None]] = {}
        self._cancelled: set[Assignment] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._post: Post | None = None

    def start(self, post: Post) -> None:
        self._post = post
        self._loop = loop = asyncio.new_event_loop()
        # a thread that hangs in the user's code must not keep the program from ending
        self._thread = threading.Thread(
            target=self._serve, args=(loop,), name="hpdist-coroutines", daemon=True
        )
        self._thread.start()

    def perform(self, orders: Sequence[Order]) -> None:
        if self._loop is not None:
            for order in orders:
                self._loop.call_soon_threadsafe(self._carry_out, order)

    def close(self, grace_s: float) -> None:
        """Cancel running attempts; a function that does not end within ``grace_s`` is abandoned."""
        loop = self._loop
        self._post = None
        self._loop = None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(self._end)
            self._thread.join(max(grace_s, 1.0))
        self._directories.close()

    # ------------------------------------------------------------------ in the event loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            self._call = self._objective.build_async()
            self._report(WorkerJoined(self._worker))
            loop.run_forever()
            loop.run_until_complete(_wait_for(list(self._tasks.values())))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except BaseException as error:  # noqa: BLE001 - the top of a thread
            self._report(ExecutorFailed(repr(error), traceback.format_exc()))
        finally:
            loop.close()

    def _end(self) -> None:
        for assignment in self._tasks:
            self._cancel(assignment)
        asyncio.get_running_loop().stop()

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, Launch):
            task = asyncio.get_running_loop().create_task(self._run(order))
            self._tasks[order.job_id, order.attempt] = task
        elif isinstance(order, Cancel):
            self._cancel((order.job_id, order.attempt))
        elif isinstance(order, ShutDown):
            self._report(WorkerLeft(*self._name, order.reason or "shut down"))

    def _cancel(self, assignment: Assignment) -> None:
        if assignment in self._tasks:
            self._cancelled.add(assignment)
            self._tasks[assignment].cancel()

    async def _run(self, launch: Launch) -> None:
        assignment = (launch.job_id, launch.attempt)
        started_at = time.time()
        start = time.monotonic()
        try:
            outcome = await self._outcome(launch, assignment)
        finally:
            del self._tasks[assignment]
            cancelled = assignment in self._cancelled
            self._cancelled.discard(assignment)
            if cancelled:
                self._report(AttemptReleased(*self._name, *assignment, "cancelled"))
        if not cancelled:
            result = AttemptResult(*assignment, outcome, time.monotonic() - start, started_at)
            self._report(AttemptFinished(*self._name, result))

    async def _outcome(self, launch: Launch, assignment: Assignment) -> Outcome:
        assert launch.payload is not None, "the loop fills the payload"
        context = Context(
            launch.payload,
            launch.attempt,
            *self._directories.of(self._root, launch.payload, launch.attempt),
            report=lambda step, loss: self._report(
                ProgressReported(*self._name, *assignment, step, loss)
            ),
            stop_requested=lambda: assignment in self._cancelled,
        )
        try:
            value = await self._call(launch.payload, context)
        except asyncio.CancelledError as error:
            if assignment in self._cancelled:
                raise
            return failure_of(FailureKind.EXCEPTION, error)
        except MemoryError as error:
            return failure_of(FailureKind.MEMORY, error)
        except BaseException as error:  # noqa: BLE001 - the boundary around the user's function
            return failure_of(FailureKind.EXCEPTION, error)
        return normalise_result(value, self._objective.name)

    @property
    def _name(self) -> tuple[str, str]:
        return self._worker.worker_id, self._worker.incarnation

    def _report(self, event: Event) -> None:
        post = self._post
        if post is not None:
            post([event])


async def _wait_for(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
