"""Start of TLS at both ends of a connection, and the errors that explain why it failed."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from hpdist.cluster.transport.tls import Tls
from hpdist.core.model.errors import AuthenticationError, TransportError

NEEDS_TLS = "it accepts TLS only, and this process has no certificate of the run"
"""Reason sent to a client that has the key and does not use TLS."""

COPY = (
    "copy the directory tls of the run directory to this machine, and name it: "
    "--tls-dir or HPDIST_TLS_DIR=<the copy>"
)

_FIRST_BYTE = b"\x16"  # of a TLS handshake; a message of Pyro starts with a P

# In TLS 1.3 a client completes the handshake before the server has checked its certificate. It
# waits for this byte, so that it sends nothing to a server that rejects it, and learns the reason.
_ACCEPTED = b"\x06"


def encrypt_peer(conn: Any, tls: Tls, within_s: float) -> None:
    """Start TLS on a connection that was accepted, in the connection's own thread.

    The connection of a client that does not use TLS is left as it is; the handshake of the daemon
    refuses it with `NEEDS_TLS` if it has the key.

    Raises
    ------
    OSError
        If the client has no certificate of the run, or sends nothing in time.
    """
    until = time.monotonic() + within_s
    conn.sock.settimeout(within_s)
    if conn.sock.recv(1, socket.MSG_PEEK) != _FIRST_BYTE:
        return
    # Assigned before the handshake, so that closing the server closes this socket too.
    conn.sock = tls.server.wrap_socket(conn.sock, server_side=True, do_handshake_on_connect=False)
    conn.sock.settimeout(max(until - time.monotonic(), 0.001))
    conn.sock.do_handshake()
    conn.sock.sendall(_ACCEPTED)


def is_encrypted(sock: socket.socket) -> bool:
    """Whether the socket uses TLS."""
    return isinstance(sock, ssl.SSLSocket)


def encrypt(
    sock: socket.socket, tls: Tls, who: str, address: str, timeout_s: float
) -> ssl.SSLSocket:
    """Start TLS as a client; return the socket that replaces ``sock``, which an error closes.

    Raises
    ------
    AuthenticationError
        If the server has no certificate of the run, or does not use TLS.
    TransportError
        If the server does not respond.
    """
    try:
        sock.settimeout(timeout_s)
        sock = secured = tls.client.wrap_socket(sock, do_handshake_on_connect=False)
        secured.do_handshake()
        if secured.recv(1) != _ACCEPTED:
            raise ConnectionError("the connection was closed during the TLS handshake")
        return secured
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _refusal(error, tls, who, address, timeout_s) from None
        raise


def refused_by_server(reason: str, who: str, address: str) -> TransportError:
    """Return the error for a handshake that a server with the right key refused."""
    what = f"{who} at {address} refused the connection of this process"
    if reason == NEEDS_TLS:
        return AuthenticationError(what, cause=reason, do=COPY)
    return TransportError(what, cause=reason)


def _refusal(error: OSError, tls: Tls, who: str, address: str, timeout_s: float) -> TransportError:
    """Return the error for a TLS handshake that failed with ``error``."""
    server = f"{who} at {address}"
    reason = str(getattr(error, "reason", None))
    if isinstance(error, TimeoutError):
        return TransportError(
            f"no reply from {server} within {timeout_s:g} s",
            cause="it hangs, was stopped, or the network is cut",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unauthenticated(error, tls, server)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return AuthenticationError(
            f"{server} does not accept the certificate of this process",
            cause=f"it belongs to another run, or is not valid by the server's clock ({reason})",
            do=COPY,
        )
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return TransportError(f"{server} closed the connection", cause=str(error))
    return AuthenticationError(
        f"{server} does not use TLS as this process does ({reason})",
        cause=f"it was started without the certificates in {tls.directory}, or is something else",
        do="start it again with them: in its run directory as tls, or named by HPDIST_TLS_DIR",
    )


def _unauthenticated(
    error: ssl.SSLCertVerificationError, tls: Tls, server: str
) -> AuthenticationError:
    if (old := tls.out_of_date()) is not None:  # all processes have the same certificate
        return AuthenticationError(old.what, cause=old.cause, do=old.do)
    return AuthenticationError(
        f"{server} has no certificate of the authority in {tls.directory}",
        cause="it belongs to another run, or the certificates were made anew "
        f"({error.verify_message})",
        do=COPY,
    )
