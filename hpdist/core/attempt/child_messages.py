"""Messages from a child to its worker, all checked: the objective could have written them."""

from __future__ import annotations

import json
import math

from hpdist.core.attempt.objective_call import MAX_TEXT
from hpdist.core.model.record_codec import outcome_from_json
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, JsonValue, Outcome
from hpdist.core.objective.context import MAX_STEP
from hpdist.core.objective.returned_value import normalise_result

_CONTENTS = {"report": 2, "done": 1}
_KINDS = (FailureKind.EXCEPTION, FailureKind.INVALID, FailureKind.MEMORY)


class MalformedMessageError(Exception):
    """The child's main module never sends such a message: the objective wrote to the pipe."""


def parse_message(body: bytes) -> tuple[str, int, list[JsonValue]]:
    """Return (kind, attempt number, content): a "report" [step, loss] or "done" [outcome].

    Raises
    ------
    MalformedMessageError
        If ``body`` is no such message.
    """
    try:
        ((kind, (number, *content)),) = json.loads(body).items()
        if len(content) == _CONTENTS[kind]:
            return kind, number, content
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        pass
    raise MalformedMessageError


def check_report(step: JsonValue, loss: JsonValue) -> tuple[int, float]:
    """Return a report's step and loss.

    Raises
    ------
    MalformedMessageError
        If ``step`` is no int from 0 to `MAX_STEP`, or ``loss`` no finite float.
    """
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        raise MalformedMessageError
    if type(loss) is not float or not math.isfinite(loss):
        raise MalformedMessageError
    return step, loss


def check_outcome(data: JsonValue, name: str) -> Outcome:
    """Return the outcome that a child reported for objective ``name``.

    Raises
    ------
    MalformedMessageError
        If ``data`` is no outcome, or one that only the worker can find.
    """
    try:
        outcome = outcome_from_json(data)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedMessageError from None
    if outcome is None:
        raise MalformedMessageError
    if not isinstance(outcome, Failure):
        return normalise_result(vars(outcome), name)
    if outcome.kind not in _KINDS:
        raise MalformedMessageError
    return Failure(outcome.kind, outcome.message[:MAX_TEXT], outcome.traceback[-MAX_TEXT:])


def malformed_message(name: str) -> Failure:
    """Return the failure of objective ``name`` when its process sent a `MalformedMessageError`."""
    return Failure(FailureKind.INVALID, f"{name} wrote to the pipe that only hpdist may use")
