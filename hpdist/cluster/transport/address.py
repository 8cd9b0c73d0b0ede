"""Hosts and ports: which address to listen at, and how addresses are written."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_name, check_whole, maybe, short_repr

LOOPBACK = "127.0.0.1"

_ADDRESS = re.compile(
    r"(?:PYRO:[\w.]+@|hpdist://)?(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/@\[\]]+))"
    r":(?P<port>\d{1,5})/?"
)


def check_port(name: str, value: object) -> int:
    """Return ``value`` as a port to listen at; 0 stands for any."""
    return check_whole(name, value, minimum=0, maximum=65535, accepted="a port from 0 to 65535")


def check_listening(host: object, nic_name: object, port: object) -> tuple[Any, Any, int]:
    """Return host, interface and port, each of the right type; their existence is not checked."""
    if host and nic_name:
        raise ConfigurationError(
            f"host={short_repr(host)} and nic_name={short_repr(nic_name)} both given: choose one"
        )
    return (
        maybe(check_name, "host", host),
        maybe(check_name, "nic_name", nic_name),
        check_port("port", port),
    )


def nic_name_to_host(nic_name: str) -> str:
    """Return the address of a network interface, IPv4 where it has one.

    Raises
    ------
    ConfigurationError
        If there is no such interface, or it has no address; the message lists the interfaces.
    """
    import psutil

    found = {}
    for name, addresses in psutil.net_if_addrs().items():
        for family in (socket.AF_INET, socket.AF_INET6):
            hosts = [a.address for a in addresses if a.family == family]
            if hosts:
                found[name] = hosts[0]
                break
    if nic_name not in found:
        interfaces = ", ".join(f"{name} ({host})" for name, host in found.items())
        raise ConfigurationError(
            f"there is no network interface {nic_name!r} with an address",
            tried=f"this machine has {interfaces}",
        )
    return str(found[nic_name])


def resolve(host: str) -> str:
    """Return the numeric address of ``host``, IPv4 where it has one.

    Raises
    ------
    ConfigurationError
        If the name is not known.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as error:
        raise ConfigurationError(
            f"unknown host {host!r}", cause=str(error), do="give an address such as 10.1.2.3"
        ) from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def route_to(host: str, port: int = 9) -> str:
    """Return the source address of packets from this machine to ``host``.

    No packet is sent.

    Raises
    ------
    ConfigurationError
        If the name is not known, or there is no route to it.
    """
    target = resolve(host)
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, port))
        except OSError as error:
            raise ConfigurationError(
                f"there is no route from this machine to {host}", cause=str(error)
            ) from None
        return str(probe.getsockname()[0])


def is_loopback(host: str) -> bool:
    """Whether ``host`` can be reached from this machine only."""
    return ipaddress.ip_address(resolve(host).partition("%")[0]).is_loopback


def bind_host(host: str | None = None, nic_name: str | None = None, peer: str | None = None) -> str:
    """Choose the address to listen at.

    Parameters
    ----------
    host, nic_name
        Given by the user; at most one of them.
    peer
        Without them, the address that routes to this host; without a peer, loopback.

    Raises
    ------
    ConfigurationError
        If the address cannot be found, or stands for several, such as 0.0.0.0.
    """
    check_listening(host, nic_name, 0)
    if nic_name:
        return nic_name_to_host(nic_name)
    if not host:
        return route_to(peer) if peer else LOOPBACK
    numeric = resolve(host)
    if ipaddress.ip_address(numeric.partition("%")[0]).is_unspecified:
        raise ConfigurationError(
            f"{host} stands for every interface, and no other machine can connect to it",
            do="name the interface that the workers reach: nic_name='eth0' or --nic eth0",
        )
    _check_here(host, numeric)
    return numeric


def _check_here(host: str, numeric: str) -> None:
    """Require an address of this machine."""
    family, kind, _, _, address = socket.getaddrinfo(numeric, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        try:
            probe.bind(address)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at {host}: it is no address of this machine",
                cause=str(error.strerror),
                do="name one of its interfaces: nic_name='eth0' or --nic eth0",
            ) from None


def split_address(text: str) -> tuple[str, int]:
    """Parse ``host:port``, ``[::1]:port``, ``hpdist://host:port`` or ``PYRO:name@host:port``.

    Raises
    ------
    ConfigurationError
        If the text has none of these forms.
    """
    match = _ADDRESS.fullmatch(text.strip()) if isinstance(text, str) else None
    port = int(match["port"]) if match else 0
    if match is None or not 0 < port < 65536:
        raise ConfigurationError(
            f"{short_repr(text)} is no address", do="write host:port, or [host]:port for IPv6"
        )
    return match["v6"] or match["host"], port


def join_address(host: str, port: int) -> str:
    """Write ``host:port``, as `split_address` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
