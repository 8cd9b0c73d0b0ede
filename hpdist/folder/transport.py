"""The file transport of the worker protocol: requests and responses in a shared directory.

Each file has one writer, which replaces its contents at once. A channel consists of two files,
``<worker>.<n>.request`` and ``.response``. The leader responds. When it dies the next leader finds
the requests and responds to them again: a repeated request gets the same response, as over the
network.
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
from hpdist.folder.election import FINISHED, replace_contents

logger = logging.getLogger(__name__)

#: The directory of requests and responses, within the directory of the search.
MESSAGES = "messages"

#: Seconds between two polls for a file: at first, and the maximum.
FIRST_POLL_S, MAX_POLL_S = 0.002, 0.05

#: Seconds after which a request that is not repeated is removed.
FORGET_S = 600.0

#: Maximum size of a request or response.
MAX_BYTES = 64 * 2**20


class FolderChannel:
    """The channel of a worker to the leader; see `hpdist.core.remote.channel.Channel`.

    ``leader`` returns the last term and the heartbeat of its leader, as `Election.read_heartbeat`.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        run_id: str,
        leader: Callable[[], tuple[int, dict[str, Any]]],
        max_poll_s: float | None = None,
    ) -> None:
        self._max_poll_s = MAX_POLL_S if max_poll_s is None else max_poll_s
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
        replace_contents(self._request, json.dumps({"id": number, "message": text}).encode())
        reply = self._wait(number, self.timeout_s + float(message.get("wait", 0.0)))
        return check_reply(reply, int(message.get("epoch", 0)))

    def close(self) -> None:
        self._closed.set()
        for path in (self._request, self._response):
            with suppress(FileNotFoundError):
                path.unlink()

    def _wait(self, number: str, seconds: float) -> dict[str, Any]:
        until, pause = time.monotonic() + seconds, FIRST_POLL_S
        while not self._closed.wait(pause):
            found = read_json(self._response)
            if found.get("id") == number and isinstance(found.get("reply"), dict):
                reply: dict[str, Any] = found["reply"]
                return reply
            if time.monotonic() > until:
                self._give_up(seconds)
            pause = min(1.5 * pause, self._max_poll_s)
        raise TransportError("the channel was closed")

    def _give_up(self, seconds: float) -> None:
        term, heartbeat = self._leader()
        if heartbeat.get("state") == FINISHED:
            over = RunOver(f"the search in {self._request.parent.parent} has finished")
            over.ended_at = str(term)
            raise over
        raise TransportError(
            f"no leader of {self._request.parent.parent} responded within {seconds:g} s",
            cause="the leader has died and another process takes over, or no process works on it",
        )


class FileServer:
    """Responds to the requests in a directory while this process is the leader."""

    def __init__(
        self, directory: Path, exchange: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._directory = directory
        self._exchange = exchange
        self._seen: dict[str, tuple[object, float]] = {}
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(512, thread_name_prefix="hpdist-response")
        self._thread = threading.Thread(
            target=self._serve_requests, name="hpdist-file-server", daemon=True
        )

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Stop accepting requests, and wait for those in progress."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(wait=True)
        for response in self._directory.glob("*.response"):
            if not response.with_suffix(".request").exists():
                response.unlink(missing_ok=True)  # the worker has left

    def _serve_requests(self) -> None:
        pause = FIRST_POLL_S
        while not self._closing.wait(pause):
            pause = FIRST_POLL_S if self._serve_new_requests() else min(1.2 * pause, MAX_POLL_S / 3)

    def _serve_new_requests(self) -> bool:
        """Pass each new request to a thread of the pool; return whether there was any."""
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
                    self._pool.submit(self._respond, path)
                elif now - since > FORGET_S:
                    path.unlink()
                    path.with_suffix(".response").unlink()
        for name in self._seen.keys() - set(names):
            del self._seen[name]
        return any_new

    def _respond(self, path: Path) -> None:
        try:
            request = read_json(path)
            if isinstance(request.get("message"), dict):
                reply = self._exchange(request["message"])
                if not self._closing.is_set() or reply.get("kind") != UNREGISTERED:
                    response = {"id": request.get("id"), "reply": reply}
                    replace_contents(path.with_suffix(".response"), json.dumps(response).encode())
        except Exception:  # the top of a thread; the worker repeats its request
            logger.exception("the request in %s got no response", path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; {} if there is no file, or no object in it."""
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
