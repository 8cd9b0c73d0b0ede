"""Who is connected to a daemon: strangers for a moment, and peers, who have shown the key."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable

from Pyro4 import errors

MAX_STRANGERS = 256
"""Connections at a time whose peer has not shown yet that it has the key."""


class Guests:
    """Keeps count of connections, and says who has to go when there are too many.

    A newcomer always gets in. Where all places for strangers are taken, one of those who have not
    shown a key makes room for him: of the address that takes most places, the one who has been
    here longest. Whoever has the key shows it within milliseconds, so it is hardly ever his turn.

    Parameters
    ----------
    max_peers
        How many may have shown the key at a time.
    """

    def __init__(self, max_peers: int) -> None:
        self.max_peers = max_peers
        self._lock = threading.Lock()
        self._strangers: dict[Hashable, str] = {}  #: addresses, by connection, oldest first
        self._peers: set[Hashable] = set()

    @property
    def full(self) -> bool:
        """Whether there is no place for another peer."""
        return len(self._peers) >= self.max_peers

    def knows(self, connection: Hashable) -> bool:
        """Whether it is that of a peer."""
        return connection in self._peers

    def arrive(self, connection: Hashable, address: str) -> Hashable | None:
        """Take in a stranger; returns the connection to be cut for it, if any."""
        with self._lock:
            going = self._longest() if len(self._strangers) >= MAX_STRANGERS else None
            self._strangers.pop(going, None)
            self._strangers[connection] = address
            return going

    def trust(self, connection: Hashable) -> None:
        """Note that this one has shown the key.

        Raises
        ------
        PyroError
            If there is no place for another peer, or it had to make room meanwhile.
        """
        with self._lock:
            if connection in self._peers:
                return
            if connection not in self._strangers:
                raise errors.ConnectionClosedError("it had to make room for others")
            if self.full:
                raise self.no_place()
            del self._strangers[connection]
            self._peers.add(connection)

    def leave(self, connection: Hashable) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._strangers.pop(connection, None)
            self._peers.discard(connection)

    def no_place(self) -> errors.PyroError:
        """Return what a peer is told for whom there is no place."""
        return errors.DaemonError(f"all {self.max_peers} connections are in use")

    def _longest(self) -> Hashable:
        places = Counter(self._strangers.values())
        most = max(places.values())
        return next(each for each, address in self._strangers.items() if places[address] == most)
