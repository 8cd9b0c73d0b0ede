"""Jobs that are handed in: proposed in their order, settled once."""

from __future__ import annotations

import pytest

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.journal.memory_journal import MemoryJournal
from hpdist.core.model.events import AttemptEnded, ControlRequested, WorkOffered
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.core.run.inbox import QueueInbox
from hpdist.core.run.loop import Loop
from hpdist.core.run.submissions import Submissions
from hpdist.core.space.space import Space
from hpdist.core.study.study import Study


class Scene:
    """Three jobs that were handed in, and what was called back."""

    def __init__(self) -> None:
        self.finished: list[FinishedJob] = []
        self.source = Submissions(self.finished.append)
        for name in "abc":
            self.source.add(name, {"config": {"x": 1.0}}, 0.0)

    def create(self) -> int:
        record = self.source.propose()
        assert record is not None
        self.source.apply(record)
        return record.job.job_id

    def end(self, number: int) -> None:
        self.source.observe([(1.0, AttemptEnded(number, 1, "w", Success(1.0)))])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_jobs_are_proposed_in_the_order_in_which_they_were_handed_in(scene: Scene) -> None:
    assert scene.source.propose() == scene.source.propose(), "looking changes nothing"
    assert [scene.create() for _ in range(3)] == [0, 1, 2]
    assert scene.source.propose() is None


def test_a_job_that_waits_is_withdrawn_and_settled_as_cancelled(scene: Scene) -> None:
    scene.create()
    scene.source.withdraw({0, 1}, "not wanted", 5.0)
    (cancelled,) = scene.finished
    assert (cancelled.id, cancelled.exception) == ("b", "cancelled: not wanted")
    assert cancelled.timestamps == {"submitted": 0.0, "finished": 5.0}
    assert scene.create() == 2


def test_what_is_open_at_the_end_is_abandoned_and_settled_once(scene: Scene) -> None:
    number = scene.create()
    scene.source.abandon(Failure(FailureKind.LOST, "no more workers"), 3.0)
    scene.end(number)
    assert [job.id for job in scene.finished] == ["a", "b", "c"]
    assert {job.exception for job in scene.finished} == {"lost: no more workers"}
    assert scene.source.number_of("a") is None


class Idle:
    """An executor without workers."""

    keeps_running = False

    def start(self, post: object) -> None:
        pass

    def perform(self, orders: object) -> None:
        pass

    def close(self, grace_s: float) -> None:
        pass


def test_the_cancel_command_reaches_jobs_for_which_there_is_no_worker_yet(scene: Scene) -> None:
    inbox = QueueInbox()
    loop = Loop(scene.source, DispatchState(), MemoryJournal(), Idle(), inbox, stay=True)
    inbox.post([WorkOffered(), ControlRequested("cancel", {"jobs": [1], "reason": "by hand"})])
    inbox.post([ControlRequested("stop", {})])
    assert loop.run().reason == "stopped"
    assert [(job.id, job.exception) for job in scene.finished] == [("b", "cancelled: by hand")]


def test_a_study_has_nothing_to_withdraw() -> None:
    study = Study(Space.of({"x": (0.0, 1.0)}))
    proposed = study.propose()
    study.withdraw({0}, "not wanted", 0.0)
    assert study.propose() == proposed
