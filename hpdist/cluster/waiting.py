"""Waiting for the nameserver or master of a run: its parts may start in any order."""

from __future__ import annotations

import logging
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.transport.address import is_loopback, join_address
from hpdist.core.journal.connection_file import read_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    HpdistError,
    MasterNotFound,
    NameServerNotFound,
    ProtocolMismatch,
    TransportError,
)

logger = logging.getLogger(__name__)

#: Seconds between two reminders, and between two tries.
REMIND_S = 60.0
RETRY_S = 1.0

T = TypeVar("T")


def wait_for(
    run_address: RunAddress,
    find: Callable[[], T],
    *,
    timeout_s: float = math.inf,
    give_up: Callable[[], bool] = lambda: False,
) -> T | None:
    """Call ``find`` until it succeeds.

    Parameters
    ----------
    timeout_s
        Seconds after which a known address that does not answer is given up. A nameserver or
        master that was not started yet is waited for without limit, unless this is 0.
    give_up
        Called before each further try; if it returns True, None is returned.

    Raises
    ------
    TransportError
        If waiting cannot help: another key, an unknown host, an address that only its own
        machine can reach; or after ``timeout_s``.
    """
    until, remind = time.monotonic() + timeout_s, -math.inf
    while True:
        try:
            return find()
        except (AuthenticationError, ProtocolMismatch):
            raise
        except TransportError as error:
            if give_up():
                return None
            _check_reachable(run_address, error)
            now = time.monotonic()
            unlimited = isinstance(error, MasterNotFound) or not _address_known(run_address)
            if timeout_s <= 0 or (now > until and not unlimited):
                raise
            if unlimited:
                until = now + timeout_s
            if now >= remind:
                remind = now + REMIND_S
                logger.warning("waiting: %s", error)
        time.sleep(RETRY_S)


def find_nameserver(run_address: RunAddress) -> str:
    """Return the address of the nameserver if it answers and has the same key.

    Raises
    ------
    TransportError
        As `RunAddress.dispatcher` does.
    """
    host, port = run_address.nameserver()
    run_address.key()
    with suppress(MasterNotFound):
        run_address.dispatcher()
    return join_address(host, port)


def _address_known(run_address: RunAddress) -> bool:
    try:
        run_address.nameserver()
    except NameServerNotFound:
        return False
    return True


def _check_reachable(run_address: RunAddress, error: HpdistError) -> None:
    try:
        host, _ = run_address.nameserver()
    except NameServerNotFound:
        return
    try:
        loopback = is_loopback(host)
    except ConfigurationError:
        raise error from None
    note = (
        read_connection(RunDirectory(run_address.directory).connection)
        if run_address.directory
        else None
    )
    if note is None or run_address.port is not None or not loopback:
        return
    here = socket.gethostname()
    if note["host"] != here:
        raise NameServerNotFound(
            f"the nameserver of run {run_address.run_id!r} cannot be reached from {here}",
            cause=f"it is on {note['host']} and listens on loopback ({note['address']}), which "
            "only that machine can reach",
            do=f"on {note['host']}: hpdist nameserver --run {run_address.directory} --nic NAME "
            "(or --host ADDRESS)",
        ) from error
