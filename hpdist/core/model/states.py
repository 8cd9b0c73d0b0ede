"""Enums of a run's state machines: states, kinds of failure, end reasons, commands.

Each member is its word, as the journal and messages have it, so that it is written as such.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr

W = TypeVar("W", bound="Word")


class Word(str, Enum):
    """An enum whose members are text: equal to their word, and formatted as it."""

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]

    @classmethod
    def of(cls: type[W], word: object) -> W:
        """Return the member of this word.

        Raises
        ------
        ConfigurationError
            If there is none.
        """
        try:
            return cls(word)
        except ValueError:
            noun = cls.__name__.lower()
            raise ConfigurationError(
                f"there is no {noun} {short_repr(word)}", do=f"choose from {', '.join(cls)}"
            ) from None


class JobState(Enum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def settled(self) -> bool:
        """Whether the job is over: its state never changes again."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class FailureKind(Enum):
    """Why a job has no loss."""

    EXCEPTION = "exception"  #: the objective raised, or called sys.exit
    INVALID = "invalid"  #: the result is no finite number, or cannot be recorded
    TIMEOUT = "timeout"  #: it ran past its time limit
    MEMORY = "memory"  #: it used more memory than allowed
    CRASH = "crash"  #: its process died by itself, as often as is allowed
    LOST = "lost"  #: contact with its worker was lost, as often as is allowed
    CANCELLED = "cancelled"  #: it was withdrawn

    @property
    def counts(self) -> bool:
        """Whether the configuration caused it; the optimizer then gets an infinite loss."""
        return self not in (FailureKind.LOST, FailureKind.CANCELLED)


class WorkerState(Word):
    """The state of a worker: that of its latest `hpdist.core.model.events.WorkerChanged`."""

    JOINED = "joined"
    RETURNED = "returned"  #: registered again after a restart of the dispatcher
    QUARANTINED = "quarantined"  #: gets no more jobs, since jobs fail there and not elsewhere
    LEFT = "left"
    LOST = "lost"

    @property
    def serves(self) -> bool:
        """Whether the worker is registered and may be assigned jobs."""
        return self in (WorkerState.JOINED, WorkerState.RETURNED)


class EndReason(Word):
    """Why a run has ended, or does not start."""

    FINISHED = "finished"  #: the search is complete
    STOPPED = "stopped"  #: by a command or a signal; resumable
    TIME_LIMIT = "time_limit"  #: resumable
    FAILED = "failed"  #: by an error of hpdist, the disk or the executor
    WAITING = "waiting"  #: for a command that extends the search


class Command(Word):
    """Commands to a running dispatcher.

    ``PAUSE``, ``RESUME``, ``RETRY``, ``EXTEND`` and ``ITERATION_KWARGS`` are written to the
    journal; the others act at once, and their effects are written.
    """

    STOP = "stop"
    DRAIN = "drain"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    EXTEND = "extend"
    CANCEL = "cancel"
    SHUT_DOWN_WORKERS = "shut_down_workers"
    TIME_LIMIT = "time_limit"
    ITERATION_KWARGS = "iteration_kwargs"
