"""Execution of commands of an operator, or of the loop's own process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ClassVar

from hpdist.core.dispatch.ports import JobSource
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Controlled, ControlRequested, RunEnded
from hpdist.core.model.orders import Decision
from hpdist.core.model.states import Command, EndReason
from hpdist.core.model.values import JsonValue
from hpdist.core.run.ending import Ending
from hpdist.core.run.inbox import Inbox

logger = logging.getLogger(__name__)

Arguments = dict[str, JsonValue]


class Commands:
    """Executes commands in the loop's thread.

    Parameters
    ----------
    source, dispatch, ending
        Objects that the commands change.
    inbox
        The clock.
    carry_out
        Called with the decisions that result.
    change
        Records a command and applies it.
    """

    def __init__(
        self,
        source: JobSource,
        dispatch: DispatchState,
        ending: Ending,
        inbox: Inbox,
        carry_out: Callable[[Decision], None],
        change: Callable[[Controlled], None],
    ) -> None:
        self._source = source
        self._dispatch = dispatch
        self._ending = ending
        self._inbox = inbox
        self._carry_out = carry_out
        self._change = change

    def execute(self, event: ControlRequested) -> None:
        """Execute a command; one that cannot be carried out is logged, and changes nothing."""
        try:
            self._ACTIONS[event.command](self, event)
        except ConfigurationError as error:  # an operator's mistake must not end the search
            logger.error("the command %r was refused: %s", str(event.command), error)

    def _stop(self, event: ControlRequested) -> None:
        ending, arguments = self._ending, event.arguments
        ending.shut_down_workers = arguments.get("shut_down_workers", ending.shut_down_workers)
        drain = event.command is Command.DRAIN
        why = RunEnded(EndReason.STOPPED, arguments.get("reason", ""))
        ending.close(why, self._inbox.now(), drain=drain)
        if drain:
            self._carry_out(self._dispatch.recall(everything=True))

    def _limit_time(self, event: ControlRequested) -> None:
        self._ending.limit_time(self._inbox.now() + event.arguments["seconds"])

    def _shut_down_workers(self, event: ControlRequested) -> None:
        reason, worker_id = event.arguments.get("reason", ""), event.arguments.get("worker")
        decision = self._dispatch.shut_down_workers(drain=True, reason=reason, worker_id=worker_id)
        self._carry_out(decision)

    def _cancel(self, event: ControlRequested) -> None:
        reason = event.arguments.get("reason") or "cancelled by command"
        job_ids = set(event.arguments["jobs"])
        created = self._dispatch.jobs.keys() & job_ids
        for job_id in sorted(created):
            self._carry_out(self._dispatch.cancel(job_id, reason))
        self._source.withdraw(job_ids - created, reason, self._inbox.wall())

    def _retry(self, event: ControlRequested) -> None:
        jobs = self._source.retryable(event.arguments.get("jobs"))
        self._change(Controlled(Command.RETRY, {"jobs": jobs}))
        self._ending.reopen()

    def _extend(self, event: ControlRequested) -> None:
        self._change(Controlled(Command.EXTEND, event.arguments))
        self._ending.reopen()

    def _record(self, event: ControlRequested) -> None:
        self._change(Controlled(event.command, event.arguments))

    _ACTIONS: ClassVar[dict[Command, Callable[[Any, ControlRequested], None]]] = {
        Command.STOP: _stop,
        Command.DRAIN: _stop,
        Command.PAUSE: _record,
        Command.RESUME: _record,
        Command.RETRY: _retry,
        Command.EXTEND: _extend,
        Command.CANCEL: _cancel,
        Command.SHUT_DOWN_WORKERS: _shut_down_workers,
        Command.TIME_LIMIT: _limit_time,
        Command.ITERATION_KWARGS: _record,
    }
