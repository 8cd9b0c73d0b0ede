"""Call the objective on a payload, and turn its value or exception into an outcome."""

from __future__ import annotations

import os
import threading
import traceback
from pathlib import Path
from types import TracebackType

from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Outcome
from hpdist.core.objective.context import Context
from hpdist.core.objective.multi_objective import require
from hpdist.core.objective.objective import Call
from hpdist.core.objective.returned_value import InvalidResult, normalise_result

MAX_TEXT = 64 * 1024
"""How many characters of a failure's message, and of its traceback, are kept."""

_PACKAGE = os.path.join(Path(__file__).parents[2], "")


def call_objective(call: Call, name: str, payload: Payload, context: Context) -> Outcome:
    """Call the objective; its value or exception becomes an outcome.

    Only KeyboardInterrupt gets through in the main thread, where it is meant for the program as a
    whole; in others the objective has raised it itself.
    """
    try:
        value = call(payload, context)
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread():
            raise
        return failure_of(FailureKind.EXCEPTION, error)
    except MemoryError as error:
        return failure_of(FailureKind.MEMORY, error)
    except BaseException as error:  # noqa: BLE001 - the boundary around the user's objective
        return failure_of(FailureKind.EXCEPTION, error)
    return require(normalise_result(value, name), payload.objectives, name)


def failure_of(kind: FailureKind, error: BaseException) -> Failure:
    """Describe an exception of the user's code; its traceback starts there."""
    if isinstance(error, InvalidResult):
        return Failure(FailureKind.INVALID, f"the result is invalid: {error}")
    described = traceback.TracebackException(type(error), error, _users_frames(error))
    message = "".join(described.format_exception_only()).strip()
    return Failure(kind, message[:MAX_TEXT], "".join(described.format())[-MAX_TEXT:])


def timed_out(seconds: float) -> Failure:
    """Return the failure of an attempt that was allowed ``seconds`` and took longer."""
    return Failure(FailureKind.TIMEOUT, f"not done after {seconds:g} s, the time allowed")


def _users_frames(error: BaseException) -> TracebackType | None:
    """Leave out our own frames, which called the user's code; if all are ours, this call's only."""
    frames = raised = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        frames = frames.tb_next
    return frames or (raised and raised.tb_next) or raised
