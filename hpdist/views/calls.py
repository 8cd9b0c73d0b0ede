"""Packing of functions that are sent to engines."""

from __future__ import annotations

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr
from hpdist.executors.backends.packaging import own_module_by_value
from hpdist.views.pickled import pack


def pack_function(function: object) -> str:
    """Return a function as text, with the code of its module where that is the user's own.

    Raises
    ------
    ConfigurationError
        If it cannot be called.
    TypeError
        If it cannot be pickled.
    """
    if not callable(function):
        raise ConfigurationError(
            f"the function must be one, or a class, got {short_repr(function)}"
        )
    with own_module_by_value(function):
        return pack(function)
