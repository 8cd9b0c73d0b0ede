"""Inputs that are nearly right: real ones, changed in a few places of their structure."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

Value = Any


@dataclass(frozen=True)
class Form:
    """How bytes are taken apart for changing them, and put together again."""

    loads: Callable[[bytes], Value]
    dumps: Callable[[Value], bytes]


def _unchanged(data: bytes) -> bytes:
    raise ValueError("bytes without structure")


def _json(value: Value) -> bytes:
    return json.dumps(value).encode()


def headed(form: Form, length: int) -> Form:
    """A few bytes that stand for numbers, then something of ``form``."""

    def loads(data: bytes) -> Value:
        return [list(data[:length]), form.loads(data[length:])]

    def dumps(value: Value) -> bytes:
        numbers, body = value
        return bytes(int(number) & 0xFF for number in numbers) + form.dumps(body)

    return Form(loads, dumps)


PLAIN = Form(_unchanged, _unchanged)
JSON = Form(json.loads, _json)
MSGPACK = Form(lambda data: msgpack.unpackb(data, strict_map_key=False), msgpack.packb)
LINES = Form(
    lambda data: [json.loads(line) for line in data.splitlines()],
    lambda lines: b"\n".join(_json(line) for line in lines),
)


def _nested(depth: int) -> Value:
    value: Value = 0
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: tuple[Value, ...] = (
    None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"),
    2**31, 2**53, 2**63, 2**64 - 1, -(2**63), 10**307, 10**400, 10**4000,
    "", "x", "x" * 300, "y" * 40_000, "\ud800", "\U0001f600" * 20, "\x00", "\x1b[2J", "a\nb",
    "=1+1",
    "../..", "/etc/passwd", "nan", "1e999", "127.0.0.1:9", "[::1]:9", "PYRO:a@b:1", "a=b", "=",
    [], {}, [[]], [{}], [0, 0], [0, 0, ""], [0, 0, 0, 0.5], [1, 1], [True, True], _nested(40),
    _nested(70), _nested(200), [0] * 5_000, {"": ""}, {"a": {"b": {"c": {}}}}, {"failure": []},
    {"failure": "lost"}, {"failure": "crash", "message": 5}, {"loss": "x"}, {"loss": 1, "cost": -1},
    {"__class__": "Pyro4.core.Proxy", "state": []}, {"__class__": "Pyro4.core.Daemon", "state": {}},
    {"__class__": "builtins.SystemExit", "__exception__": True, "args": [7]},
    {"__class__": "Pyro4.errors.NamingError", "args": [["x"]], "attributes": {"args": 5}},
    {"__class__": 5}, {"__class__": "float", "value": "nan"},
)  # fmt: skip

TOKENS: tuple[bytes, ...] = (
    b"\x00", b"\xff", b"\n", b"\r\n", b" ", b'"', b"{", b"}", b"[", b"]", b",", b":", b"-", b"e",
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"9" * 400, b"9" * 5_000, b"\\ud800",
    b"\\uDC00", b"[" * 3_000, b'{"a":' * 2_000, b"]" * 50, b"\xed\xa0\x80", b"\xc3", b"null",
    b"true",
    b"PYRO", b"\x00\x30", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"ffffffff", b"00000000 ",
    b"ffffffff ffffffff {", b"HMAC\x00\x14", b"HPDS\x00\x18", b"\xc1", b"\xd4\x30\x00",
    b"\xdc\xff\xff",
    b"\xd7\xff" + b"\xff" * 8, b"\xd8\x32" + b"\xff" * 16, b"\xd4\x33\x00", b"\xd7\x31" + b"9" * 8,
    b"\x91" * 700, b"\x90" * 3_000, b"\xdf\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"(" * 300,
    "é".encode(), "\u0663".encode(), "\u2028".encode(), b"nan", b"inf", b"1h", b"1.5", b"~x/", b"%",
)  # fmt: skip


def mutant(chance: random.Random, seeds: Sequence[bytes], form: Form, longest: int) -> bytes:
    """Return one of ``seeds``, changed up to five times."""
    data = seeds[chance.randrange(len(seeds))]
    if chance.random() < 0.75:
        data = _restructured(chance, data, form)
    if chance.random() < 0.4:
        for _ in range(chance.randrange(1, 4)):
            other = seeds[chance.randrange(len(seeds))]
            data = _scratched(chance, data, other)
    return data[:longest]


def _restructured(chance: random.Random, data: bytes, form: Form) -> bytes:
    try:
        value = form.loads(data)
    except (ValueError, TypeError, RecursionError):
        return _scratched(chance, data, data)
    for _ in range(chance.randrange(1, 4)):
        value = changed_value(chance, value)
    try:
        return form.dumps(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return data  # this form cannot say that


def changed_value(chance: random.Random, value: Value) -> Value:
    """Return ``value`` with one place changed, which is more often deep than not."""
    if isinstance(value, list | dict) and value and chance.random() < 0.8:
        return _with_one_changed(chance, value)
    action = chance.randrange(8)
    if action == 0:
        return [value]
    if action == 1:
        return {"x": value}
    if action == 2:
        return str(value)[:1000]
    if action < 5 and type(value) in (int, float):
        return -value if action == 3 else value + chance.choice((1, -1))
    return _hostile(chance)


def _with_one_changed(chance: random.Random, value: Value) -> Value:
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[chance.randrange(len(keys))]
    action = chance.randrange(10)
    if action == 0:
        del value[key]
    elif action == 1 and isinstance(value, dict):
        value[str(_hostile(chance))[:20]] = value.pop(key)
    elif action == 1:
        value.insert(key, copy.deepcopy(value[key]))
    elif action == 2 and isinstance(value, list):
        value.append(_hostile(chance))
    else:
        value[key] = changed_value(chance, value[key])
    return value


def _hostile(chance: random.Random) -> Value:
    return copy.deepcopy(HOSTILE[chance.randrange(len(HOSTILE))])


def _scratched(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Change some bytes, wherever they are."""
    at = chance.randrange(len(data) + 1)
    upto = min(len(data), at + chance.randrange(1, 9))
    action = chance.randrange(8)
    if action == 0:
        return data[:at] + data[upto:]
    if action == 1:
        return data[:at]
    if action == 2:
        return data[:upto] + data[at:]
    if action == 3:
        return data[:at] + other[chance.randrange(len(other) + 1) :]
    if action == 4 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if action == 5 and at < len(data):
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    token = TOKENS[chance.randrange(len(TOKENS))]
    return data[:at] + token + data[at if chance.random() < 0.5 else upto :]
