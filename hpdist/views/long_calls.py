"""Calls and values that are too long for one message, as several tasks of one engine."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from hpdist.core.model.errors import ConfigurationError, HpdistError
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure
from hpdist.views.chunks import LONGEST_CALL, cut
from hpdist.views.engine import IN_CHUNKS, Call
from hpdist.views.pickled import pack
from hpdist.views.task import Task
from hpdist.views.values import read_value

#: Maximum number of chunks of one value: some 60 GB.
MAX_CHUNKS = 100_000


def in_chunks(task: Task) -> list[Task]:
    """Return the tasks that run ``task``: those that send its chunks, and itself.

    Raises
    ------
    ConfigurationError
        If its call is too long and the engine that will run it is not known.
    """
    length = sum(map(len, task.call))
    if length <= LONGEST_CALL:
        return [task]
    if not task.static or task.targets is None:
        raise ConfigurationError(
            f"a call of {length:,} characters is too long for a load-balanced view",
            cause=f"one message takes up to {LONGEST_CALL:,}",
            do='put what is large on the engines first, rc[:]["data"] = data, and name it in calls',
        )
    token, chunks = uuid.uuid4().hex, cut(json.dumps(task.call))
    calls: list[Call] = [((token, number, chunk), {}) for number, chunk in enumerate(chunks)]
    task.call = (IN_CHUNKS, token, "")
    return [*_tasks(task.targets, "keep", calls), task]


def fetch_tasks(
    task: Task, reply: dict[str, Any], on_complete: Callable[[Any], None]
) -> list[Task]:
    """Return the tasks that fetch the values of ``task``, which its engine keeps.

    Parameters
    ----------
    on_complete
        Called with the whole reply, or with a failure.
    """
    token, count = reply["token"], reply.get("chunks")
    if task.engine is None or not isinstance(count, int) or not 0 < count <= MAX_CHUNKS:
        on_complete(_unreadable(f"it has {count!r} chunks"))
        return []
    chunks = _Chunks(count, reply, on_complete)
    calls: list[Call] = [((token, number), {}) for number in range(count)]
    tasks = _tasks(frozenset([task.engine]), "fetch", calls)
    for each in tasks:
        each.on_end = chunks.add
    return tasks


class _Chunks:
    """Assembles a value; its chunks arrive in order, since one engine has all of them."""

    def __init__(
        self, count: int, reply: dict[str, Any], on_complete: Callable[[Any], None]
    ) -> None:
        self._missing = count
        self._reply = reply
        self._on_complete = on_complete
        self._chunks: list[str] = []

    def add(self, task: Task, reply: Any) -> None:
        """Add the next chunk; the first failure is that of the whole value."""
        if not self._missing:
            return
        try:
            whole = reply if isinstance(reply, Failure) else self._append(reply)
        except (HpdistError, LookupError, TypeError, ValueError) as error:
            whole = _unreadable(str(error))
        if whole is not None:
            self._missing = 0
            self._on_complete(whole)

    def _append(self, reply: Any) -> dict[str, Any] | None:
        """Append a chunk; return the whole reply after the last one."""
        self._chunks.append(read_value(reply["values"][0], unpickle=False))
        if len(self._chunks) < self._missing:
            return None
        values = json.loads(base64.b64decode("".join(self._chunks)))
        return {**self._reply, "values": list(map(str, values))}


def _unreadable(why: str) -> Failure:
    return Failure(FailureKind.INVALID, f"the value that the engine keeps cannot be read: {why}")


def _tasks(targets: frozenset[int], kind: str, calls: Sequence[Call]) -> list[Task]:
    return [Task((kind, pack(None), pack([call])), targets=targets, static=True) for call in calls]
