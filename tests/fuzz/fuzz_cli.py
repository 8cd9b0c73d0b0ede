"""What people write: run ids, addresses, budgets, durations, sizes, references to scripts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click
from fuzz_target import Target

from hpdist.cli.parameter_types import BUDGET, BYTES, LIST, NUMBERS, SECONDS, Value
from hpdist.cli.script import Reference
from hpdist.cluster.transport.address import join_address, split_address
from hpdist.core.journal.run_names import check_run_id, safe_run_id
from hpdist.core.model.errors import ConfigurationError

Reader = Callable[[str], object]


def _reads(read: Reader) -> Callable[[bytes], None]:
    """Arguments arrive as Python decodes them: bytes that are no UTF-8 as lone surrogates."""

    def run(data: bytes) -> None:
        read(data.replace(b"\0", b"").decode("utf-8", "surrogateescape"))

    return run


def _converts(kind: Value, is_right: Callable[[Any], bool]) -> Reader:
    def read(text: str) -> None:
        value = kind.convert(text, None, None)
        assert is_right(value), value

    return read


def _run_id(text: str) -> None:
    assert check_run_id(safe_run_id(text))
    assert check_run_id(text) == text
    assert text.isascii()
    assert "/" not in text
    assert "." not in text


def _address(text: str) -> None:
    host, port = split_address(text)
    assert 0 < port < 65_536
    assert split_address(join_address(host, port)) == (host, port)


def _reference(text: str) -> None:
    found = Reference.parse(text)
    assert found.name == "" or found.name.isidentifier()
    assert check_run_id(found.directory.name)


_FINITE = math.isfinite

TARGETS = (
    Target("run id", _reads(_run_id), (b"run", b"my-run_3", b"A" * 64), (ConfigurationError,)),
    Target(
        "address",
        _reads(_address),
        (
            b"host:9090",
            b"[::1]:1",
            b"hpdist://10.0.0.1:99",
            b"PYRO:hpdist@h:9",
            b"[fe80::1%eth0]:5",
        ),
        (ConfigurationError,),
    ),
    Target(
        "budget",
        _reads(_converts(BUDGET, lambda pair: all(map(_FINITE, pair)))),
        (b"1:81", b"0.5:1e3"),
        (click.BadParameter,),
    ),
    Target(
        "duration",
        _reads(_converts(SECONDS, lambda seconds: 0 <= seconds < 1e10)),
        (b"90", b"1h30m", b"1.5 d", b"10min 3s"),
        (click.BadParameter,),
    ),
    Target(
        "size",
        _reads(_converts(BYTES, lambda size: 0 <= size < 2**63)),
        (b"500M", b"4GiB", b"1.5 t", b"77"),
        (click.BadParameter,),
    ),
    Target(
        "numbers",
        _reads(_converts(NUMBERS, lambda numbers: isinstance(numbers, list))),
        (b"3,5", b"1, 2 ,3"),
        (click.BadParameter,),
    ),
    Target("list", _reads(_converts(LIST, lambda parts: all(parts))), (b"a,b", b" x ,, y"), ()),
    Target(
        "script",
        _reads(_reference),
        (b"train.py", b"train.py:objective", b"package.module:f", b"./a/b.py:f", b"~/x.py"),
        (ConfigurationError,),
    ),
)
