"""No input makes a decoder crash, hang, swell or raise anything but what it says."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import fuzz_registry
import fuzz_target
import msgpack
import pytest
from fuzz_engines import ENGINES
from fuzz_mutation import JSON, mutant
from fuzz_registry import TARGETS
from fuzz_sockets import describe
from fuzz_target import MAX_INPUT, Target
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = 250


@pytest.fixture(scope="module", autouse=True)
def _close() -> Iterator[None]:
    yield
    fuzz_registry.close()


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Mostly valid inputs changed in places, some bytes of any kind."""

    def changed(chance: random.Random) -> bytes:
        return mutant(chance, target.seeds, target.form, MAX_INPUT)

    # what hypothesis itself draws one by one takes ten times as long
    return st.randoms(use_true_random=True).map(changed) | st.binary(max_size=200)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_any_input_is_understood_or_refused(target: Target) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,  # each example has its own, which a busy machine does not break
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(inputs(target))
    def try_all(data: bytes) -> None:
        target.try_input(data)

    try_all()


def packed(value: object) -> bytes:
    data: bytes = msgpack.packb(value)
    return data


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


OUTBOX = b'{"job_id":1,"attempt":1,"outcome":{"loss":1.0},%s}'
PINNED = [
    ("text", b'{"jo\x8fs":[3]}'),
    ("text", b'{"x":"\\udcff"}'),
    ("reply", b'{"v":1}'),
    ("reply", b'{"kind":"ok"}'),
    ("reply", b'{"kind":"ok","epoch":1,"assignments":[{"job_id":1,"attempt":1}]}'),
    ("reply", b'{"kind":"ok","epoch":1,"acknowledged":[1]}'),
    ("reply", b'{"kind":"ok","epoch":1,"cancel":[[[],{}]]}'),
    ("reply", b'{"kind":"ok","epoch":1,"shutdown":{"reason":5}}'),
    ("reply", b'{"kind":"ok","epoch":1,"settings":{}}'),
    ("reply", b'{"kind":"ok","epoch":1,"settings":{"lease_s":1e300,"heartbeat_s":1,"poll_s":1}}'),
    ("message of a child", b'{"done":[1,{"loss":1' + b"0" * 400 + b"}]}"),
    ("message of a child", b'{"done":[1,{"failure":"exception","message":"\\udcff"}]}'),
    ("message of a child", b'{"done":[1,{"failure":"exception","message":[[5]]}]}'),
    ("message of a child", b'{"report":[1,-1,0.5]}'),
    ("message of a child", b'{"report":[1,1' + b"0" * 400 + b",0.5]}"),
    ("result", b'{"loss":0.5,"info":"@endless","more":1}'),
    ("result", b'"@endless"'),
    ("result", b'"@spite"'),
    ("journal records", b'{"kind":"ended","reason":"x","at":1e999}'),
    ("journal records", b'{"kind":"ended","reason":"x","at":1' + b"0" * 400 + b"}"),
    ("journal records", b'{"kind":"run","format":1e999,"run_id":"x","at":1}'),
    ("journal", (b"%08x ffffffff {}" % 25_002) * 3_000),
    ("result in the outbox", b"[" * 5_000),
    ("result in the outbox", OUTBOX % b'"instance":[]'),
    ("result in the outbox", OUTBOX % b'"more":"\\udcff"'),
    ("connection file", b"[" * 5_000),
    ("command file", b"[" * 5_000),
    ("size", b"9" * 400),
    ("duration", b"9" * 400),
    ("budget", b"nan:inf"),
    ("script", b"x" * 300 + b".py"),
    ("script", b"x" * 300),
    ("script", b"~nobody-has-this-name/x.py"),
    ("introduction to the nameserver", describe(1, packed({"object": "nothing"}), flags=16)),
    ("introduction to the dispatcher", b"\x01\x00\x01\x00\x06\x00" + packed("deaf")),
    ("greeting of a server", describe(3, packed(nested(500)))),
    ("greeting of a server", describe(2, packed(nested(500)), flags=1)),
    ("answer of a dispatcher", describe(5, b"\xd4\x30\x00")),
    ("answer of a dispatcher", describe(5, b"\xd7\x32" + b"\xff" * 8)),
    ("answer of a dispatcher", describe(5, packed({"__class__": 5}), flags=1)),
    ("answer of a dispatcher", describe(5, packed({"__class__": "Pyro4.core.Proxy"}))),
    ("answer of a nameserver", describe(5, packed(5))),
    ("answer of a nameserver", describe(5, packed({"hpdist.run.dispatcher": [5, ["run=run"]]}))),
    ("answer of a nameserver", describe(5, packed({"hpdist.run.dispatcher": ["x", ["a"]]}))),
    ("answer of a nameserver", describe(5, packed({"hpdist.run.dispatcher": ["x:1", [5]]}))),
]
"""Inputs that once did harm."""


@pytest.mark.parametrize(("name", "data"), PINNED)
def test_what_once_did_harm_does_no_more(name: str, data: bytes) -> None:
    TARGETS[name].try_input(data)


def test_what_a_target_may_not_raise_or_take_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_target, "MAX_CPU_S", 0.1)

    def eat(data: bytes) -> None:
        if data == b"raise":
            raise LookupError
        while data:
            time.process_time()

    target = Target("test", eat, (b"",), (ValueError,))
    target.try_input(b"")
    with pytest.raises(LookupError):
        target.try_input(b"raise")
    with pytest.raises(AssertionError, match="no end"):
        target.try_input(b"hang")


def test_what_takes_too_much_memory_is_noticed() -> None:
    # beyond the highest peak that this process has had before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    target = Target("test", lambda data: len(bytearray(peak + 2**27)), (b"",))
    with pytest.raises(AssertionError, match="MiB"):
        target.try_input(b"")


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_most_of_what_is_right_is_accepted(target: Target) -> None:
    """So that fuzzing begins inside: a target that refuses all it is given would prove nothing."""
    refused = []
    for seed in target.seeds:
        try:
            target.run(seed)
        except target.allowed as error:
            refused.append(error)
    assert len(refused) < len(target.seeds) or target.name == "script", refused


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["mutation", "hypothesis"])
def test_an_engine_finds_a_seeded_fault_and_keeps_the_input(engine: str, tmp_path: Path) -> None:
    def faulty(data: bytes) -> None:
        assert b'"a": []' not in data

    target = Target("seeded fault", faulty, (b'{"a": 1}',), form=JSON)
    outcome = ENGINES[engine](target, 20.0 if engine == "hypothesis" else 3.0, tmp_path, 1)
    assert outcome.executions > 10
    ((path, said),) = outcome.failures
    assert "AssertionError" in said
    assert b'"a": []' in path.read_bytes()
