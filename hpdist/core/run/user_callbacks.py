"""Calls of users' functions: a failing one is logged and does not stop the search."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from hpdist.core.model.events import AttemptEnded, Record
from hpdist.core.results.evaluation_result import EvaluationResult
from hpdist.core.results.run_state import RunState

logger = logging.getLogger(__name__)

Callback = Callable[[EvaluationResult], object]
"""Called with each evaluation that is settled."""


def safe_call(callback: Callable[[Any], object], value: Any) -> None:
    """Call a user's function; a failing callback stops neither the search nor the next callback."""
    try:
        callback(value)
    except Exception:  # the user's code
        logger.exception("the callback %r failed; the search goes on", callback)


class ResultCallbacks:
    """An observer of the loop that calls callbacks with the result of each settled evaluation.

    Parameters
    ----------
    state
        Updated with the same records before this observer is called.
    """

    def __init__(self, callbacks: Sequence[Callback], state: RunState) -> None:
        self._callbacks = tuple(callbacks)
        self._state = state

    def __call__(self, fresh: Sequence[tuple[float, Record]]) -> None:
        for _, record in fresh:
            if isinstance(record, AttemptEnded) and record.final:
                result = self._state.evaluation(record.job_id, record.output)
                for callback in self._callbacks:
                    safe_call(callback, result)
