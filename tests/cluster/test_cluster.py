"""Nameserver, master and workers together: orders of start, restarts, keys, commands."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_scene import LIMIT_S, RUN, Scene, eventually, give_x, refusal, scene_in

from hpdist import Worker
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    JournalLocked,
    TransportError,
)
from hpdist.core.model.events import AttemptEnded, Controlled, RunResumed
from hpdist.core.model.states import JobState


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as scene:
        yield scene


class Gate:
    """An objective that lets through what it was told to, and counts."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.passes = threading.Semaphore(0)

    def __call__(self, config: dict[str, Any]) -> float:
        self.began.release()
        assert self.passes.acquire(timeout=LIMIT_S)
        return float(config["x"])

    def wait_for(self, number: int) -> None:
        for _ in range(number):
            assert self.began.acquire(timeout=LIMIT_S)

    def let(self, number: int) -> None:
        self.passes.release(number)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.let(1000)


# ---------------------------------------------------------------------------- order of start


def test_a_worker_waits_for_nameserver_and_master(scene: Scene) -> None:
    worker = Worker(RUN, isolation="none")
    worker.initialize(give_x)

    def serve() -> None:
        worker.load_nameserver_credentials(scene.directory, interval=0.05)
        worker.run()

    thread = threading.Thread(target=serve)
    thread.start()
    scene.nameserver()
    eventually(lambda: worker._session, "the worker's first call")
    with scene.master(2) as master:
        assert len(master.run().evaluations) == 2
    thread.join(LIMIT_S)
    assert worker.reason == "finished"


