"""The nameserver: gives workers the address of the dispatcher that serves a run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import time
from pathlib import Path
from types import TracebackType

from hpdist.cluster.directory import Names
from hpdist.cluster.transport.address import bind_host, check_listening, join_address, split_address
from hpdist.cluster.transport.name_registry import make_daemon
from hpdist.cluster.transport.pyro import PYRO_VERSION
from hpdist.cluster.transport.server import GuardedDaemon
from hpdist.cluster.transport.tls import Tls, find_tls
from hpdist.core.journal.connection_file import (
    CONNECTION_FORMAT,
    read_connection,
    remove_connection,
    write_connection,
)
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key
from hpdist.core.journal.run_names import check_run_id
from hpdist.core.model.errors import ConfigurationError, TransportError
from hpdist.core.model.validation import check_path, maybe


class NameServer:
    """A nameserver in a thread of this process, for clients that have the key of the run.

    A client of Pyro4 (``Pyro4.locateNS(host, port, broadcast=False, hmac_key=key)``) can read it,
    unless the run has certificates: then it speaks TLS only.

    Parameters
    ----------
    run_id
        The run whose key it uses.
    working_directory
        If given, ``<working_directory>/<run_id>/connection.json`` holds its address while it
        runs.
    host, nic_name
        Where to listen: an address of this machine, or a network interface. Default: loopback,
        which no other machine can reach.
    port
        0 for any free port; the former one, if this run had a nameserver that was killed.
    """

    def __init__(
        self,
        run_id: str,
        working_directory: str | Path | None = None,
        host: str | None = None,
        port: int = 0,
        nic_name: str | None = None,
    ) -> None:
        self.run_id = check_run_id(run_id)
        parent = maybe(check_path, "working_directory", working_directory)
        self._run = None if parent is None else RunDirectory(parent / self.run_id)
        self._host, self._nic_name, self._port = check_listening(host, nic_name, port)
        self._tls: Tls | None = None
        self._daemon: GuardedDaemon | None = None

    def start(self) -> tuple[str, int]:
        """Serve from now on; returns host and port.

        Raises
        ------
        TransportError
            If the port is taken or the address is not one of this machine.
        ConfigurationError
            If the run has a nameserver already, or the key is too short for the network.
        """
        if self._daemon is not None:
            return self._daemon.address
        host = bind_host(self._host, self._nic_name)
        path = None if self._run is None else self._run.path
        self._tls = find_tls(
            self.run_id, path
        )  # unreadable certificates are reported before a key is made
        if self._run is not None:
            self._run.create()
        key = find_key(self.run_id, path)
        self._daemon = self._listen(host, key)
        self._daemon.serve("hpdist-nameserver")
        self._announce(self._daemon.address)
        return self._daemon.address

    def shutdown(self) -> None:
        """Stop serving, and remove the connection file; may be called again."""
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        daemon.stop()
        if self._run is not None:
            remove_connection(self._run.connection, os.getpid())

    def __enter__(self) -> NameServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def _listen(self, host: str, key: bytes) -> GuardedDaemon:
        former = self._former_port(key)
        if self._port or not former:
            return make_daemon(host, self._port, key, self._tls)
        try:
            return make_daemon(host, former, key, self._tls)
        except TransportError:
            return make_daemon(host, 0, key, self._tls)  # another process has taken the former port

    def _former_port(self, key: bytes) -> int:
        """Return the port of the nameserver that this run had before, 0 if it had none."""
        note = read_connection(self._run.connection) if self._run is not None else None
        if note is None or note["run_id"] != self.run_id:
            return 0
        host, port = split_address(note["address"])
        try:
            with Names(host, port, key, timeout_s=1.0, tls=self._tls) as names:
                names.entries("hpdist.")
        except TransportError:
            return port
        raise ConfigurationError(
            f"run {self.run_id!r} has a nameserver at {note['address']} already",
            cause=f"process {note['pid']} on {note['host']} serves it",
            do="use that one, or stop it first",
        )

    def _announce(self, address: tuple[str, int]) -> None:
        if self._run is None:
            return
        note = {
            "format": CONNECTION_FORMAT,
            "address": join_address(*address),
            "run_id": self.run_id,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": time.time(),
            "versions": {
                "hpdist": importlib.metadata.version("hpdist"),
                "Pyro4": PYRO_VERSION,
                "python": platform.python_version(),
            },
        }
        write_connection(self._run.connection, note)
