"""Pickled code for engines, as text; only code of an authenticated client is unpickled."""

from __future__ import annotations

import base64
import pickle
from typing import Any


def pack(value: Any) -> str:
    """Return ``value`` as text.

    Raises
    ------
    TypeError
        If it cannot be pickled.
    """
    import cloudpickle

    try:
        return base64.b64encode(cloudpickle.dumps(value)).decode()
    except Exception as error:  # the objects' own methods run in here
        raise TypeError(
            f"a {type(value).__name__} cannot be sent: {type(error).__name__}: {error}"
        ) from error


def unpack(text: str) -> Any:
    """Return the value that `pack` turned into ``text``."""
    return pickle.loads(base64.b64decode(text))
