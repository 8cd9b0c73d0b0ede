"""Functions that run in a forked child, where they can do no harm."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_FORK = multiprocessing.get_context("fork")


class ChildError(Exception):
    """The function raised an error, ended its process, or took too long; says which."""


def in_child(function: Callable[[], Any], within_s: float) -> Any:
    """Call a function in a copy of this process and return its result.

    Raises
    ------
    ChildError
        If there is none.
    """
    here, there = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=_run, args=(function, there))
    child.start()
    there.close()
    try:
        if not here.poll(within_s):
            raise ChildError(f"nothing came of it within {within_s:g} s")
        error, result = here.recv()
    except EOFError:
        raise ChildError("its process died") from None
    finally:
        child.kill()
        child.join()
    if error:
        raise ChildError(error)
    return result


def _run(function: Callable[[], Any], there: Connection) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        there.send(("", function()))
    except BaseException:  # noqa: BLE001 - whatever it is, the parent reports it
        there.send((traceback.format_exc(), None))
