"""Hosts and ports."""

from __future__ import annotations

import socket

import pytest

from hpdist.cluster.transport.address import (
    bind_host,
    is_loopback,
    join_address,
    nic_name_to_host,
    resolve,
    route_to,
    split_address,
)
from hpdist.core.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node7:9090", ("node7", 9090)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]:80", ("::1", 80)),
        ("hpdist://node7:9090", ("node7", 9090)),
        ("hpdist://[fe80::1%eth0]:9090/", ("fe80::1%eth0", 9090)),
        ("PYRO:hpdist@node7:9090", ("node7", 9090)),
        (" node7:65535 ", ("node7", 65535)),
    ],
)
def test_addresses_are_read_in_all_their_forms(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "node7", "node7:", ":80", "node7:0", "node7:65536", "a b:80", "::1:80", "x@y:80"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        split_address(text)


@pytest.mark.parametrize("address", [("node7", 80), ("::1", 80)])
def test_what_is_joined_is_split_again(address: tuple[str, int]) -> None:
    assert split_address(join_address(*address)) == address


def test_the_loopback_interface_is_found_by_name() -> None:
    assert nic_name_to_host("lo") == "127.0.0.1"


def test_an_unknown_interface_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)'nope'.*lo \(127\.0\.0\.1\)"):
        nic_name_to_host("nope")


def test_the_route_to_this_machine_starts_here() -> None:
    assert route_to("127.0.0.1") == "127.0.0.1"


def test_an_unknown_host_is_named() -> None:
    for function in (resolve, route_to, is_loopback):
        with pytest.raises(ConfigurationError, match=r"no-such-host\.invalid"):
            function("no-such-host.invalid")


def test_no_route_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(ConfigurationError, match=r"(?s)no route.*unreachable"):
        route_to("192.0.2.1")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("192.0.2.1", False)],
)
def test_loopback_is_told_apart(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_address_to_listen_at_is_the_one_said_the_one_facing_the_peer_or_loopback() -> None:
    assert bind_host() == "127.0.0.1"
    assert bind_host("localhost") == "127.0.0.1"
    assert bind_host(nic_name="lo") == "127.0.0.1"
    assert bind_host(peer="127.0.0.1") == "127.0.0.1"


def test_host_and_interface_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="both given"):
        bind_host("127.0.0.1", "lo")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_interfaces_at_once_are_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="every interface"):
        bind_host(host)
