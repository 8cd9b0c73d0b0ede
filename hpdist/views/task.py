"""A task: calls of one function that an engine runs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.clock_offset import clock_offset


@dataclass(eq=False)
class Task:
    """One or more calls, and the engines that may run them.

    Attributes
    ----------
    call
        The call as sent to the engine: the kind, the function and its arguments, packed.
    count
        Number of calls in the task.
    targets
        Engines that may run it; None for all.
    static
        Whether the task fails when its engine is lost: no other engine has the names it needs.
    retries
        How often the task is retried after a failure.
    after, follow
        Tasks that have to end before; tasks whose engines may run it.
    engine
        The engine that runs the task, or ran it last.
    """

    call: tuple[str, str, str]
    count: int = 1
    targets: frozenset[int] | None = None
    static: bool = False
    policy: str = "leastload"
    retries: int = 0
    timeout: float | None = None
    after: Sequence[Task] = ()
    follow: Sequence[Task] = ()
    done: bool = False
    engine: int | None = None
    times: dict[str, float] = field(default_factory=dict)
    reports: int = 0
    timed_out: bool = False
    on_end: Callable[[Task, Any], None] = lambda task, outcome: None

    @property
    def anywhere(self) -> bool:
        """Whether any engine may run the task at any time."""
        # The timeout counts from the assignment on, so a task with one waits for an idle engine.
        limits = (self.targets, self.timeout)
        return limits == (None, None) and not (self.after or self.follow)

    @property
    def ready(self) -> bool:
        """Whether all tasks that have to end before this one have ended."""
        return all(each.done for each in (*self.after, *self.follow))

    @property
    def followed(self) -> set[int | None]:
        """The engines of the tasks that this one follows."""
        return {each.engine for each in self.follow}

    def permits(self, engine: int) -> bool:
        """Whether the task may ever run on an engine."""
        if self.targets is not None and engine not in self.targets:
            return False
        return not self.follow or self.policy == "affinity" or engine in self.followed

    def spans(self, reported: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
        """Return when its calls started and ended, as an engine reported by its own clock."""
        if not reported:
            return []
        assigned, received = self.times["started"], self.times["received"]
        offset = clock_offset(reported[0][0], reported[-1][1], assigned, received)
        return [(started + offset, ended + offset) for started, ended in reported]
