"""What does TLS cost, beside the key that is always on?

    python -m benchmarks.tls [--calls 2000] [--connections 200] [--repeats 5]

A server and a channel in one process over loopback, with and without TLS by turns: calls on an open
connection, small and large, and connections with their first call. Time by the clock, and
processor time of both ends together, which other work on the machine does not lengthen so much;
of each the best of the repeats. Needs the package cryptography.
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
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.cluster.transport.tls import Tls, read_tls

KEY, RUN = b"k" * 32, "tls"


def echo(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"v": 1, "kind": "ok", "said": message["text"]}


Costs = tuple[float, float]  # microseconds by the clock, and of the processor


def cost_of(do: Callable[[], object], times: int) -> Costs:
    started, worked = time.perf_counter(), time.process_time()
    for _ in range(times):
        do()
    scale = 1e6 / times
    return scale * (time.perf_counter() - started), scale * (time.process_time() - worked)


def measure(tls: Tls | None, calls: int, connections: int) -> dict[str, Costs]:
    """Return the costs of what was done."""
    server = Server(echo, echo, key=KEY, host="127.0.0.1", tls=tls)
    server.start()
    channel = DispatcherChannel(KEY, server.uri, RUN, tls=tls)

    def call(size: int) -> Callable[[], object]:
        return lambda: channel.call({"text": "x" * size})

    def connect_and_call() -> None:
        other = DispatcherChannel(KEY, server.uri, RUN, tls=tls)
        other.call({"text": ""})
        other.close()

    try:
        channel.call({"text": ""})
        return {
            "call, 100 bytes": cost_of(call(100), calls),
            "call, 10 KiB": cost_of(call(10 * 1024), calls),
            "call, 1 MiB": cost_of(call(1024 * 1024), max(1, calls // 50)),
            "connection and call": cost_of(connect_and_call, connections),
        }
    finally:
        channel.close()
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
    found: dict[Tls | None, list[dict[str, Costs]]] = {None: [], tls: []}
    for _ in range(options.repeats):
        for used, measured in found.items():
            measured.append(measure(used, options.calls, options.connections))
    for name in found[tls][0]:
        for kind, what in enumerate(("clock", "processor")):
            plain, secured = (min(each[name][kind] for each in found[used]) for used in found)
            print(
                f"{name:20} {what:9} {plain:8.0f} us, with TLS {secured:8.0f} us: "
                f"{secured / plain:.2f} times, {secured - plain:+.0f} us"
            )
    print(
        f"best of {options.repeats}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    )


if __name__ == "__main__":
    main()
