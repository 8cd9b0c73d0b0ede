"""The connections of a daemon: not authenticated for a moment, then authenticated by the key."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable

from Pyro4 import errors

MAX_UNAUTHENTICATED = 256
"""Connections at a time whose client has not shown yet that it has the key."""


class ConnectionTable:
    """Counts connections, and chooses which of them is closed when there are too many.

    A new connection is always accepted. Where `MAX_UNAUTHENTICATED` are reached, one that is not
    authenticated is closed for it: of the address that has most of them, the oldest. A client that
    has the key shows it within milliseconds, so it is hardly ever hit by this.

    Parameters
    ----------
    max_peers
        How many may be authenticated at a time.
    """

    def __init__(self, max_peers: int) -> None:
        self.max_peers = max_peers
        self._lock = threading.Lock()
        self._unauthenticated: dict[Hashable, str] = {}  #: addresses, by connection, oldest first
        self._authenticated: set[Hashable] = set()

    @property
    def full(self) -> bool:
        """Whether no further connection may be authenticated."""
        return len(self._authenticated) >= self.max_peers

    def is_authenticated(self, connection: Hashable) -> bool:
        """Whether the client of this connection has shown the key."""
        return connection in self._authenticated

    def add(self, connection: Hashable, address: str) -> Hashable | None:
        """Add a new connection; returns the one to be closed for it, if any."""
        with self._lock:
            closed = self._oldest() if len(self._unauthenticated) >= MAX_UNAUTHENTICATED else None
            self._unauthenticated.pop(closed, None)
            self._unauthenticated[connection] = address
            return closed

    def authenticate(self, connection: Hashable) -> None:
        """Note that the client of this connection has shown the key.

        Raises
        ------
        PyroError
            If too many are authenticated, or the connection was closed for another meanwhile.
        """
        with self._lock:
            if connection in self._authenticated:
                return
            if connection not in self._unauthenticated:
                raise errors.ConnectionClosedError("it was closed for a newer connection")
            if self.full:
                raise self.too_many()
            del self._unauthenticated[connection]
            self._authenticated.add(connection)

    def remove(self, connection: Hashable) -> None:
        """Remove a connection that has ended."""
        with self._lock:
            self._unauthenticated.pop(connection, None)
            self._authenticated.discard(connection)

    def too_many(self) -> errors.PyroError:
        """Return the error for a client when too many are authenticated."""
        return errors.DaemonError(f"all {self.max_peers} connections are in use")

    def _oldest(self) -> Hashable:
        counts = Counter(self._unauthenticated.values())
        most = max(counts.values())
        return next(
            each for each, address in self._unauthenticated.items() if counts[address] == most
        )
