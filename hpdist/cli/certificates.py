"""Makes the certificates with which the processes of a run speak TLS; needs cryptography."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hpdist.cluster.transport.tls import AUTHORITY, CERTIFICATE, PRIVATE_KEY
from hpdist.core.journal.durable_files import sync_directory, temporary_copy
from hpdist.core.model.errors import ConfigurationError

BACKDATED = datetime.timedelta(hours=1)
"""Clocks of a cluster differ: certificates are valid at once for clocks behind by less."""


def make_certificates(directory: Path, run_id: str, days: float, *, force: bool = False) -> None:
    """Make an authority for a run, and the only certificate that it will issue.

    The authority's private key is not kept, so no certificate can be made that outlives this
    one. Other processes get a copy of it.

    Parameters
    ----------
    force
        Replace existing certificates.

    Raises
    ------
    ConfigurationError
        If there are certificates already, or they cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=force)
        # After a crash in between the files do not fit together: reading them then raises, and
        # the run is never taken for one without certificates.
        for name, data in _issue(run_id, days).items():
            temporary_copy(directory / name, data).replace(directory / name)
        for changed in (directory, directory.parent):
            sync_directory(changed)
    except FileExistsError:
        raise ConfigurationError(
            f"run {run_id!r} has certificates: {directory} exists",
            cause="processes that have a copy of these cannot connect to new ones",
            do="to make new ones nevertheless, add --force",
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"certificates cannot be written to {directory}", cause=str(error.strerror)
        ) from error


def _issue(run_id: str, days: float) -> dict[str, bytes]:
    """Return the contents of the files by name."""
    authority_key, own_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _builder(run_id, "authority", "authority", authority_key, authority_key, days)
    authority = authority.add_extension(x509.BasicConstraints(True, path_length=0), critical=True)
    authority = authority.add_extension(_usage(key_cert_sign=True), critical=True)
    own = _builder(run_id, "process", "authority", own_key, authority_key, days)
    own = own.add_extension(x509.BasicConstraints(False, path_length=None), critical=True)
    own = own.add_extension(_usage(digital_signature=True), critical=True)
    # Every process may be server or client.
    ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    own = own.add_extension(x509.ExtendedKeyUsage(ends), critical=False)
    return {
        PRIVATE_KEY: own_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        **{
            name: certificate.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM)
            for name, certificate in ((CERTIFICATE, own), (AUTHORITY, authority))
        },
    }


def _builder(
    run_id: str,
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: float,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_name(run_id, subject))
        .issuer_name(_name(run_id, issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(identifier, critical=False)
        .add_extension(issued_by, critical=False)
    )


def _name(run_id: str, role: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, f"hpdist {role}"), (NameOID.COMMON_NAME, run_id))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])


def _usage(*, key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
