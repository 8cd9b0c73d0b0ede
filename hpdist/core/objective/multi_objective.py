"""The objectives of a search by name: "loss", and what else an objective returns. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.states import FailureKind
from hpdist.core.model.validation import check_list, short_repr, to_real
from hpdist.core.model.values import Failure, Outcome, Success

ONE = ("loss",)
"""The objectives of a search with one."""


def check_objectives(names: object) -> tuple[str, ...]:
    """Return the names, "loss" first.

    Raises
    ------
    ConfigurationError
        If they are not distinct names of which the first is "loss".
    """
    listed = tuple(check_list("objectives", names, of="names"))
    names_only = [name for name in listed if isinstance(name, str) and name]
    distinct = len({*names_only, "cost", "info"}) == len(listed) + 2
    if distinct and names_only[:1] == ["loss"]:
        return listed
    raise ConfigurationError(
        f"objectives={short_repr(names)} are not the objectives of a search",
        do='objectives=["loss", "latency"]: "loss" first, then other keys of the dict that the '
        "objective returns",
    )


def losses_of(
    outcome: Outcome | None, names: Sequence[str], sign: float = 1.0
) -> tuple[float, ...] | None:
    """Return ``sign`` times the values of all objectives; None if one is missing."""
    if not isinstance(outcome, Success):
        return None
    info = outcome.info if isinstance(outcome.info, dict) else {}
    losses = []
    for name in names:
        value = outcome.loss if name == "loss" else to_real(info.get(name))
        if value is None or not math.isfinite(value):
            return None
        losses.append(sign * value)
    return tuple(losses)


def require(outcome: Outcome, names: Sequence[str], function_name: str) -> Outcome:
    """Return the outcome; a failure instead if the value of an objective is missing in it."""
    if isinstance(outcome, Failure) or losses_of(outcome, names) is not None:
        return outcome
    info = outcome.info if isinstance(outcome.info, dict) else {}
    missing = [name for name in names[1:] if losses_of(outcome, ("loss", name)) is None]
    found = ", ".join(f"{name} is {short_repr(info[name])}" for name in missing if name in info)
    return Failure(
        FailureKind.INVALID,
        f"the result of {function_name} is invalid: it has no number for {', '.join(missing)}, "
        f"which the search minimizes{found and ': ' + found}",
    )
