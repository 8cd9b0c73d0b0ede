"""What does TLS cost, beside the key that is always on?

    python -m benchmarks.tls [--calls 2000] [--connections 200] [--repeats 5]

A server and a link in one process over loopback, with and without TLS by turns: calls on an open
connection, small and large, and connections with their first call. The best of the repeats is
shown, since other work on the machine only adds. Needs the package cryptography.
"""

from __future__ import annotations

import argparse
import os
import platform
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpdist.cli.certificates import make_certificates
from hpdist.cluster.link import Link
from hpdist.cluster.server import Server
from hpdist.cluster.tls import Tls, read_tls

KEY, RUN = b"k" * 32, "tls"


def echo(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"v": 1, "kind": "ok", "said": message["text"]}


def seconds_each(times: int, do: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(times):
        do()
    return (time.perf_counter() - began) / times


def measure(tls: Tls | None, calls: int, connections: int) -> dict[str, float]:
    """Return seconds by what was done."""
    server = Server(echo, echo, key=KEY, host="127.0.0.1", tls=tls)
    server.start()
    link = Link(KEY, server.uri, RUN, tls=tls)

    def connect_and_call() -> None:
        other = Link(KEY, server.uri, RUN, tls=tls)
        other.call({"text": ""})
        other.close()

    try:
        link.call({"text": ""})
        return {
            "call, 100 bytes": seconds_each(calls, lambda: link.call({"text": "x" * 100})),
            "call, 10 KiB": seconds_each(calls, lambda: link.call({"text": "x" * 10_240})),
            "call, 1 MiB": seconds_each(calls // 50, lambda: link.call({"text": "x" * 2**20})),
            "connection and call": seconds_each(connections, connect_and_call),
        }
    finally:
        link.close()
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        make_certificates(Path(directory) / "tls", RUN, 1)
        tls = read_tls(Path(directory) / "tls")
    found: dict[Tls | None, list[dict[str, float]]] = {None: [], tls: []}
    for _ in range(options.repeats):
        for used, measured in found.items():
            measured.append(measure(used, options.calls, options.connections))
    for name in found[tls][0]:
        plain, secured = (min(each[name] for each in found[used]) for used in (None, tls))
        print(
            f"{name:20} {1e6 * plain:8.0f} us, with TLS {1e6 * secured:8.0f} us: "
            f"{secured / plain:.2f} times, {1e6 * (secured - plain):+.0f} us"
        )
    print(
        f"best of {options.repeats}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    )


if __name__ == "__main__":
    main()
