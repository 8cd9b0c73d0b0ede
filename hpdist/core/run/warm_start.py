"""Observations of one space for a search of another, overlapping one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_choice, short_repr
from hpdist.core.model.values import JsonValue
from hpdist.core.run.definition import gather_warm_start
from hpdist.core.space.space import Space
from hpdist.core.study.study import DIRECTIONS


def transfer(
    sources: Any,
    space: Any,
    *,
    defaults: Mapping[str, JsonValue] | None = None,
    direction: str | None = None,
) -> list[dict[str, Any]]:
    """Return observations of earlier runs as observations of ``space``, for ``warm_start``.

    Parameters that ``space`` does not have are left out, so several observations may become one
    configuration; additional parameters get their default, which should be the value in effect in
    the earlier runs. Observations that still do not fit ``space`` (a value out of range, a
    category that is gone, a forbidden combination) are left out.

    Parameters
    ----------
    sources
        As for ``warm_start``: run directories, `Results` or DataFrames, or a list of these.
    space
        The space of the new search.
    defaults
        Values of parameters that the earlier runs did not have; otherwise the default of each.
    direction
        "minimize" or "maximize", if it is to be compared with that of the earlier runs.

    Returns
    -------
    observations
        Dicts with ``config``, ``budget`` and ``loss``.

    Raises
    ------
    ConfigurationError, JournalError
        If a source cannot be read, or had another direction; if nothing of them fits.

    Examples
    --------
    ``minimize(f, wider, warm_start=transfer("runs/mnist", wider))``
    """
    space = Space.of(space)
    known = gather_warm_start(sources, direction)
    given = {name: parameter.default for name, parameter in space.parameters.items()}
    given |= _checked(defaults, space)
    if direction is not None:
        check_choice("direction", direction, DIRECTIONS)
    fitted = [each for one in known if (each := _fitted(one, space, given)) is not None]
    if known and not fitted:
        raise ConfigurationError(
            f"none of the {len(known)} observations fits the space",
            cause=_why(known, space, given),
            do="give defaults={...} for new parameters, or leave the warm start out",
        )
    return fitted


def _checked(defaults: object, space: Space) -> dict[str, JsonValue]:
    names = space.names
    if defaults is None:
        return {}
    if isinstance(defaults, Mapping) and set(defaults) <= set(names):
        return dict(defaults)
    raise ConfigurationError(
        f"defaults={short_repr(defaults)} are no values of parameters",
        do=f"defaults={{...}} with names among {', '.join(names)}",
    )


def _fitted(
    one: Mapping[str, Any], space: Space, given: Mapping[str, JsonValue]
) -> dict[str, Any] | None:
    try:
        return {**one, "config": space.check(_completed(one["config"], space, given))}
    except ConfigurationError:
        return None


def _completed(
    config: Mapping[str, JsonValue], space: Space, given: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Leave out parameters that the space does not have, and add missing ones."""
    whole = {name: config.get(name, given[name]) for name in space.names}
    return {name: whole[name] for name in space.active(whole)}


def _why(known: Sequence[Mapping[str, Any]], space: Space, given: Mapping[str, JsonValue]) -> str:
    try:
        space.check(_completed(known[0]["config"], space, given))
    except ConfigurationError as error:
        return f"of the first: {error.what}"
    return ""
