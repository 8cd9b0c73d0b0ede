"""The bad network does what its plan says, to the messages that it is about, and to no other."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from call_faults import (
    Gate,
    Rates,
    Rule,
    delay,
    double,
    drip,
    drop,
    repeat,
    replay,
    reset,
    stray,
    swallow,
)
from call_frames import Frame
from call_proxy import CallProxy, address_in

from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.model.errors import TransportError

KEY = b"k" * 32
LIMIT_S = 30.0
Message = dict[str, Any]


class Stage:
    """A dispatcher that answers everything, and notes what it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.server = self.serve()
        self.proxy = CallProxy(lambda: self.server.address, key=KEY)
        self.channels: list[DispatcherChannel] = []

    def serve(self) -> Server:
        server = Server(self.answer, self.answer, key=KEY, host="127.0.0.1")
        server.start()
        return server

    def answer(self, message: Mapping[str, Any]) -> Message:
        self.heard.append(str(message["text"]))
        return {"v": 1, "kind": "ok", "epoch": 1, "said": message["text"]}

    def channel(self, timeout_s: float = LIMIT_S) -> DispatcherChannel:
        self.channels.append(DispatcherChannel(KEY, self.proxy.address, "run", timeout_s))
        return self.channels[-1]

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        self.proxy.close()
        self.server.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("proxy")]


def say(channel: DispatcherChannel, text: str, kind: str = "poll") -> str:
    return str(channel.call({"kind": kind, "text": text})["said"])


def until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def request(frame: Frame) -> bool:
    return frame.kind == "poll" and not frame.is_reply


def reply(frame: Frame) -> bool:
    return frame.kind == "poll" and frame.is_reply


def fails_for_now(channel: DispatcherChannel, text: str) -> None:
    """Say something; that fails, and not because the other end is no dispatcher of hpdist."""
    with pytest.raises(TransportError) as caught:
        say(channel, text)
    assert type(caught.value) is TransportError


def test_without_a_plan_everything_is_passed_on_and_understood(stage: Stage) -> None:
    seen: list[Frame] = []
    stage.proxy.add(lambda frame: seen.append(frame))  # type: ignore[func-returns-value]
    channel = stage.channel()
    assert [say(channel, text) for text in ("a", "é" * 100_000)] == ["a", "é" * 100_000]
    assert [(frame.kind, frame.is_reply) for frame in seen[:4]] == [
        ("handshake", False), ("handshake", True), ("poll", False), ("poll", True),
    ]  # fmt: skip
    assert seen[2].content["text"] == seen[3].content["said"] == "a"
    assert seen[3].asked is seen[2]
    assert stage.proxy.count("pass") == 6
    assert stage.proxy.count("pass request poll") == 2


@pytest.mark.parametrize("which", [request, reply])
def test_what_is_dropped_does_not_arrive_and_what_is_said_anew_does(
    stage: Stage, which: Callable[[Frame], bool]
) -> None:
    stage.proxy.add(Rule(which, drop))
    channel = stage.channel(timeout_s=0.5)
    with pytest.raises(TransportError, match="no reply"):
        say(channel, "a")
    assert stage.heard == ["a"] * (which is reply)
    assert say(channel, "b") == "b"
    assert stage.proxy.count("drop") == 1


def test_a_request_that_is_doubled_is_answered_once(stage: Stage) -> None:
    stage.proxy.add(Rule(request, double))
    channel = stage.channel()
    assert say(channel, "a") == "a"
    fails_for_now(channel, "b")
    assert say(channel, "c") == "c"
    assert stage.heard == ["a", "c"]


def test_a_reply_that_is_doubled_is_heard_once(stage: Stage) -> None:
    stage.proxy.add(Rule(reply, double))
    channel = stage.channel()
    assert say(channel, "a") == "a"
    fails_for_now(channel, "b")
    assert say(channel, "c") == "c"


def test_a_call_that_is_repeated_is_answered_twice_on_one_connection(stage: Stage) -> None:
    stage.proxy.add(Rule(request, repeat, times=2))
    channel = stage.channel()
    assert [say(channel, text) for text in "abc"] == ["a", "b", "c"]
    assert stage.heard == ["a", "a", "b", "b", "c"]
    assert stage.proxy.count("pass request handshake") == 1


def test_a_call_that_is_replayed_arrives_again_after_later_ones(stage: Stage) -> None:
    stage.proxy.add(Rule(request, replay(0.3)))
    channel = stage.channel()
    assert [say(channel, text) for text in "ab"] == ["a", "b"]
    until(lambda: stage.heard == ["a", "b", "a"])


def test_a_request_of_another_connection_is_refused(stage: Stage) -> None:
    first, second = stage.channel(), stage.channel()
    assert [say(channel, "a") for channel in (first, second)] == ["a", "a"]
    stage.proxy.add(Rule(lambda frame: request(frame) and frame.connection == 1, stray))
    fails_for_now(second, "b")
    assert say(second, "c") == "c"
    assert stage.heard[-1] == "c"


def test_a_reset_is_noticed_at_once_on_both_sides(stage: Stage) -> None:
    stage.proxy.add(Rule(request, reset))
    channel = stage.channel()
    with pytest.raises(TransportError, match="closed the connection"):
        say(channel, "a")
    assert say(channel, "b") == "b"
    assert stage.heard == ["b"]
    until(lambda: len(stage.proxy.pairs()) == 1)


