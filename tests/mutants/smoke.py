"""A small quiet run, which no mutant may break: its fault would be no test of the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.service import Service
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.reader import read_journal
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.events import Event, WorkerJoined
from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.orders import Registered
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.run.loop import Loop
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Hyperband
from hpdist.testing.simulate import SimulatedCluster, SimulatedInbox, quadratic


def quiet_run() -> None:
    """Search, and talk, as if nobody wished anybody ill."""
    quiet_search()
    quiet_talk()


def quiet_search() -> None:
    """Run Hyperband with two well-behaved workers, with a real journal, and read it back."""
    study, inbox = Study({"x": (0.0, 1.0)}, Hyperband(1, 3)), SimulatedInbox()
    cluster = SimulatedCluster(inbox, quadratic, workers=2)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        with closing(Journal.open(path)) as journal:
            ended = Loop(study, DispatchState(Retry()), journal, cluster, inbox).run()
        found = read_journal(path).records
    assert ended.reason == "finished"
    planned = study.iter_generator.num_all_configs(2)
    assert len(study.table.jobs) == planned
    assert study.table.best is not None
    kinds = [record.kind for _, record in found]
    assert kinds.count("job") == kinds.count("start") == kinds.count("done") == planned


def quiet_talk() -> None:
    """Make a key, and let a worker and an operator call a dispatcher and hear its answers."""
    executor = RemoteExecutor(Timing(), 1, "run", "book")

    def post(events: Sequence[Event]) -> None:
        joined = [event.worker for event in events if isinstance(event, WorkerJoined)]
        executor.perform([Registered(each.worker_id, each.incarnation) for each in joined])

    with tempfile.TemporaryDirectory() as directory:
        key = find_key("run", directory)
        assert find_key("run", directory) == key
    executor.start(post)
    server = Server(
        executor.exchange, Service(RunAddress("run"))._control, key=key, host="127.0.0.1"
    )
    server.start()
    with closing(server), closing(DispatcherChannel(key, server.uri, "run")) as channel:
        who = {"epoch": 0, "worker": "w", "incarnation": "0" * 8}
        settings = channel.call({**who, "request": 0, "kind": "register", "info": {}})["settings"]
        poll = {**who, "request": 1, "kind": "poll", "wait": 0, "instance": settings["instance"]}
        assert "assignments" not in channel.call(poll)
        assert channel.call({**who, "request": 2, "kind": "deregister"})["kind"] == "ok"
        assert channel.control({"command": "stop", "arguments": {"reason": "é"}})["kind"] == "ok"
