"""Both ends of a connection begin TLS here, and say in words why they could not."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from hpdist.cluster.transport.tls import Tls
from hpdist.core.model.errors import AuthenticationError, TransportError

NEEDS_TLS = "it speaks TLS only, and this process has no certificate of the run"
"""Told to a peer that has the key and speaks plainly."""

COPY = (
    "copy the directory tls of the run directory to this machine, and name it: "
    "--tls-dir or HPDIST_TLS_DIR=<the copy>"
)

_FIRST_BYTE = b"\x16"  # of a TLS handshake; what Pyro sends begins with a P

# In TLS 1.3 a client is done before the server has looked at its certificate. It waits for this,
# says nothing to a server that does not want it, and learns why.
_WELCOME = b"\x06"


def encrypt_peer(conn: Any, tls: Tls, within_s: float) -> None:
    """Begin TLS on a connection that was accepted; in the connection's own thread.

    A peer that speaks plainly is left as he is: he is told so if he has the key.

    Raises
    ------
    OSError
        If he has no certificate of the run, or says nothing in time.
    """
    until = time.monotonic() + within_s
    conn.sock.settimeout(within_s)
    if conn.sock.recv(1, socket.MSG_PEEK) != _FIRST_BYTE:
        return
    # Put in place before the handshake, so that whoever closes the server finds it.
    conn.sock = tls.server.wrap_socket(conn.sock, server_side=True, do_handshake_on_connect=False)
    conn.sock.settimeout(max(until - time.monotonic(), 0.001))
    conn.sock.do_handshake()
    conn.sock.sendall(_WELCOME)


def is_encrypted(sock: socket.socket) -> bool:
    """Whether nobody else can read what goes through it."""
    return isinstance(sock, ssl.SSLSocket)


def encrypt(
    sock: socket.socket, tls: Tls, who: str, address: str, timeout_s: float
) -> ssl.SSLSocket:
    """Begin TLS as a client; returns what replaces ``sock``, which is closed if that fails.

    Raises
    ------
    AuthenticationError
        If the server has no certificate of the run, or does not speak TLS.
    TransportError
        If it does not answer.
    """
    try:
        sock.settimeout(timeout_s)
        sock = secured = tls.client.wrap_socket(sock, do_handshake_on_connect=False)
        secured.do_handshake()
        if secured.recv(1) != _WELCOME:
            raise ConnectionError("it ended during the TLS handshake")
        return secured
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _refusal(error, tls, who, address, timeout_s) from None
        raise


def turned_away(words: str, who: str, address: str) -> TransportError:
    """Return what to say when a server, which has the key, answered a greeting with a refusal."""
    what = f"{who} at {address} turned this process away"
    if words == NEEDS_TLS:
        return AuthenticationError(what, cause=words, do=COPY)
    return TransportError(what, cause=words)


def _refusal(error: OSError, tls: Tls, who: str, address: str, timeout_s: float) -> TransportError:
    """Return what to say of ``error``, which ended a handshake."""
    there, reason = f"{who} at {address}", str(getattr(error, "reason", None))
    if isinstance(error, TimeoutError):
        return TransportError(
            f"no answer from {there} within {timeout_s:g} s",
            cause="it hangs, was stopped, or the network is cut",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unauthenticated(error, tls, there)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return AuthenticationError(
            f"{there} does not accept the certificate of this process",
            cause=f"it is another run's, or not valid by the clock there ({reason})",
            do=COPY,
        )
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return TransportError(f"{there} closed the connection", cause=str(error))
    return AuthenticationError(
        f"{there} does not speak TLS as this process does ({reason})",
        cause=f"it was started without the certificates in {tls.directory}, or is something else",
        do="start it again with them: in its run directory as tls, or named by HPDIST_TLS_DIR",
    )


def _unauthenticated(
    error: ssl.SSLCertVerificationError, tls: Tls, there: str
) -> AuthenticationError:
    if (old := tls.out_of_date()) is not None:  # all have the same
        return AuthenticationError(old.what, cause=old.cause, do=old.do)
    return AuthenticationError(
        f"{there} has no certificate of the authority in {tls.directory}",
        cause="it belongs to another run, or the certificates were made anew "
        f"({error.verify_message})",
        do=COPY,
    )
