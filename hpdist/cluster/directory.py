"""The entries of a nameserver: dispatchers by run, and workers.

All entries point at dispatchers. Workers are registered too, so that people and tools can list
them, but under the address of their dispatcher: nothing connects to a worker.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from hpdist.cluster.transport.address import join_address, split_address
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.pyro import NAMESERVER_ID
from hpdist.cluster.transport.tls import Tls
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    MasterNotFound,
    NameServerNotFound,
    ProtocolMismatch,
    RunOver,
    TransportError,
)
from hpdist.core.model.values import WorkerInfo
from hpdist.core.results.text_format import clean


@dataclass(frozen=True)
class Entry:
    """One name: the URI that it stands for, and its metadata."""

    uri: str
    metadata: Mapping[str, str]


class Names:
    """Client of a nameserver, for one thread and a few calls, used in a ``with`` block.

    Parameters
    ----------
    timeout_s
        Seconds after which a call to a nameserver that hangs fails.
    tls
        The run's certificates, if it has any.

    Raises
    ------
    NameServerNotFound
        By all methods, if no nameserver answers.
    AuthenticationError
        By all methods, if the nameserver has another key.
    """

    def __init__(
        self, host: str, port: int, key: bytes, timeout_s: float = 5.0, tls: Tls | None = None
    ) -> None:
        self.address = join_address(host, port)
        self._host, self._port, self._key, self._timeout_s = host, port, key, timeout_s
        self._tls = tls
        self._connection: Connection | None = None

    def __enter__(self) -> Names:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, from any thread; a later call connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def entries(self, prefix: str) -> dict[str, Entry]:
        """Return all entries whose name starts with ``prefix``."""
        found = self._call("list", prefix, None, None, None, True)
        try:
            return {_text(name): _entry(*noted) for name, noted in found.items()}
        except (AttributeError, TypeError):
            raise ProtocolMismatch(
                f"the nameserver at {self.address} did not answer with a list of names",
                do="install the same version of hpdist on both sides",
            ) from None

    def register(self, name: str, uri: str, metadata: Mapping[str, object]) -> None:
        """Register a name, replacing its former entry."""
        # Metadata of workers is not trusted: a terminal may obey control characters in it.
        notes = [clean(f"{k}={v}") for k, v in metadata.items()]
        self._call("register", name, uri, False, notes)

    def remove(self, name: str) -> None:
        """Remove a name; an unknown name is ignored."""
        self._call("remove", name)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            if self._connection is None:
                self._connection = Connection(
                    "the nameserver",
                    NAMESERVER_ID,
                    self._host,
                    self._port,
                    self._key,
                    self._timeout_s,
                    self._tls,
                )
            return self._connection.invoke(method, arguments, self._timeout_s)
        except (AuthenticationError, ProtocolMismatch):
            self.close()
            raise
        except TransportError as error:
            self.close()
            raise NameServerNotFound(
                error.what,
                cause=error.cause,
                tried=f"once, with a limit of {self._timeout_s:g} s",
                do="start one with: hpdist nameserver --run RUN\n"
                "or give the address of a running one: --nameserver HOST:PORT",
            ) from None


def find_dispatcher(
    host: str, port: int, run_id: str, key: bytes, timeout_s: float = 5.0, tls: Tls | None = None
) -> str:
    """Ask the nameserver for the URI of the dispatcher of a run.

    Raises
    ------
    NameServerNotFound
        If no nameserver answers.
    MasterNotFound
        If the nameserver knows no dispatcher of this run; the message names the runs it knows.
    RunOver
        If the run has finished.
    AuthenticationError
        If the nameserver has another key.
    """
    with Names(host, port, key, timeout_s, tls) as names:
        entry = registered_dispatcher(names, run_id)
        if entry is not None:
            return _checked(entry.uri, run_id)
        runs = list_runs(names)
        end = names.entries(_ended(run_id)).get(_ended(run_id))
    if end is not None:
        over = RunOver(f"run {run_id!r} has finished", do="hpdist resume RUN, to continue it")
        over.ended_at = end.metadata.get("at", "?")
        raise over
    raise MasterNotFound(
        f"the nameserver at {join_address(host, port)} knows no dispatcher of run {run_id!r}",
        cause="it serves " + (f"runs {', '.join(runs)}" if runs else "no run yet"),
        do="start the master of this run, or name another run",
    )


def _checked(uri: str, run_id: str) -> str:
    try:
        split_address(uri)
    except ConfigurationError as error:
        raise MasterNotFound(
            f"the nameserver has {uri!r:.200} for the dispatcher of run {run_id!r}",
            cause=error.what if len(uri) < 200 else "that is not an address",
            do="wait: a running master registers its address again every few seconds",
        ) from None
    return uri


def register_dispatcher(
    names: Names, run_id: str, uri: str, metadata: Mapping[str, object] | None = None
) -> None:
    """Register the dispatcher of a run; ``metadata`` may hold host, pid, epoch and so on."""
    notes = {"kind": "dispatcher", "run": run_id, **(metadata or {})}
    names.register(_dispatcher(run_id), uri, notes)
    names.remove(_ended(run_id))


def registered_dispatcher(names: Names, run_id: str) -> Entry | None:
    """Return the entry of the dispatcher of a run; None if there is none."""
    return names.entries(_dispatcher(run_id)).get(_dispatcher(run_id))


def register_end(names: Names, run_id: str, uri: str) -> None:
    """Register that a run has finished, for workers that look for it afterwards."""
    names.register(_ended(run_id), uri, {"kind": "ended", "run": run_id, "at": time.time()})


def register_worker(
    names: Names, run_id: str, info: WorkerInfo, uri: str, state: str = "idle"
) -> None:
    """Register a worker under the URI of its dispatcher, so that it can be listed."""
    notes = {
        "kind": "worker",
        "run": run_id,
        "host": info.host,
        "pid": info.pid,
        "state": state,
        "slots": info.slots,
        "device": info.device,
        **{name: str(value) for name, value in info.details.items()},
    }
    names.register(_worker(run_id, info.worker_id), uri, notes)


def list_workers(names: Names, run_id: str) -> dict[str, Entry]:
    """Return the entries of the workers of a run, by worker id."""
    prefix = _worker(run_id, "")
    return {
        name[len(prefix) :]: entry
        for name, entry in names.entries(prefix).items()
        if entry.metadata.get("kind") == "worker" and entry.metadata.get("run") == run_id
    }


def list_runs(names: Names) -> list[str]:
    """Return the runs that have a registered dispatcher."""
    return sorted(
        entry.metadata["run"]
        for entry in names.entries("hpdist.").values()
        if entry.metadata.get("kind") == "dispatcher" and "run" in entry.metadata
    )


def remove_worker(names: Names, run_id: str, worker_id: str) -> None:
    """Remove the entry of a worker that has left."""
    names.remove(_worker(run_id, worker_id))


def remove_run(names: Names, run_id: str, uri: str) -> None:
    """Remove a dispatcher and its workers, but not those of a successor at another URI."""
    for worker_id, entry in list_workers(names, run_id).items():
        if entry.uri == uri:
            remove_worker(names, run_id, worker_id)
    dispatcher = registered_dispatcher(names, run_id)
    if dispatcher is not None and dispatcher.uri == uri:
        names.remove(_dispatcher(run_id))


def _dispatcher(run_id: str) -> str:
    return f"hpdist.{run_id}.dispatcher"


def _ended(run_id: str) -> str:
    return f"hpdist.{run_id}.ended"


def _worker(run_id: str, worker_id: str) -> str:
    return f"hpdist.{run_id}.worker.{worker_id}"


def _entry(uri: object, metadata: list[object]) -> Entry:
    notes = (_text(note).partition("=") for note in metadata)
    return Entry(_text(uri), {name: value for name, _, value in notes})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not a string")
    return value