def test_a_worker_with_an_address_waits_for_the_nameserver(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with scene.nameserver() as nameserver:
        host, port = nameserver.start()
    key = find_key(RUN, scene.run)
    (scene.directory / "home" / ".hpdist" / RUN).mkdir(parents=True, mode=0o700)
    file = scene.directory / "home" / ".hpdist" / RUN / "key"
    file.touch(mode=0o600)
    file.write_text(key.hex())
    worker = scene.worker(nameserver=host, nameserver_port=port)
    eventually(lambda: "cannot reach the nameserver" in caplog.text, "its complaint")
    scene.nameserver(port)
    assert len(scene.master(2).run().evaluations) == 2
    assert not worker.wait(0)


@pytest.mark.slow
def test_a_master_waits_for_its_nameserver(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    master = scene.master(2)
    caller = threading.Thread(target=master.run)
    caller.start()
    eventually(lambda: "connected workers go on" in caplog.text, "its complaint")
    scene.nameserver()
    scene.worker()
    caller.join(LIMIT_S)
    assert len(master.results().evaluations) == 2


# ---------------------------------------------------------------------------------- restarts


def test_the_next_master_goes_on_with_the_same_workers(scene: Scene) -> None:
    scene.nameserver()
    workers = [scene.worker() for _ in range(2)]
    with scene.master(3, shutdown_workers=False) as master:
        assert len(master.run(min_n_workers=2).evaluations) == 3
        address = master.dispatcher.service.uri
    with scene.master(3) as master:
        assert len(master.run(min_n_workers=2).evaluations) == 6
        assert master.dispatcher.service.uri == address, "it is found where it was"
    for worker in workers:
        assert worker.wait(LIMIT_S)
    assert [r.epoch for r in scene.records if isinstance(r, RunResumed)] == [1, 2]


def test_what_runs_at_a_shutdown_is_handed_in_to_the_next_master(scene: Scene, gate: Gate) -> None:
    scene.nameserver()
    scene.worker(gate)
    with scene.master(2, shutdown_workers=False) as first:
        caller = threading.Thread(target=first.run)
        caller.start()
        gate.wait_for(1)
    caller.join(LIMIT_S)
    assert [one.state for one in first.results().evaluations] == [JobState.RUNNING]
    gate.let(2)
    results = scene.master(2).run()
    assert [one.state for one in results.evaluations] == [JobState.COMPLETED] * 2
    ends = {(r.job_id, r.attempt): r.final for r in scene.records if isinstance(r, AttemptEnded)}
    assert ends == {(0, 1): True, (1, 1): True}
    gate.wait_for(1)
    assert not gate.began.acquire(timeout=0), "an evaluation was repeated"


def test_a_worker_comes_back_although_the_nameserver_is_gone(scene: Scene, gate: Gate) -> None:
    scene.nameserver()
    master = scene.master(2)
    worker = scene.worker(gate)
    caller = threading.Thread(target=master.run)
    caller.start()
    gate.wait_for(1)
    scene.server.shutdown()
    session = worker._session
    assert session is not None
    assert session._work_channel is not None
    session._work_channel.close()
    gate.let(2)
    caller.join(LIMIT_S)
    assert [one.attempts for one in master.results().evaluations] == [1, 1]


def test_a_call_that_waits_ends_when_its_line_is_hung_up(scene: Scene) -> None:
    """Even if something else gets its file descriptor at once."""
    scene.nameserver()
    uri = scene.dispatcher(lambda job: None).service.uri
    channel = DispatcherChannel(find_key(RUN, scene.run), uri, RUN)
    address = {"epoch": 0, "worker": "w", "incarnation": "ab" * 16}
    channel.call({"kind": "register", "request": 0, "info": {}, "in_flight": [], **address})
    errors: list[TransportError] = []

    def wait_for_work(request: int) -> None:
        try:
            channel.call({"kind": "poll", "request": request, "wait": 3000.0, **address})
        except TransportError as error:
            errors.append(error)

    quiet, other = socket.socketpair()
    with quiet, other:
        for number in range(1, 21):
            thread = threading.Thread(target=wait_for_work, args=(number,))
            thread.start()
            eventually(
                lambda: channel._connection and channel._connection._calling.locked(), "the call"
            )
            channel.close()
            copies = [os.dup(quiet.fileno()) for _ in range(64)]
            thread.join(LIMIT_S)
            assert not thread.is_alive()
            for copy in copies:
                os.close(copy)
    assert len(errors) == 20
    channel.call({"kind": "deregister", "request": 21, **address})
    channel.close()


def test_a_worker_is_of_no_use_to_another_run_of_the_same_name(
    scene: Scene, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """What it holds would be taken for the result of a job with the same number."""
    scene.nameserver()
    former = scene.worker(gate)
    first = scene.dispatcher(lambda job: None)
    first.submit_job("a", config={"x": 666.0})
    gate.wait_for(1)
    first.shutdown()
    losses: list[Any] = []
    second = scene.dispatcher(lambda job: losses.append(job.result))
    second.submit_job("b", config={"x": 1.0})
    gate.let(1)
    assert former.wait(LIMIT_S)
    assert "was started anew" in caplog.text
    scene.worker()
    eventually(lambda: losses, "the result")
    assert losses == [{"loss": 1.0, "info": None}]


def test_a_second_master_of_a_run_is_refused(scene: Scene, tmp_path: Path) -> None:
    scene.nameserver()
    scene.worker()
    master = scene.master(2)
    master.run()
    with pytest.raises(JournalLocked):
        scene.master(2)
    master.dispatcher.discover_workers()
    other = scene.master(2, checkpoint_file=tmp_path / "other")
    with pytest.raises(ConfigurationError, match="has a master already"):
        other.run()
    assert len(master.run().evaluations) == 4, "the first one goes on undisturbed"


# -------------------------------------------------------------------------- keys and strangers


def test_a_worker_with_another_key_leaves_and_says_why(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.nameserver()
    scene.master().wait_for_workers(0)
    worker = scene.worker(start=False)
    monkeypatch.setattr("hpdist.core.journal.run_key._environment_key", secrets.token_bytes(32))
    with pytest.raises(AuthenticationError, match="has another key"):
        worker.run()


def test_a_worker_of_another_run_is_refused(scene: Scene) -> None:
    scene.nameserver()
    dispatcher = scene.dispatcher(lambda job: None)
    channel = DispatcherChannel(find_key(RUN, scene.run), dispatcher.service.uri, "another")
    told = refusal(lambda: channel.call({"kind": "register", "epoch": 0, "worker": "w"}))
    channel.close()
    assert "serves run 'scene', not 'another'" in told


# ---------------------------------------------------------------------------------- commands


def test_commands_pause_resume_extend_and_stop_a_run(scene: Scene, gate: Gate) -> None:
    scene.nameserver()
    worker = scene.worker(gate)
    master = scene.master(1)
    caller = threading.Thread(target=master.run, args=(2,))
    caller.start()
    gate.wait_for(1)
    uri = master.dispatcher.service.uri
    assert scene.control(uri, "who")["run"] == RUN
    assert scene.control(uri, "pause")["kind"] == "ok"
    eventually(lambda: [r for r in scene.records if isinstance(r, Controlled)][-1:], "the pause")
    gate.let(1)
    eventually(lambda: master.results().evaluations[0].state is JobState.COMPLETED)
    assert len(master.study.table.jobs) == 1, "nothing starts while it is paused"
    scene.control(uri, "extend", n_iterations=3)
    scene.control(uri, "resume")
    gate.let(1)
    gate.wait_for(2)
    scene.control(uri, "drain", reason="enough")
    gate.let(1)
    caller.join(LIMIT_S)
    assert worker.wait(LIMIT_S)
    results = master.results()
    assert results.reason == "stopped"
    assert [one.state for one in results.evaluations] == [JobState.COMPLETED] * 3
    commands = [r.command for r in scene.records if isinstance(r, Controlled)]
    assert commands == ["extend", "pause", "extend", "resume"]


def test_failed_and_running_jobs_are_retried_and_cancelled_by_command(
    scene: Scene, gate: Gate
) -> None:
    calls: list[int] = []

    def fails_first(config: dict[str, Any], budget: float, ctx: Any) -> float:
        calls.append(ctx.trial_id)
        if calls == [0]:
            raise ValueError("on purpose")
        return gate(config)

    scene.nameserver()
    scene.worker(fails_first)
    master = scene.master(2)
    caller = threading.Thread(target=master.run)
    caller.start()
    gate.wait_for(1)
    uri = master.dispatcher.service.uri
    scene.control(uri, "retry")
    scene.control(uri, "cancel", jobs=[1], reason="too dear")
    eventually(lambda: any(isinstance(r, AttemptEnded) and r.job_id == 1 for r in scene.records))
    gate.let(2)
    caller.join(LIMIT_S)
    states = [one.state for one in master.results().evaluations]
    assert states == [JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED]
    assert calls == [0, 1, 0]


@pytest.mark.parametrize(
    ("command", "arguments", "why"),
    [
        ("explode", {}, "there is no command 'explode'"),
        ("extend", {"n_trials": "many"}, "does not take n_trials='many'"),
        ("pause", {"for": 3}, "it takes nothing"),
        ("cancel", {}, "cancel needs jobs="),
    ],
)
def test_commands_that_make_no_sense_are_refused(
    scene: Scene, command: str, arguments: dict[str, Any], why: str
) -> None:
    scene.nameserver()
    uri = scene.dispatcher(lambda job: None).service.uri
    assert why in refusal(lambda: scene.control(uri, command, **arguments))


def test_commands_need_the_key(scene: Scene) -> None:
    scene.nameserver()
    uri = scene.dispatcher(lambda job: None).service.uri
    channel = DispatcherChannel(secrets.token_bytes(32), uri, RUN)
    with pytest.raises(AuthenticationError):
        channel.control({"command": "stop"})
