"""Mutual TLS for a run, besides its key, where there are certificates of the run.

A run has a certification authority of its own, which issued one certificate; all processes of the
run show it to each other. To be trusted is to have it: host names are not looked at, since
masters and workers move. Nothing but the standard library is needed here; the files are made by
``hpdist keys tls``.
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
    """What a process needs to speak TLS within its run.

    Attributes
    ----------
    directory
        Where the files are.
    server, client
        Contexts for either end; both ask for a certificate of the run.
    dates
        Of each certificate, by the name of its file: since and until when it is valid.
    fingerprint
        Of the run's authority, as ``openssl x509 -noout -fingerprint -sha256`` shows it.
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
        """Return what to say if a certificate is not valid now, by this machine's clock."""
        now = time.time()
        for name, (begins, ends) in self.dates.items():
            if begins <= now <= ends:
                continue
            what = f"expired on {_date(ends)}" if now > ends else f"begins on {_date(begins)} only"
            return ConfigurationError(
                f"the certificate {self.directory / name} {what}",
                cause=f"by the clock of this machine it is {_date(now)}",
                do=_again(self.directory),
            )
        return None


def find_tls(run_id: str, directory: str | Path | None = None) -> Tls | None:
    """Find the certificates of a run; None if it has none, and does without TLS.

    Looked at, in this order: the directory named by ``HPDIST_TLS_DIR``; ``<directory>/tls``;
    ``~/.hpdist/<run_id>/tls``.

    Raises
    ------
    ConfigurationError
        If they are incomplete, not valid now, do not fit together, or another user could read or
        change them. Nothing falls back to doing without TLS.
    """
    place = find_tls_directory(run_id, directory)
    if place is None:
        return None
    tls = read_tls(place)
    if (error := tls.out_of_date()) is not None:
        raise error
    return tls


def find_tls_directory(run_id: str, directory: str | Path | None = None) -> Path | None:
    """Return where `find_tls` takes certificates from; None if there are none."""
    check_run_id(run_id)
    if named := os.environ.get("HPDIST_TLS_DIR"):
        return Path(named).expanduser().resolve()
    places = [RunDirectory(Path.home() / ".hpdist" / run_id).tls]
    if directory is not None:
        places.insert(0, RunDirectory(directory).tls)
    return next((place for place in places if os.path.lexists(place)), None)


def read_tls(directory: Path) -> Tls:
    """Read certificates, whether they are valid now or not; raises as `find_tls` does."""
    texts = [read_private(directory / name) for name in (AUTHORITY, CERTIFICATE, PRIVATE_KEY)]
    if None in texts:
        missing = (AUTHORITY, CERTIFICATE, PRIVATE_KEY)[texts.index(None)]
        raise ConfigurationError(
            f"there is no {directory / missing}",
            cause=f"{directory} is to hold {AUTHORITY}, {CERTIFICATE} and {PRIVATE_KEY} of a run",
            do=f"copy all of them from the run directory, or make them anew:\n{_again(directory)}",
        )
    try:
        return _load(directory, *map(str, texts))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"the certificates in {directory} cannot be used together",
            cause=str(error),
            do=_again(directory),
        ) from None


# The texts are compared, so that new files are taken notice of.
@lru_cache(maxsize=4)
def _load(directory: Path, authority: str, certificate: str, private_key: str) -> Tls:
    server = _context(ssl.PROTOCOL_TLS_SERVER, directory, authority)
    client = _context(ssl.PROTOCOL_TLS_CLIENT, directory, authority)
    server.num_tickets = 0  # connections are long; none is taken up again
    own = _greet(server, client)
    authorities = client.get_ca_certs()
    if len(authorities) != 1:
        raise ValueError(f"{AUTHORITY} is to hold one authority, not {len(authorities)}")
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


def _greet(server: ssl.SSLContext, client: ssl.SSLContext) -> Mapping[str, object]:
    """Connect the two in memory, whatever the date, and return the certificate that was shown.

    So it is known early that the files fit together and are good for both ends.
    """
    for context in (server, client):
        context.verify_flags |= _NO_CHECK_TIME
    upstream, downstream = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(downstream, upstream)
    there = server.wrap_bio(upstream, downstream, server_side=True)
    for side in (here, there, here, there):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    for context in (server, client):
        context.verify_flags &= ~_NO_CHECK_TIME
    return here.getpeercert() or {}


def _validity(certificate: Mapping[str, object]) -> tuple[float, float]:
    begins, ends = (str(certificate[name]) for name in ("notBefore", "notAfter"))
    return ssl.cert_time_to_seconds(begins), ssl.cert_time_to_seconds(ends)


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _again(directory: Path) -> str:
    run = directory.parent if directory.name == "tls" else "RUN"
    return (
        f"hpdist keys tls {run} --force\n"
        "then start the run's processes again, those of other machines with a copy of the "
        "directory tls"
    )
