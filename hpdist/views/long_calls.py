"""Calls that are too long for one message, and values that are: as several tasks of one engine."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from hpdist.core.model.errors import ConfigurationError, HpdistError
from hpdist.core.model.values import Failure, FailureKind
from hpdist.views.engine import IN_PIECES, Call
from hpdist.views.pickled import pack
from hpdist.views.pieces import LONGEST_CALL, cut
from hpdist.views.task import Task
from hpdist.views.values import read_value

#: Of one value: some 60 GB.
MOST_PIECES = 100_000


def in_pieces(task: Task) -> list[Task]:
    """Return the tasks that are to run for ``task``, it the last of them.

    Raises
    ------
    ConfigurationError
        If its call is too long, and it is not known which engine will run it.
    """
    length = sum(map(len, task.call))
    if length <= LONGEST_CALL:
        return [task]
    if not task.static or task.targets is None:
        raise ConfigurationError(
            f"a call of {length:,} characters is too long for a load-balanced view",
            cause=f"at most {LONGEST_CALL:,} go in one message",
            do='put what is large on the engines first, rc[:]["data"] = data, and name it in calls',
        )
    token, pieces = uuid.uuid4().hex, cut(json.dumps(task.call))
    calls: list[Call] = [((token, number, piece), {}) for number, piece in enumerate(pieces)]
    task.call = (IN_PIECES, token, "")
    return [*_tasks(task.targets, "keep", calls), task]


def fetch_tasks(task: Task, told: dict[str, Any], on_whole: Callable[[Any], None]) -> list[Task]:
    """Return the tasks that fetch the values of ``task``, which its engine holds.

    Parameters
    ----------
    on_whole
        Called with what would have been told, had it been shorter; or with a failure.
    """
    token, count = told["held"], told.get("pieces")
    if task.engine is None or not isinstance(count, int) or not 0 < count <= MOST_PIECES:
        on_whole(_unreadable(f"it is held in {count!r} pieces"))
        return []
    pieces = _Pieces(count, told, on_whole)
    calls: list[Call] = [((token, number), {}) for number in range(count)]
    tasks = _tasks(frozenset([task.engine]), "fetch", calls)
    for each in tasks:
        each.on_end = pieces.came
    return tasks


class _Pieces:
    """Puts a value together; its pieces come in order, since one engine has them all."""

    def __init__(self, count: int, told: dict[str, Any], on_whole: Callable[[Any], None]) -> None:
        self._missing, self._told, self._on_whole = count, told, on_whole
        self._pieces: list[str] = []

    def came(self, task: Task, told: Any) -> None:
        """Take the next one in; the first failure is that of the whole."""
        if not self._missing:
            return
        try:
            whole = told if isinstance(told, Failure) else self._taken(told)
        except (HpdistError, LookupError, TypeError, ValueError) as error:
            whole = _unreadable(str(error))
        if whole is not None:
            self._missing = 0
            self._on_whole(whole)

    def _taken(self, told: Any) -> dict[str, Any] | None:
        """Take a piece in; returns the whole with the last."""
        self._pieces.append(read_value(told["values"][0], unpickle=False))
        if len(self._pieces) < self._missing:
            return None
        values = json.loads(base64.b64decode("".join(self._pieces)))
        return {**self._told, "values": list(map(str, values))}


def _unreadable(why: str) -> Failure:
    return Failure(FailureKind.INVALID, f"what the engine holds cannot be read: {why}")


def _tasks(targets: frozenset[int], kind: str, calls: Sequence[Call]) -> list[Task]:
    return [Task((kind, pack(None), pack([call])), targets=targets, static=True) for call in calls]
