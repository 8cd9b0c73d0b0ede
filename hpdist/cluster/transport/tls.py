"""Mutual TLS for a run, in addition to its key, if the run has certificates.

A run has a certification authority of its own, which issued one certificate; all processes of the
run present it to each other. Every process that presents it is trusted: host names are not
checked, since masters and workers move. This module needs the standard library only; the files
are created by ``hpdist keys tls``.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hpdist.core.journal.private_files import read_private
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import check_run_id
from hpdist.core.model.errors import ConfigurationError

AUTHORITY, CERTIFICATE, PRIVATE_KEY = "ca.pem", "cert.pem", "key.pem"

_NO_CHECK_TIME = 0x200000  # of OpenSSL; the standard library has no name for it


@dataclass(frozen=True, eq=False)
class Tls:
    """The certificates and TLS contexts of a process.

    Attributes
    ----------
    directory
        The directory of the files.
    server, client
        TLS contexts for either end; both require a certificate of the run.
    dates
        Start and end of validity of each certificate, by the name of its file.
    fingerprint
        Of the run's authority, as ``openssl x509 -noout -fingerprint -sha256`` prints it.
    """

    directory: Path
    server: ssl.SSLContext = field(repr=False)
    client: ssl.SSLContext = field(repr=False)
    dates: Mapping[str, tuple[float, float]]
    fingerprint: str

    @property
    def ends(self) -> float:
        """When the first of the certificates expires."""
        return min(ends for _, ends in self.dates.values())

    def out_of_date(self) -> ConfigurationError | None:
        """Return the error if a certificate is not valid now by this machine's clock, else None."""
        now = time.time()
        for name, (starts, ends) in self.dates.items():
            if starts <= now <= ends:
                continue
            what = (
                f"expired on {_date(ends)}" if now > ends else f"is valid from {_date(starts)} only"
            )
            return ConfigurationError(
                f"the certificate {self.directory / name} {what}",
                cause=f"the clock of this machine shows {_date(now)}",
                do=_how_to_renew(self.directory),
            )
        return None


def find_tls(run_id: str, directory: str | Path | None = None) -> Tls | None:
    """Find the certificates of a run; None if the run does not use TLS.

    Directories in the order of search: the one named by ``HPDIST_TLS_DIR``; ``<directory>/tls``;
    ``~/.hpdist/<run_id>/tls``.

    Raises
    ------
    ConfigurationError
        If the files are incomplete, not valid now, do not fit together, or another user could read
        or change them. There is no fallback to plain connections.
    """
    found = find_tls_directory(run_id, directory)
    if found is None:
        return None
    tls = read_tls(found)
    if (error := tls.out_of_date()) is not None:
        raise error
    return tls


def find_tls_directory(run_id: str, directory: str | Path | None = None) -> Path | None:
    """Return the directory that `find_tls` reads certificates from; None if there is none."""
    check_run_id(run_id)
    if named := os.environ.get("HPDIST_TLS_DIR"):
        return Path(named).expanduser().resolve()
    candidates = [RunDirectory(Path.home() / ".hpdist" / run_id).tls]
    if directory is not None:
        candidates.insert(0, RunDirectory(directory).tls)
    return next((each for each in candidates if os.path.lexists(each)), None)


def read_tls(directory: Path) -> Tls:
    """Read certificates, whether or not they are valid now; raises as `find_tls` does."""
    texts = [read_private(directory / name) for name in (AUTHORITY, CERTIFICATE, PRIVATE_KEY)]
    if None in texts:
        missing = (AUTHORITY, CERTIFICATE, PRIVATE_KEY)[texts.index(None)]
        raise ConfigurationError(
            f"there is no {directory / missing}",
            cause=f"{directory} must contain {AUTHORITY}, {CERTIFICATE} and {PRIVATE_KEY} of a run",
            do="copy all of them from the run directory, or create new ones:\n"
            + _how_to_renew(directory),
        )
    try:
        return _load(directory, *map(str, texts))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"the certificates in {directory} cannot be used together",
            cause=str(error),
            do=_how_to_renew(directory),
        ) from None


# The cache compares the texts, so that new files are detected.
@lru_cache(maxsize=4)
def _load(directory: Path, authority: str, certificate: str, private_key: str) -> Tls:
    server = _context(ssl.PROTOCOL_TLS_SERVER, directory, authority)
    client = _context(ssl.PROTOCOL_TLS_CLIENT, directory, authority)
    server.num_tickets = 0  # connections are long; none is resumed
    own = _connect_in_memory(server, client)
    authorities = client.get_ca_certs()
    if len(authorities) != 1:
        raise ValueError(f"{AUTHORITY} must contain one authority, not {len(authorities)}")
    dates = {CERTIFICATE: _validity(own), AUTHORITY: _validity(authorities[0])}
    digest = hashlib.sha256(client.get_ca_certs(binary_form=True)[0]).hexdigest().upper()
    fingerprint = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
    return Tls(directory, server, client, dates, fingerprint)


def _context(protocol: int, directory: Path, authority: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority)
    # A key with a password would be asked for on the terminal.
    context.load_cert_chain(directory / CERTIFICATE, directory / PRIVATE_KEY, password=lambda: "")
    return context


def _connect_in_memory(server: ssl.SSLContext, client: ssl.SSLContext) -> Mapping[str, object]:
    """Connect the two in memory, ignoring dates, and return the certificate of the server.

    This proves early that the files fit together and are valid for both ends.
    """
    for context in (server, client):
        context.verify_flags |= _NO_CHECK_TIME
    upstream, downstream = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = client.wrap_bio(downstream, upstream)
    server_end = server.wrap_bio(upstream, downstream, server_side=True)
    for end in (client_end, server_end, client_end, server_end):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    for context in (server, client):
        context.verify_flags &= ~_NO_CHECK_TIME
    return client_end.getpeercert() or {}


def _validity(certificate: Mapping[str, object]) -> tuple[float, float]:
    starts, ends = (str(certificate[name]) for name in ("notBefore", "notAfter"))
    return ssl.cert_time_to_seconds(starts), ssl.cert_time_to_seconds(ends)


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _how_to_renew(directory: Path) -> str:
    run = directory.parent if directory.name == "tls" else "RUN"
    return (
        f"hpdist keys tls {run} --force\n"
        "then restart the run's processes, those of other machines with a copy of the directory tls"
    )
