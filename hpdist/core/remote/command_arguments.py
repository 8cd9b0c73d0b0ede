"""Commands that an operator gives a running dispatcher."""

from __future__ import annotations

from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import Command
from hpdist.core.model.validation import short_repr

#: Commands that are taken from outside.
COMMANDS = (
    Command.STOP,
    Command.DRAIN,
    Command.PAUSE,
    Command.RESUME,
    Command.RETRY,
    Command.EXTEND,
    Command.CANCEL,
)


_ALLOWED: dict[str, dict[str, type | tuple[type, ...]]] = {
    Command.RETRY: {"jobs": list},
    Command.CANCEL: {"jobs": list, "reason": str},
    Command.EXTEND: {
        "n_iterations": int,
        "n_trials": int,
        "n_evaluations": int,
        "max_cost": (int, float),
        "target_loss": (int, float),
    },
    Command.STOP: {"reason": str},
    Command.DRAIN: {"reason": str},
}


def check_arguments(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a command may carry.

    Raises
    ------
    ConfigurationError
        Naming what it may not carry, or what is missing.
    """
    allowed = _ALLOWED.get(command, {})
    for name, value in arguments.items():
        number = name not in ("jobs", "reason") and isinstance(value, bool)
        if name not in allowed or number or not isinstance(value, allowed[name]):
            raise ConfigurationError(
                f"{command} does not take {name}={short_repr(value)}",
                do=f"it takes {', '.join(allowed) or 'nothing'}",
            )
    if command == Command.EXTEND:
        Limits(**arguments)
    jobs = arguments.get("jobs", [])
    if not all(type(job_id) is int and job_id >= 0 for job_id in jobs):
        raise ConfigurationError(f"{command} takes jobs by their numbers, got {short_repr(jobs)}")
    if command == Command.CANCEL and "jobs" not in arguments:
        raise ConfigurationError("cancel needs jobs=[...]")
    return dict(arguments)
