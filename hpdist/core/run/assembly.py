"""Assembly of a loop from its parts: the work, the executor and the observers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from hpdist.core.dispatch.executor import Executor
from hpdist.core.dispatch.ports import JobSource, JournalPort
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.journal.memory_journal import MemoryJournal
from hpdist.core.model.events import Record
from hpdist.core.run.inbox import QueueInbox
from hpdist.core.run.loop import Loop, Observer


@dataclass(frozen=True)
class Work:
    """A source of jobs, the state of its jobs and workers, and the journal of both."""

    source: JobSource
    dispatch: DispatchState = field(default_factory=DispatchState)
    journal: JournalPort = field(default_factory=MemoryJournal)


@dataclass(frozen=True)
class RunInstance:
    """Identity of a run and of this session, for the workers of its earlier sessions.

    Attributes
    ----------
    instance_id
        Distinguishes this run from others of its name; their workers are refused.
    epoch
        Rises with each session of a run; workers refuse one older than the last they know.
    former_port
        Port of the last session's dispatcher; 0 if it is not known.
    announce
        Called in the loop's thread with the dispatcher's address, before any worker can call.
    running
        Attempts of earlier sessions that may still run: (worker id, attempt) by job id.
    """

    instance_id: str
    epoch: int = 1
    former_port: int = 0
    announce: Callable[[str], None] = lambda address: None
    running: Mapping[int, tuple[str, int]] = field(default_factory=dict)


@runtime_checkable
class ServesRun(Protocol):
    """An executor with workers of its own, which has to know the run before it starts."""

    def take_over(self, instance: RunInstance) -> None:
        """Set the run to serve."""
        ...


@runtime_checkable
class Observing(Protocol):
    """A job source or an executor that follows the records."""

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Follow new records, in the loop's thread, once they are durable."""
        ...


def make_loop(
    work: Work, executor: Executor, observers: Sequence[Observer] = (), **options: Any
) -> Loop:
    """Return the loop that runs ``work`` on ``executor``, with an inbox of its own.

    Parameters
    ----------
    observers
        Called with new records, after the source and before the executor if these observe.
    options
        Further options of `Loop`.
    """
    first, last = (
        [each.observe] if isinstance(each, Observing) else [] for each in (work.source, executor)
    )
    return Loop(
        work.source,
        work.dispatch,
        work.journal,
        executor,
        QueueInbox(),
        observers=[*first, *observers, *last],
        **options,
    )
