"""A function on its way to engines."""

from __future__ import annotations

from hpdist.executors.shipping import carried
from hpdist.views.engine import pack


def pack_function(function: object) -> str:
    """Return a function as text, with the code of its module where that is the user's own.

    Raises
    ------
    TypeError
        If it cannot be pickled.
    """
    with carried(function):
        return pack(function)
