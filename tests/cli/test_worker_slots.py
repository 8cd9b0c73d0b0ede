"""The workers of one process: signals, failures, and the run they are for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from cli_scene import LIMIT_S, Commands, eventually, write
from click.core import ParameterSource

from hpdist import Results
from hpdist.cli.script import Reference
from hpdist.cli.worker import _make_workers, _prefetch_of, worker
from hpdist.cluster import worker_threads as worker_slots
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.worker_threads import WorkerSlots
from hpdist.core.model.errors import AuthenticationError

RUN_ADDRESS = RunAddress("r", directory=Path("r"))
OPTIONS: dict[str, Any] = {
    "slots": None,
    "devices": None,
    "timeout": None,
    "isolation": "process",
    "job_timeout": None,
    "memory_limit": None,
    "prefetch": 0,
    "directory": None,
}


class Slot:
    """A worker that works until it is told to leave; ``stubborn`` until told at once."""

    def __init__(self, *, stubborn: bool = False, fails: BaseException | None = None) -> None:
        self.worker_id, self.directory = f"slot-{id(self)}", None
        self.told: list[tuple[str, bool]] = []
        self.began, self._left = threading.Event(), threading.Event()
        self._stubborn, self._fails = stubborn, fails

    def run(self) -> None:
        self.began.set()
        if self._fails:
            raise self._fails
        assert self._left.wait(LIMIT_S)

    def leave(self, why: str, *, at_once: bool) -> None:
        self.told.append((why, at_once))
        if at_once or not self._stubborn:
            self._left.set()


@pytest.mark.parametrize(
    ("engine", "source", "held"),
    [
        (True, ParameterSource.DEFAULT, 1),
        (True, ParameterSource.COMMANDLINE, 0),
        (False, ParameterSource.DEFAULT, 0),
    ],
)
def test_engines_hold_a_task_ahead_unless_they_are_told_otherwise(
    engine: bool, source: ParameterSource, held: int
) -> None:
    with click.Context(worker) as context:
        context.set_parameter_source("prefetch", source)
        assert _prefetch_of(engine, 0) == held


def run_and(slots: list[Slot], *then: Callable[[], object]) -> int:
    """Run the slots in this thread, and do ``then`` in another one once all have begun."""

    def act() -> None:
        for slot in slots:
            assert slot.began.wait(LIMIT_S)
        for each in then:
            each()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        return WorkerSlots(slots, RUN_ADDRESS).run()  # type: ignore[arg-type]
    finally:
        thread.join()


def send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def test_sigterm_ends_all_at_once_with_0() -> None:
    slots = [Slot(stubborn=True), Slot()]
    assert run_and(slots, send(signal.SIGTERM)) == 0
    assert [slot.told for slot in slots] == [[("SIGTERM", True)]] * 2


def test_ctrl_c_drains_with_0() -> None:
    slots = [Slot(), Slot()]
    assert run_and(slots, send(signal.SIGINT)) == 0
    assert [slot.told for slot in slots] == [[("SIGINT", False)]] * 2


def test_a_second_ctrl_c_ends_all_at_once_with_130() -> None:
    slot = Slot(stubborn=True)

    def wait_for_the_first() -> None:
        eventually(lambda: slot.told, "the answer to the first")

    code = run_and([slot], send(signal.SIGINT), wait_for_the_first, send(signal.SIGINT))
    assert code == 130
    assert slot.told == [("SIGINT", False), ("SIGINT", True)]


def test_ctrl_c_stays_ignored_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        slot = Slot()
        assert run_and([slot], send(signal.SIGINT), send(signal.SIGTERM)) == 0
        assert slot.told == [("SIGTERM", True)]
    finally:
        signal.signal(signal.SIGINT, former)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run_and([Slot()], send(signal.SIGTERM))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_one_fails_with_is_raised_once_the_others_have_left() -> None:
    other = Slot()
    slots = [Slot(fails=AuthenticationError("another key")), other]
    with pytest.raises(AuthenticationError, match="another key"):
        run_and(slots)
    assert other.told[0] == ("another worker of this process failed", False)


def test_what_cannot_be_ended_deregisters_and_is_left_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Left(BaseException):
        pass

    class Talk:
        said = 0

        def deregister(self) -> None:
            self.said += 1

    def leave(code: int) -> None:
        raise Left(str(code))

    slot, talk, go = Slot(), Talk(), threading.Event()
    monkeypatch.setattr(slot, "leave", lambda why, at_once: None)
    monkeypatch.setattr(slot, "_session", talk, raising=False)
    monkeypatch.setattr(slot, "_left", go)
    monkeypatch.setattr(worker_slots, "AT_ONCE_S", 0.05)
    monkeypatch.setattr(worker_slots, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(worker_slots.os, "_exit", leave)
    monkeypatch.setattr(worker_slots.logging, "shutdown", lambda: None)
    try:
        with pytest.raises(Left, match="0"):
            run_and([slot], send(signal.SIGTERM))
    finally:
        go.set()
    assert talk.said == 1


# ------------------------------------------------------------------ what is made of the options


def test_slots_share_the_devices_out() -> None:
    write("f.py", "def f(config): ...")
    reference = Reference.parse("f.py:f")
    options = {**OPTIONS, "slots": 3, "devices": ["cuda:0", "cuda:1"]}
    made = _make_workers(reference, RUN_ADDRESS, options)
    assert [worker.device for worker in made] == ["cuda:0", "cuda:1", "cuda:0"]
    assert len({worker.worker_id for worker in made}) == 3


@pytest.mark.parametrize(("devices", "count"), [(None, 1), (["0", "1"], 2)])
def test_there_is_a_slot_for_each_device_unless_told_otherwise(devices: Any, count: int) -> None:
    write("f.py", "def f(config): ...")
    options = {**OPTIONS, "devices": devices}
    assert len(_make_workers(Reference.parse("f.py"), RUN_ADDRESS, options)) == count


def test_a_worker_class_runs_in_worker_processes(hpdist: Commands) -> None:
    write(
        "mine.py",
        "from hpdist import Worker\n"
        "class Mine(Worker):\n"
        "    def __init__(self, *args, **kwargs):\n"
        "        super().__init__(*args, **kwargs)\n"
        "        self.data = 2.0\n"
        "    def compute(self, config_id, config, config_info, budget, working_directory):\n"
        "        return {'loss': self.data * config['x'], 'info': None}\n"
        "space = {'x': (0.0, 1.0)}\n",
    )
    said = hpdist("run", "mine.py", "--workers", 1, "--trials", 2, "--job-timeout", 30)
    assert said.code == 0, said.err
    for one in Results.read("hpdist-runs/mine").evaluations:
        assert one.loss == 2.0 * one.config["x"]
