"""Peers with the key: believed to mean well, and checked as if they did not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attackers import KEY, LIMIT_S, OTHER_KEY, eventually

from hpdist import Dispatcher, NameServer, Timing
from hpdist.cluster.directory import Names, register_dispatcher, registered_dispatcher
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.registration import Registry, Served
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    ProtocolMismatch,
    TransportError,
)
from hpdist.core.model.json_codec import MAX_TEXT

RUN = "mnist"
WHO = {"epoch": 0, "worker": "w", "incarnation": "aaaaaaaa"}


class Target:
    """A dispatcher with one job, which the worker ``w`` has in hand."""

    def __init__(self, directory: Path) -> None:
        self.results: list[Any] = []
        self.nameserver = NameServer(RUN, directory)
        self.nameserver.start()
        timing = Timing(lease_s=60.0, heartbeat_s=0.5, closed_s=60.0, poll_s=0.5)
        self.dispatcher = Dispatcher(self.results.append, RUN, nameserver=None,
                                     working_directory=directory, timing=timing)  # fmt: skip
        self.dispatcher.__enter__()
        self.dispatcher.submit_job("job", config={"x": 1.0})
        self.key = find_key(RUN, directory / RUN, create=False)
        self.channel = DispatcherChannel(self.key, self.dispatcher.service.uri, RUN)
        self._request = 0
        self.registered = self.say("register", info={})
        reply = self.registered
        if "assignments" not in reply:
            reply = self.say("poll", wait=LIMIT_S, results=[])
        self.work = reply["assignments"]

    def say(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._request += 1
        return self.channel.call({**WHO, "request": self._request, "kind": kind, **fields})

    def close(self) -> None:
        self.channel.close()
        self.dispatcher.shutdown()
        self.nameserver.shutdown()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    made = Target(tmp_path)
    yield made
    made.close()


def result(**changes: Any) -> dict[str, Any]:
    return {"job_id": 0, "attempt": 1, "outcome": {"loss": -1e9}, "seconds": 1.0} | changes


FORGED: list[dict[str, Any]] = [
    result(job_id=77),
    result(attempt=2),
    result(attempt=0),
    result(job_id=2**52),
]
RUBBISH: list[Any] = [
    result(job_id=-1), result(job_id="0"), result(job_id="../../x"), result(job_id=[0, 0, 0]),
    result(attempt=True), result(attempt=1.0), result(outcome=None), result(outcome=7),
    result(outcome={}), result(outcome={"loss": "1"}), result(outcome={"loss": None}),
    result(outcome={"loss": 1.0, "cost": "x"}), result(outcome={"__class__": "os.system"}),
    result(outcome={"loss": True}), result(outcome={"failure": "no such kind", "message": ""}),
    result(outcome={"failure": "exception", "message": 7}),
    result(outcome={"failure": "exception", "message": "m" * 70_000}),
    result(seconds=-1.0), result(seconds="1"), result(output="o" * 70_000), result(output=7),
    "a string", None, [], 7,
]  # fmt: skip


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_results_of_what_does_not_run_are_not_recorded(
    target: Target, forged: dict[str, Any]
) -> None:
    assert [(item["job_id"], item["attempt"]) for item in target.work] == [(0, 1)]
    reply = target.say("poll", results=[forged])
    assert reply["kind"] == "ok"
    assert target.results == []
    target.say("poll", results=[result(outcome={"loss": 0.5})])
    eventually(lambda: target.results, "the true result")
    assert [each.result["loss"] for each in target.results] == [0.5]


def test_each_result_is_recorded_once_however_often_it_is_sent(target: Target) -> None:
    for loss in (0.5, -1e9, -2e9):
        target.say("poll", results=[result(outcome={"loss": loss})])
    eventually(lambda: target.results, "the result")
    assert [each.result["loss"] for each in target.results] == [0.5]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda value: str(value)[:60])
def test_a_result_that_is_none_is_refused_by_name(target: Target, rubbish: Any) -> None:
    with pytest.raises(ProtocolMismatch, match="results"):
        target.say("poll", results=[rubbish])
    assert target.results == []
    assert target.say("heartbeat", in_flight=[[0, 1]])["kind"] == "ok"


@pytest.mark.parametrize(
    "fields",
    [
        {"worker": "../../w"}, {"worker": "w\x1b[2J"}, {"worker": ""}, {"worker": 7},
        {"incarnation": "../.."}, {"incarnation": "x" * 65}, {"epoch": -1}, {"epoch": "1"},
        {"request": -1}, {"request": 2**53}, {"kind": "shutdown"}, {"kind": None}, {"v": 2},
        {"run": "../../x"}, {"run": "cifar"}, {"instance": "b" * 65}, {"instance": "another"},
        {"in_flight": [[0]]}, {"in_flight": [["../", 1]]}, {"in_flight": 7},
        {"in_flight": [[0, 1]] * 5000},
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_a_message_with_a_hostile_field_is_refused(target: Target, fields: dict[str, Any]) -> None:
    message = {**WHO, "request": 50, "kind": "heartbeat", "in_flight": []} | fields
    with pytest.raises(ProtocolMismatch):
        target.channel.call(message)
    assert target.say("heartbeat", in_flight=[[0, 1]])["kind"] == "ok"


@pytest.mark.parametrize(
    "text",
    ['{"x":' + "[" * 100_000 + "]" * 100_000 + "}", '{"x":1e999}', '{"x":NaN}', "[]", "",
     '{"x":' + "9" * 5000 + "}", '{"x":"\\ud800"}', '{"x":"' + "a" * MAX_TEXT + '"}'],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_text_that_is_no_message_ends_nothing(target: Target, text: str) -> None:
    connection = target.channel._connect()
    said = connection.invoke("exchange", (text,), 20.0)
    assert '"kind":"refused"' in said
    assert target.say("heartbeat", in_flight=[[0, 1]])["kind"] == "ok"


@pytest.mark.parametrize(
    "command",
    [
        {"command": "shutdown"}, {"command": None}, {"command": "retry", "arguments": 7},
        {"command": "stop", "arguments": {"dismiss": True}}, {"command": "__class__"},
        {"command": "extend", "arguments": {"n_trials": "x"}}, {"command": "cancel"},
        {"command": "stop", "arguments": {"command": "stop"}}, {"command": "stop", "run": "cifar"},
        {"command": "stop", "v": 2}, {"command": "retry", "arguments": {"jobs": ["../"]}},
    ],
    ids=str,
)  # fmt: skip
def test_a_command_that_is_none_is_refused(target: Target, command: dict[str, Any]) -> None:
    with pytest.raises(ProtocolMismatch, match="refused"):
        target.channel.control(command)
    assert target.say("heartbeat", in_flight=[[0, 1]])["kind"] == "ok"


def test_a_worker_of_another_key_gets_no_work(target: Target) -> None:
    channel = DispatcherChannel(OTHER_KEY, target.dispatcher.service.uri, RUN)
    with pytest.raises(AuthenticationError, match="another key"):
        channel.call({**WHO, "request": 1, "kind": "register", "info": {}})
    assert target.dispatcher.number_of_workers() == 1


# ------------------------------------------------------------------ two dispatchers


def registry_of(run_address: RunAddress, number: int, epoch: int) -> Registry:
    uri = f"PYRO:hpdist@127.0.0.1:{number}"
    return Registry(Served(run_address, uri, epoch, dict, lambda worker: False), 10.0)


@pytest.fixture
def run_address(tmp_path: Path) -> Iterator[RunAddress]:
    with NameServer(RUN, tmp_path):
        yield RunAddress(RUN, directory=tmp_path / RUN)


def entered(run_address: RunAddress) -> str:
    with Names(*run_address.nameserver(), run_address.key()) as names:
        entry = registered_dispatcher(names, RUN)
    return "" if entry is None else entry.uri.rpartition(":")[2]


def test_a_dispatcher_that_comes_back_leaves_the_entry_of_its_successor(
    run_address: RunAddress,
) -> None:
    former, successor = registry_of(run_address, 1, 1), registry_of(run_address, 2, 2)
    former.review()
    successor.review()
    former.review()
    assert entered(run_address) == "2"
    former.close()
    assert entered(run_address) == "2"


def test_an_entry_of_an_earlier_session_is_replaced(run_address: RunAddress) -> None:
    former, successor = registry_of(run_address, 1, 1), registry_of(run_address, 2, 2)
    successor.review()
    former.review()  # it has never been entered: the other was found dead when it began
    assert entered(run_address) == "1"
    successor.review()
    assert entered(run_address) == "2"


def test_a_nameserver_that_forgot_is_told_again(run_address: RunAddress) -> None:
    mine = registry_of(run_address, 1, 1)
    mine.review()
    with Names(*run_address.nameserver(), run_address.key()) as names:
        names.remove(f"hpdist.{RUN}.dispatcher")
    mine.review()
    assert entered(run_address) == "1"


@pytest.mark.parametrize("epoch", ["", "x", "-1", "9" * 400])
def test_an_epoch_that_is_none_takes_nothing_over_by_accident(
    run_address: RunAddress, epoch: str
) -> None:
    mine = registry_of(run_address, 1, 3)
    mine.review()
    with Names(*run_address.nameserver(), run_address.key()) as names:
        register_dispatcher(names, RUN, "PYRO:hpdist@127.0.0.1:9", {"epoch": epoch})
    mine.review()
    assert entered(run_address) == "9"


def test_a_second_dispatcher_of_a_run_is_refused_while_the_first_answers(
    target: Target, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="has a master already"):
        Dispatcher(lambda job: None, RUN, nameserver=None, working_directory=tmp_path).run()
    assert target.say("heartbeat", in_flight=[[0, 1]])["kind"] == "ok"


def test_a_nameserver_whose_answers_are_none_is_refused_with_a_word() -> None:
    from Pyro4 import core

    from hpdist.cluster.transport.server import GuardedDaemon, check_session

    class Liar:
        answers: Any = iter([None, 7, [1], {"a": 1}, {"a": [1, 2, 3]}, {"a": ["u", 7]}])

        def list(self, *arguments: Any) -> Any:
            check_session()
            return next(self.answers)

    core.expose(Liar)
    daemon = GuardedDaemon("127.0.0.1", 0, KEY, 8)
    daemon.register(Liar(), "Pyro.NameServer")
    daemon.serve("hpdist-test-accept")
    with Names(*daemon.address, KEY) as names:
        for _ in range(6):
            with pytest.raises(ProtocolMismatch, match="did not answer with a list of names"):
                names.entries("hpdist.")
    daemon.stop()
    with pytest.raises(TransportError):
        Names(*daemon.address, KEY, timeout_s=1.0).entries("")
