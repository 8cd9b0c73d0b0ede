"""Calls by way of files: each has one writer, who replaces it as a whole.

A channel has two files, ``<worker>.<n>.ask`` and ``.answer``. Whoever holds the run answers; a
holder that dies leaves questions behind, which the next one finds, and answers again: a repeated
request gets the same reply, as everywhere.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpdist.core.model.errors import RunOver, TransportError
from hpdist.core.remote.messages import PROTOCOL
from hpdist.core.remote.replies import UNREGISTERED, check_reply
from hpdist.folder.election import FINISHED, write_whole

logger = logging.getLogger(__name__)

#: Seconds between two looks: at first, and at most.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.002, 0.05

#: Seconds after which a question that is not asked anew is thrown away.
FORGET_S = 600.0

#: The most that a file of this kind may hold.
MAX_BYTES = 64 * 2**20


class FolderChannel:
    """A worker's line to whoever holds the run; see `hpdist.core.remote.channel.Channel`."""

    def __init__(
        self,
        mail: Path,
        name: str,
        run_id: str,
        said: Callable[[], Any],
        look_s: float | None = None,
    ) -> None:
        self._look_s = LONGEST_LOOK_S if look_s is None else look_s
        self.timeout_s = 10.0
        self._ask, self._answer = mail / f"{name}.ask", mail / f"{name}.answer"
        self._run_id, self._said = run_id, said
        self._closed = threading.Event()

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        number = uuid.uuid4().hex
        text = {"v": PROTOCOL, "run": self._run_id, **message}
        self._closed.clear()
        write_whole(self._ask, json.dumps({"id": number, "message": text}).encode())
        reply = self._wait(number, self.timeout_s + float(message.get("wait", 0.0)))
        return check_reply(reply, int(message.get("epoch", 0)))

    def close(self) -> None:
        self._closed.set()
        for path in (self._ask, self._answer):
            with suppress(FileNotFoundError):
                path.unlink()

    def _wait(self, number: str, seconds: float) -> dict[str, Any]:
        until, pause = time.monotonic() + seconds, FIRST_LOOK_S
        while not self._closed.wait(pause):
            found = read_note(self._answer)
            if found.get("id") == number and isinstance(found.get("reply"), dict):
                reply: dict[str, Any] = found["reply"]
                return reply
            if time.monotonic() > until:
                self._give_up(seconds)
            pause = min(1.5 * pause, self._look_s)
        raise TransportError("the line was closed")

    def _give_up(self, seconds: float) -> None:
        term, said = self._said()
        if said.get("state") == FINISHED:
            over = RunOver(f"the search in {self._ask.parent.parent} has finished")
            over.ended_at = str(term)
            raise over
        raise TransportError(
            f"nobody who holds {self._ask.parent.parent} answered within {seconds:g} s",
            cause="its holder has died, and another one takes over; or no process is there",
        )


class MailRoom:
    """Answers the questions in a directory, for as long as this process holds the run."""

    def __init__(self, mail: Path, exchange: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._mail, self._exchange = mail, exchange
        self._seen: dict[str, tuple[object, float]] = {}
        self._closing = threading.Event()
        self._clerks = ThreadPoolExecutor(512, thread_name_prefix="hpdist-mail")
        self._thread = threading.Thread(target=self._look, name="hpdist-mail-room", daemon=True)

    def start(self) -> None:
        self._mail.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no new questions; those under way have to be brought to their end first."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._clerks.shutdown(wait=True)
        for answer in self._mail.glob("*.answer"):
            if not answer.with_suffix(".ask").exists():
                answer.unlink(missing_ok=True)  # whoever asked has left

    def _look(self) -> None:
        pause = FIRST_LOOK_S
        while not self._closing.wait(pause):
            pause = FIRST_LOOK_S if self._once() else min(1.2 * pause, LONGEST_LOOK_S / 3)

    def _once(self) -> bool:
        """Hand each new question to a clerk; whether there was any."""
        now, any_new = time.monotonic(), False
        with os.scandir(self._mail) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".ask")]
        for name in names:
            path = self._mail / name
            with suppress(FileNotFoundError):
                status = path.stat()
                state = (status.st_ino, status.st_mtime_ns)
                former, since = self._seen.get(name, (None, now))
                if state != former:
                    self._seen[name], any_new = (state, now), True
                    self._clerks.submit(self._serve, path)
                elif now - since > FORGET_S:
                    path.unlink()
                    path.with_suffix(".answer").unlink()
        for name in self._seen.keys() - set(names):
            del self._seen[name]
        return any_new

    def _serve(self, path: Path) -> None:
        try:
            asked = read_note(path)
            if isinstance(asked.get("message"), dict):
                reply = self._exchange(asked["message"])
                if not self._closing.is_set() or reply.get("kind") != UNREGISTERED:
                    note = {"id": asked.get("id"), "reply": reply}
                    write_whole(path.with_suffix(".answer"), json.dumps(note).encode())
        except Exception:  # the top of a thread; whoever asked will ask again
            logger.exception("the question in %s was not answered", path)


def read_note(path: Path) -> dict[str, Any]:
    """Return what a file of JSON holds; {} if there is none, or it is none."""
    try:
        with open(path, "rb") as file:
            note = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}
