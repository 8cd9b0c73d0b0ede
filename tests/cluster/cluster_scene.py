"""A small cluster for tests: a run in a directory, its nameserver, masters and workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpdist import Dispatcher, Master, NameServer, Timing, Worker
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.core.journal.reader import read_journal
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import TransportError
from hpdist.core.model.events import Record
from hpdist.core.space.space import Space
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimizers import RandomSearch

RUN = "scene"
LIMIT_S = 30.0
TIMING = Timing(lease_s=3.0, heartbeat_s=0.3, closed_s=1.0, poll_s=2.0)


def eventually(holds: Callable[[], Any], what: str = "it") -> Any:
    """Wait until ``holds()`` is true and return what it gave."""
    until = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < until, f"{what} did not happen within {LIMIT_S:g} s"
        time.sleep(0.01)
    return found


def give_x(config: dict[str, Any]) -> float:
    return float(config["x"])


class Scene:
    """Whatever it makes is ended with it; workers are threads that evaluate by themselves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = ExitStack()

    @property
    def run(self) -> Path:
        return self.directory / RUN

    @property
    def records(self) -> list[Record]:
        return [record for _, record in read_journal(self.run / "journal").records]

    def nameserver(self, port: int = 0) -> NameServer:
        self.server = self._stack.enter_context(NameServer(RUN, self.directory, port=port))
        return self.server

    def dispatcher(self, on_result: Callable[[Any], None], **options: Any) -> Dispatcher:
        options = {"working_directory": self.directory, "timing": TIMING, **options}
        options = {"run_id": RUN, "nameserver": None, **options}
        return self._stack.enter_context(Dispatcher(on_result, **options))

    def master(self, num_configs: int = 4, **options: Any) -> Master:
        options = {"working_directory": self.directory, "timing": TIMING, **options}
        generator = options.pop("iter_generator", SingleFidelity(num_configs=num_configs))
        optimizer = RandomSearch(Space.of({"x": (0.0, 1.0)}))
        master = Master(RUN, optimizer, generator, nameserver=None, **options)
        return self._stack.enter_context(master)

    def worker(
        self,
        objective: Callable[..., Any] | None = give_x,
        kind: type[Worker] = Worker,
        *arguments: Any,
        start: bool = True,
        **options: Any,
    ) -> Worker:
        options = {"isolation": "none", **options}
        worker = kind(options.pop("run_id", RUN), *arguments, **options)
        if objective is not None:
            worker.initialize(objective)
        if "nameserver_port" not in options:
            worker.load_nameserver_credentials(self.directory)
        if start:
            worker.run(background=True)
            self._stack.callback(self._send_home, worker)
        return worker

    def control(self, uri: str, command: str, **arguments: Any) -> dict[str, Any]:
        channel = DispatcherChannel(find_key(RUN, self.run, create=False), uri, RUN)
        try:
            return channel.control({"command": command, "arguments": arguments})
        finally:
            channel.close()

    def close(self) -> None:
        self._stack.close()

    @staticmethod
    def _send_home(worker: Worker) -> None:
        worker.leave("the test is over", at_once=True)
        assert worker.wait(LIMIT_S), f"worker {worker.worker_id} did not leave"


@contextmanager
def scene_in(directory: Path, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Set a scene that knows no key but those that it makes."""
    for name in ("HPDIST_KEY", "HPDIST_KEY_FILE"):
        patch.delenv(name, raising=False)
    patch.setattr("hpdist.core.journal.run_key._environment_key", None)
    patch.setenv("HOME", str(directory / "home"))
    scene = Scene(directory)
    try:
        yield scene
    finally:
        scene.close()


def refusal(call: Callable[[], Any]) -> str:
    """The message with which ``call`` is refused."""
    with pytest.raises(TransportError) as caught:
        call()
    return str(caught.value)
