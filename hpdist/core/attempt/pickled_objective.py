"""Objectives as bytes for another process of ours, pickled with cloudpickle."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.objective.objective import Objective


class ObjectiveNotSent(ConfigurationError):
    """The objective cannot be pickled; it can still be called in this process."""


@contextmanager
def by_value(name: str) -> Iterator[None]:
    """Pickle what a module defines by value: its name means nothing in another process.

    Thus functions of a script reach the child also from a process that multiprocessing started.
    """
    import cloudpickle

    module = sys.modules.get(name)
    if module is None:
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def pickled(objective: Objective) -> bytes:
    """Return ``objective`` as bytes for a process of our own, or raise `ObjectiveNotSent`."""
    import cloudpickle

    try:
        with by_value("__mp_main__"):
            written: bytes = cloudpickle.dumps(objective)
    except Exception as error:  # the methods of the user's own objects run in it
        raise ObjectiveNotSent(
            f"the objective {objective.name} cannot be sent to its process",
            cause=f"{type(error).__name__}: {error}",
            do="define it in a module, loading what it needs there, or use isolation='none'",
        ) from error
    return written
