"""Runs attempts on this machine, each in a child process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.attempt.inline_runner import InlineRunner
from hpdist.core.attempt.runner import Runner
from hpdist.core.dispatch.executor import Post
from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import WorkerInfo
from hpdist.core.objective.limits import check_attempt_limits, check_enforceable, check_isolation
from hpdist.core.objective.objective import Objective
from hpdist.executors.slot_executor import SlotExecutor, new_worker


class LocalExecutor(SlotExecutor):
    """``workers`` workers of one slot each, in threads of this process.

    Parameters
    ----------
    root
        The run's directory; None for a temporary one.
    isolation
        "process" runs each worker's attempts in a child process, so that a crash costs one
        attempt and a limit can be enforced; "none" runs them in the worker's thread.
    job_timeout, memory_limit
        Seconds and bytes an attempt may take; with ``isolation="process"`` only.
    prefetch
        How many further attempts a worker is assigned ahead, so that it need not wait for them.
    devices
        Worker *i* gets ``devices[i % len(devices)]``, see `ChildRunner`.

    Raises
    ------
    ConfigurationError
        If these do not fit together, or the objective cannot be sent to another process.
    """

    def __init__(
        self,
        objective: Objective,
        workers: int = 1,
        *,
        root: Path | None = None,
        isolation: str = "process",
        job_timeout: float | None = None,
        memory_limit: int | None = None,
        prefetch: int = 0,
        devices: Sequence[str] = (),
    ) -> None:
        super().__init__(root)
        workers = check_whole("workers", workers, minimum=1)
        limits = check_attempt_limits(job_timeout, memory_limit)
        check_enforceable(check_isolation(isolation), limits)
        self._infos = [_worker(i, prefetch, devices) for i in range(workers)]
        self._runners: list[Runner] = [
            InlineRunner(objective, device=info.device)
            if isolation == "none"
            else self._with_process(objective, limits, info.device)
            for info in self._infos
        ]

    def _with_process(self, objective: Objective, limits: dict[str, Any], device: str) -> Runner:
        return ChildRunner(objective, **limits, device=device)

    def start(self, post: Post) -> None:
        self._start_slots(post, zip(self._infos, self._runners, strict=True))


def _worker(index: int, prefetch: int, devices: Sequence[str]) -> WorkerInfo:
    device = devices[index % len(devices)] if devices else ""
    return new_worker(f"local-{index}", prefetch, device)
