"""The file transport of the worker protocol: requests and responses in a shared directory.

Each file has one writer, which replaces it as a whole. A channel has two, ``<worker>.<n>.request``
and ``.response``. The leader responds; one that dies leaves requests behind, which the next leader
finds and answers again: a repeated request gets the same response, as over the network.
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

Exchange = Callable[[dict[str, Any]], dict[str, Any]]
"""Answers a message; both are JSON objects."""

#: The directory of requests and responses, in that of the search.
MESSAGES = "messages"

#: Seconds between two looks for a file: at first, and at most.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.002, 0.05

#: Seconds after which a request that is not repeated is removed.
FORGET_S = 600.0

#: The most that a file of this kind may hold.
MAX_BYTES = 64 * 2**20


class FolderChannel:
    """The channel of a worker to the leader; see `hpdist.core.remote.channel.Channel`.

    ``leader`` returns the last term and the heartbeat of its leader, as `Election.look`.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        run_id: str,
        leader: Callable[[], tuple[int, dict[str, Any]]],
        look_s: float | None = None,
    ) -> None:
        self._look_s = LONGEST_LOOK_S if look_s is None else look_s
        self.timeout_s = 10.0
        self._request = directory / f"{name}.request"
        self._response = directory / f"{name}.response"
        self._run_id = run_id
        self._leader = leader
        self._closed = threading.Event()

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        number = uuid.uuid4().hex
        text = {"v": PROTOCOL, "run": self._run_id, **message}
        self._closed.clear()
        write_whole(self._request, json.dumps({"id": number, "message": text}).encode())
        reply = self._wait(number, self.timeout_s + float(message.get("wait", 0.0)))
        return check_reply(reply, int(message.get("epoch", 0)))

    def close(self) -> None:
        self._closed.set()
        for path in (self._request, self._response):
            with suppress(FileNotFoundError):
                path.unlink()

    def _wait(self, number: str, seconds: float) -> dict[str, Any]:
        until, pause = time.monotonic() + seconds, FIRST_LOOK_S
        while not self._closed.wait(pause):
            found = read_json(self._response)
            if found.get("id") == number and isinstance(found.get("reply"), dict):
                reply: dict[str, Any] = found["reply"]
                return reply
            if time.monotonic() > until:
                self._give_up(seconds)
            pause = min(1.5 * pause, self._look_s)
        raise TransportError("the channel was closed")

    def _give_up(self, seconds: float) -> None:
        term, heartbeat = self._leader()
        if heartbeat.get("state") == FINISHED:
            over = RunOver(f"the search in {self._request.parent.parent} has finished")
            over.ended_at = str(term)
            raise over
        raise TransportError(
            f"no leader of {self._request.parent.parent} responded within {seconds:g} s",
            cause="the leader has died, and another one takes over; or no process is there",
        )


class FileServer:
    """Answers the requests in a directory, for as long as this process is the leader."""

    def __init__(
        self, directory: Path, exchange: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._directory = directory
        self._exchange = exchange
        self._seen: dict[str, tuple[object, float]] = {}
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(512, thread_name_prefix="hpdist-response")
        self._thread = threading.Thread(target=self._look, name="hpdist-file-server", daemon=True)

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no new requests; those being answered are waited for."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(wait=True)
        for response in self._directory.glob("*.response"):
            if not response.with_suffix(".request").exists():
                response.unlink(missing_ok=True)  # the worker has left

    def _look(self) -> None:
        pause = FIRST_LOOK_S
        while not self._closing.wait(pause):
            pause = FIRST_LOOK_S if self._once() else min(1.2 * pause, LONGEST_LOOK_S / 3)

    def _once(self) -> bool:
        """Have each new request answered by a thread of the pool; whether there was any."""
        now, any_new = time.monotonic(), False
        with os.scandir(self._directory) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".request")]
        for name in names:
            path = self._directory / name
            with suppress(FileNotFoundError):
                status = path.stat()
                state = (status.st_ino, status.st_mtime_ns)
                former, since = self._seen.get(name, (None, now))
                if state != former:
                    self._seen[name], any_new = (state, now), True
                    self._pool.submit(self._serve, path)
                elif now - since > FORGET_S:
                    path.unlink()
                    path.with_suffix(".response").unlink()
        for name in self._seen.keys() - set(names):
            del self._seen[name]
        return any_new

    def _serve(self, path: Path) -> None:
        try:
            request = read_json(path)
            if isinstance(request.get("message"), dict):
                reply = self._exchange(request["message"])
                if not self._closing.is_set() or reply.get("kind") != UNREGISTERED:
                    note = {"id": request.get("id"), "reply": reply}
                    write_whole(path.with_suffix(".response"), json.dumps(note).encode())
        except Exception:  # the top of a thread; the worker will repeat it
            logger.exception("the request in %s was not answered", path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; {} if there is no file, or no object in it."""
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