def test_on_a_half_open_connection_nothing_arrives_any_more(stage: Stage) -> None:
    channel = stage.channel(timeout_s=0.5)
    assert say(channel, "a") == "a"
    stage.proxy.add(Rule(request, swallow))
    with pytest.raises(TransportError, match="no reply"):
        say(channel, "b")
    assert say(channel, "c") == "c"
    assert stage.heard == ["a", "c"]


def test_a_gate_holds_a_message_until_it_is_opened(stage: Stage) -> None:
    gate = Gate()
    stage.proxy.add(Rule(lambda frame: reply(frame) and frame.content["said"] == "b", gate))
    channel = stage.channel()
    assert say(channel, "a") == "a"
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(say(channel, "b")))
    caller.start()
    assert gate.wait().content["said"] == "b"
    assert (stage.heard, said) == (["a", "b"], [])
    assert say(stage.channel(), "other") == "other"
    gate.open()
    caller.join(LIMIT_S)
    assert said == ["b"]


def test_a_held_request_of_someone_who_has_hung_up_arrives_all_the_same(stage: Stage) -> None:
    gate = Gate()
    stage.proxy.add(Rule(request, gate))
    channel = stage.channel(timeout_s=0.3)
    with pytest.raises(TransportError, match="no reply"):
        say(channel, "a")
    assert say(channel, "b") == "b"
    gate.open()
    until(lambda: stage.heard == ["b", "a"])


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_a_partition_holds_back_one_direction_until_it_heals(stage: Stage, direction: str) -> None:
    channel = stage.channel()
    assert say(channel, "a") == "a"
    stage.proxy.partition(requests=direction == "requests", replies=direction == "replies")
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(say(channel, "b")))
    caller.start()
    until(lambda: stage.proxy.count("pass request poll") == 2)
    if direction == "replies":
        until(lambda: stage.heard == ["a", "b"])
    with pytest.raises(TransportError, match="no reply"):
        say(stage.channel(timeout_s=0.3), "not let in")
    assert said == []
    assert "not let in" not in stage.heard
    stage.proxy.heal()
    caller.join(LIMIT_S)
    assert said == ["b"]


def test_what_is_delayed_or_arrives_in_pieces_is_whole(stage: Stage) -> None:
    stage.proxy.add(Rule(request, delay(0.2)), Rule(reply, drip(0.001, size=7)))
    began = time.monotonic()
    assert say(stage.channel(), "a" * 100) == "a" * 100
    assert time.monotonic() - began > 0.2
    assert (stage.proxy.count("delayed request"), stage.proxy.count("dripped reply")) == (1, 1)


def test_the_dispatcher_is_looked_up_for_each_connection(stage: Stage) -> None:
    channel = stage.channel()
    assert say(channel, "a") == "a"
    stage.server.close()
    fails_for_now(channel, "b")
    stage.server = stage.serve()
    assert say(channel, "c") == "c"


def test_without_a_dispatcher_a_connection_is_closed(stage: Stage) -> None:
    stage.server.close()
    with pytest.raises(TransportError, match="closed the connection"):
        say(stage.channel(), "a")
    assert stage.proxy.count("unreachable") == 1


def test_rates_harm_the_same_share_with_the_same_seed() -> None:
    calls = [Frame(n % 7, n, b"", "poll") for n in range(4000)]
    replies = [Frame(f.connection, f.number, b"", "poll", asked=f) for f in calls]
    rates = {drop: 0.1, repeat: 0.05}

    def harmed(seed: int) -> list[Any]:
        plan = Rates(seed, rates)
        return [plan(frame) for frame in calls + replies]

    first = harmed(1)
    assert first == harmed(1) != harmed(2)
    assert 300 < first.count(drop) < 500
    assert 130 < first.count(repeat) < 270
    assert drop in first[:4000]
    assert drop in first[4000:]
    assert repeat not in first[4000:]
    assert Rates(1, {drop: 1.0})(Frame(0, 0, b"", "handshake")) is None


def test_rates_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        Rates(0, {drop: 0.7, repeat: 0.5})


def test_the_dispatcher_may_be_named_or_be_found_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("PYRO:hpdist@10.0.0.1:77\n")
    assert address_in(str(tmp_path / "target"))() == address_in("10.0.0.1:77")() == ("10.0.0.1", 77)


def test_it_runs_as_a_process_that_counts(stage: Stage, tmp_path: Path) -> None:
    counts, target = tmp_path / "counts", tmp_path / "target"
    target.write_text(stage.server.uri)
    program = [sys.executable, str(Path(__file__).with_name("call_proxy.py")), "127.0.0.1:0"]
    process = subprocess.Popen(
        [*program, str(target), "--drop", "1", "--counts", str(counts)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with pytest.raises(TransportError, match="no reply"):
            say(DispatcherChannel(KEY, address, "run", timeout_s=0.3), "a")
        until(lambda: counts.exists() and "drop" in counts.read_text())
        told = json.loads(counts.read_text())
        assert sum(n for what, n in told.items() if what.startswith("drop")) == 1
        process.terminate()
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
