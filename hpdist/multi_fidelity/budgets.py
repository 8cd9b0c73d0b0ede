"""Budgets of a ladder of rungs, and the checks shared by all iteration generators."""

from __future__ import annotations

import math
from fractions import Fraction

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_whole, maybe, short_repr, to_real
from hpdist.multi_fidelity.base import IterGenerator

TOLERANCE = 1e-9
"""Relative tolerance by which rounding may put the lowest budget below ``min_budget``."""

# Beyond these limits, which no search reaches, an argument is taken to be a mistake.
MAX_ETA = 10**6
MAX_CONFIGS = 10**12
MAX_RUNGS = 40


def budget_ladder(min_budget: float, max_budget: float, eta: float = 3) -> tuple[float, ...]:
    """Return the budgets ``max_budget / eta**k`` that are at least ``min_budget``, ascending.

    Their number is found by multiplying and comparing, because a quotient of logarithms may be
    one rung short where the ratio is an exact power of ``eta``.

    Raises
    ------
    ConfigurationError
        If not 0 < ``min_budget`` <= ``max_budget`` < inf, or if ``eta`` < 2.

    Examples
    --------
    >>> budget_ladder(1, 9)
    (1.0, 3.0, 9.0)
    """
    lowest = check_budget("min_budget", min_budget)
    highest = check_budget("max_budget", max_budget)
    eta = check_eta(eta)
    if lowest > highest:
        raise ConfigurationError(
            f"min_budget={lowest:g} is larger than max_budget={highest:g}",
            do="swap the two, or leave both out to use a single budget",
        )
    if not math.isfinite(highest / lowest):
        raise ConfigurationError(
            f"min_budget={lowest:g} and max_budget={highest:g} are too far apart",
            cause="their ratio is beyond the range of floating point",
            do="choose a larger min_budget",
        )
    _check_rungs(lowest, highest, eta)
    num_rungs, reached = 1, lowest * eta
    while reached <= highest * (1 + TOLERANCE):
        num_rungs, reached = num_rungs + 1, reached * eta
    return tuple(highest / eta**k for k in reversed(range(num_rungs)))


def _check_rungs(lowest: float, highest: float, eta: float) -> None:
    if lowest * float(eta) ** MAX_RUNGS > highest:
        return
    raise ConfigurationError(
        f"from min_budget={lowest:g} to max_budget={highest:g} there are more than {MAX_RUNGS} "
        f"rungs with eta={eta:g}",
        cause=f"the lowest rung would need more than {float(eta) ** (MAX_RUNGS - 1):.0e} "
        "configurations",
        do="choose a larger min_budget or eta",
    )


def check_budget(name: str, value: object) -> float:
    """Return ``value`` as a budget, or raise `ConfigurationError` naming it ``name``."""
    number = to_real(value)
    if number is not None and 0 < number < math.inf:
        return number
    raise ConfigurationError(
        f"{name} must be a finite number > 0, got {short_repr(value)}",
        cause="a budget says how much an evaluation may use: epochs, samples, seconds",
        do=f"choose {name} in the unit that the objective reads, for instance {name}=1",
    )


def check_eta(value: object) -> int | float:
    """Return ``value`` as a reduction factor, as an int if it is whole."""
    eta = to_real(value)
    if eta is not None and 2 <= eta <= MAX_ETA:
        return int(eta) if eta.is_integer() else eta
    raise ConfigurationError(
        f"eta must be a finite number >= 2 (and <= {MAX_ETA:g}), got {short_repr(value)}",
        cause="one in eta configurations is promoted to a budget that is eta times larger",
        do="choose eta=3, or eta=2 to halve",
    )


def check_count(name: str, value: object) -> int:
    """Return ``value`` as a number of configurations."""
    return check_whole(
        name,
        value,
        minimum=1,
        maximum=MAX_CONFIGS,
        do=f"choose how many configurations to try, for instance {name}=9",
    )


def check_generator(value: object) -> IterGenerator:
    """Return ``value`` if it is an iteration generator; a class or a name is none."""
    if not isinstance(value, IterGenerator) or isinstance(value, type):
        raise ConfigurationError(
            f"{short_repr(value)} is no iteration generator",
            do="give an object such as hpdist.multi_fidelity.Hyperband(1, 81)",
        )
    name = type(value).__name__
    budgets = [check_budget(f"{name}.budgets", budget) for budget in value.budgets]
    if not budgets or sorted(set(budgets)) != budgets:
        raise ConfigurationError(f"{name}.budgets must rise, got {short_repr(value.budgets)}")
    maybe(check_whole, f"{name}.default_iterations", value.default_iterations, minimum=1)
    return value


def exact(eta: float) -> Fraction:
    """Return ``eta`` as the decimal fraction that was written: 2.2 is 11/5."""
    return Fraction(str(eta))
