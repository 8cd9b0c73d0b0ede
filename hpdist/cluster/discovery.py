"""The address of a run: its nameserver, its key and its dispatcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpdist.cluster.directory import Names, find_dispatcher
from hpdist.cluster.transport.address import is_loopback, join_address, split_address
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.tls import Tls, find_tls
from hpdist.core.journal.connection_file import connection_is_stale, read_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import (
    ConfigurationError,
    MasterNotFound,
    NameServerNotFound,
    TransportError,
)
from hpdist.core.model.validation import check_name, check_whole, maybe

#: The port that Pyro4 gives a nameserver when none is named.
DEFAULT_PORT = 9090


@dataclass(frozen=True)
class RunAddress:
    """How to find a run: by the address of its nameserver, or by its directory.

    With a directory the address is looked up again each time, since a nameserver that was
    restarted may have another; an address with a port goes first.
    """

    run_id: str
    host: str | None = None
    port: int | None = None
    directory: Path | None = None

    def __post_init__(self) -> None:
        maybe(check_name, "nameserver", self.host)
        maybe(check_whole, "nameserver_port", self.port, minimum=1, maximum=65535)

    def nameserver(self) -> tuple[str, int]:
        """Return the nameserver's host and port.

        Raises
        ------
        NameServerNotFound
            If only the directory is known, and there is no connection file in it.
        """
        if self.port is not None:
            return self.host or "localhost", self.port
        if self.directory is None:
            return self.host or "localhost", DEFAULT_PORT
        run = RunDirectory(self.directory)
        note = read_connection(run.connection)
        if note is not None:
            return split_address(note["address"])
        raise NameServerNotFound(
            f"run {self.run_id!r} has no nameserver: there is no {run.connection}",
            do=f"hpdist nameserver --run {run.path}",
        )

    def nameserver_host(self) -> str | None:
        """Return the nameserver's host; None if it is not known."""
        try:
            return self.nameserver()[0]
        except NameServerNotFound:
            return self.host

    def key(self) -> bytes:
        """Return the key of the run; it is made if there is none, but not for a remote nameserver.

        Raises
        ------
        ConfigurationError
            If there is no key for a nameserver on another machine.
        """
        host = self.nameserver_host()
        return find_key(self.run_id, self.directory, create=host is None or _is_here(host))

    def tls(self) -> Tls | None:
        """Return the certificates of the run, None if it has none."""
        return find_tls(self.run_id, self.directory)

    def names(self, timeout_s: float = 5.0) -> Names:
        """Return a client of the nameserver; raises as `nameserver` does."""
        return Names(*self.nameserver(), self.key(), timeout_s, self.tls())

    def channel(
        self, address: str | Callable[[], str], timeout_s: float = 10.0
    ) -> DispatcherChannel:
        """Return a channel to the dispatcher; it reads the key when it connects."""
        return DispatcherChannel(self.key, address, self.run_id, timeout_s, self.tls())

    def dispatcher(self) -> str:
        """Ask the nameserver for the dispatcher's URI.

        Raises
        ------
        TransportError
            If nameserver or dispatcher is missing; it names which, and the source of the address.
        """
        host, port = self.nameserver()
        try:
            return find_dispatcher(host, port, self.run_id, self.key(), tls=self.tls())
        except MasterNotFound:
            raise
        except NameServerNotFound as error:
            raise self._explained(error, host, port) from None

    def _explained(self, error: TransportError, host: str, port: int) -> TransportError:
        if self.directory is None or self.port is not None:
            return error
        run = RunDirectory(self.directory)
        note = read_connection(run.connection)
        if note is None:
            return error
        alive = "which no longer runs" if connection_is_stale(note) else "which may still run"
        return NameServerNotFound(
            f"no nameserver answers at {join_address(host, port)}",
            cause=f"{error.cause}\nthe address is from {run.connection}, written by process "
            f"{note['pid']} on {note['host']}, {alive}",
            tried=error.tried,
            do=f"hpdist status {run.path}          # is the run over?\n"
            f"hpdist nameserver --run {run.path}   # start it again; all others reconnect",
        )


def _is_here(host: str) -> bool:
    try:
        return is_loopback(host)
    except ConfigurationError:
        return True  # an unknown host: reported when it is connected to
