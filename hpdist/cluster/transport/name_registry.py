"""The names of a nameserver: Pyro4's own name server without the calls that are unsafe."""

from __future__ import annotations

from typing import Any

from Pyro4 import core, errors, message, naming

from hpdist.cluster.transport.pyro import MAX_SHORT_BYTES, NAMESERVER_ID
from hpdist.cluster.transport.server import GuardedDaemon, check_session
from hpdist.cluster.transport.tls import Tls

_MAX_CONNECTIONS = 1024


class NameRegistry(naming.NameServer):  # type: ignore[misc]
    """Pyro4's nameserver without the calls that are unsafe.

    Any client with the key may read. Pyro4's own client may only read, since its calls could be
    recorded and replayed. Regular expressions are refused, since some take for ever to match, and
    names are removed one at a time.
    """

    def ping(self) -> None:
        check_session(strictly=False)

    def count(self) -> int:
        check_session(strictly=False)
        return int(super().count())

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        check_session(strictly=False)
        return super().lookup(name, return_metadata)

    def list(
        self,
        prefix: str | None = None,
        regex: str | None = None,
        metadata_all: Any = None,
        metadata_any: Any = None,
        return_metadata: bool = False,
    ) -> Any:
        check_session(strictly=False)
        if regex is not None:
            raise errors.NamingError("regular expressions are not allowed here: use a prefix")
        return super().list(prefix, None, metadata_all, metadata_any, return_metadata)

    def register(self, name: str, uri: str, safe: bool = False, metadata: Any = None) -> None:
        check_session()
        super().register(name, uri, safe, metadata)

    def set_metadata(self, name: str, metadata: Any) -> None:
        check_session()
        super().set_metadata(name, metadata)

    def remove(
        self, name: str | None = None, prefix: str | None = None, regex: str | None = None
    ) -> Any:
        check_session()
        if prefix is not None or regex is not None:
            raise errors.NamingError("names are removed one at a time, not by a pattern")
        return super().remove(name)


core.expose(NameRegistry)


def make_daemon(host: str, port: int, key: bytes, tls: Tls | None) -> GuardedDaemon:
    """Return a daemon with a name registry, listening at ``host`` and ``port``.

    Raises
    ------
    TransportError
        If it cannot listen there.
    """
    daemon = GuardedDaemon(
        host,
        port,
        key,
        _MAX_CONNECTIONS,
        serializers=("serpent",),
        flags=message.FLAGS_META_ON_CONNECT,
        tls=tls,
        max_bytes=MAX_SHORT_BYTES,
    )
    daemon.register(NameRegistry(), NAMESERVER_ID)
    return daemon
