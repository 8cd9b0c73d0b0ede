"""What a child may tell its worker. Nothing of it is trusted: the objective runs in there, too."""

from __future__ import annotations

import json
import math

from hpdist.core.model.record_codec import outcome_from_json
from hpdist.core.model.values import Failure, FailureKind, JsonValue, Outcome
from hpdist.core.objective.context import MAX_STEP
from hpdist.core.objective.returned_value import normalise_result

_CONTENTS = {"report": 2, "done": 1}
_KINDS = (FailureKind.EXCEPTION, FailureKind.INVALID, FailureKind.MEMORY)
_MAX_TEXT = 64 * 1024


class ForgedMessageError(Exception):
    """A message that the child's main module never sends: the objective wrote to the pipe."""


def parse_message(body: bytes) -> tuple[str, int, list[JsonValue]]:
    """Return (kind, attempt number, content): a "report" [step, loss] or "done" [outcome].

    Raises
    ------
    ForgedMessageError
        If it is no such message.
    """
    try:
        ((kind, (number, *content)),) = json.loads(body).items()
        if len(content) == _CONTENTS[kind]:
            return kind, number, content
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        pass
    raise ForgedMessageError


def check_report(step: JsonValue, loss: JsonValue) -> tuple[int, float]:
    """Return a report's step and loss.

    Raises
    ------
    ForgedMessageError
        If these are no int from 0 to `MAX_STEP` and finite float.
    """
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        raise ForgedMessageError
    if type(loss) is not float or not math.isfinite(loss):
        raise ForgedMessageError
    return step, loss


def check_outcome(data: JsonValue, name: str) -> Outcome:
    """Return the outcome that a child told of objective ``name``.

    Raises
    ------
    ForgedMessageError
        If it is none, or one that only the worker can find.
    """
    try:
        outcome = outcome_from_json(data)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ForgedMessageError from None
    if outcome is None:
        raise ForgedMessageError
    if not isinstance(outcome, Failure):
        return normalise_result(vars(outcome), name)
    if outcome.kind not in _KINDS:
        raise ForgedMessageError
    message, text = outcome.message[:_MAX_TEXT], outcome.traceback[-_MAX_TEXT:]
    return Failure(outcome.kind, message, text)


def forged(name: str) -> Failure:
    """Return the failure of objective ``name`` when its process sent a `ForgedMessageError`."""
    return Failure(FailureKind.INVALID, f"{name} wrote to the pipe that only hpdist may use")
