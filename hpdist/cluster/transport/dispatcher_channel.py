"""The channel of a worker or an operator to the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpdist.cluster.transport.address import split_address
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.pyro import OBJECT_ID
from hpdist.cluster.transport.tls import Tls
from hpdist.core.model.json_codec import decode, encode
from hpdist.core.remote.messages import PROTOCOL
from hpdist.core.remote.replies import check_reply


class DispatcherChannel:
    """Calls the dispatcher; to be used by one thread.

    It connects at the first call and again after an error. No message is sent twice by itself: a
    caller that gets an error repeats the message, which is safe because of its request number.

    Parameters
    ----------
    key
        The key, or a function that finds it, called before each connection: a new key may be made
        while no dispatcher runs.
    address
        The dispatcher's address, in any form that `split_address` reads, or a function that finds
        it, called before each connection.
    timeout_s
        Limit for connecting, and for a reply beyond the waiting time of the message; may be changed
        between calls.
    tls
        The run's certificates, if it has any.
    """

    def __init__(
        self,
        key: bytes | Callable[[], bytes],
        address: str | Callable[[], str],
        run_id: str,
        timeout_s: float = 10.0,
        tls: Tls | None = None,
    ) -> None:
        self._key = key
        self._address = address
        self._run_id = run_id
        self.timeout_s = timeout_s
        self._tls = tls
        self._connection: Connection | None = None

    def call(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send the message of a worker and return the reply.

        Raises
        ------
        TransportError
            If no reply came; the message may have arrived nevertheless.
        AuthenticationError
            If the dispatcher has another key.
        ProtocolMismatch
            If the dispatcher rejected the message: another run, another version, a malformed field.
        """
        return self._call("exchange", message)

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command and return the reply; raises as `call` does."""
        return self._call("control", command)

    def close(self) -> None:
        """Close the connection, from any thread.

        A call in progress fails at once; a later call connects again.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _call(self, method: str, message: Mapping[str, Any]) -> dict[str, Any]:
        text = encode({"v": PROTOCOL, "run": self._run_id, **message})
        connection = self._connect()
        try:
            timeout_s = self.timeout_s + float(message.get("wait", 0.0))
            reply = decode(connection.invoke(method, (text,), timeout_s))
        except BaseException:
            self.close()
            raise
        return check_reply(reply, int(message.get("epoch", 0)))

    def _connect(self) -> Connection:
        if self._connection is None:
            address = self._address if isinstance(self._address, str) else self._address()
            host, port = split_address(address)
            key = self._key if isinstance(self._key, bytes) else self._key()
            self._connection = Connection(
                "the dispatcher", OBJECT_ID, host, port, key, self.timeout_s, self._tls
            )
        return self._connection

    def __repr__(self) -> str:
        where = self._address if isinstance(self._address, str) else "an address to be found"
        return f"<DispatcherChannel to run {self._run_id!r} at {where}>"
