"""The simulated cluster must really be as bad as it says: other tests rest on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpdist.core.model.errors import StateError
from hpdist.core.model.events import (
    AttemptFinished,
    AttemptReleased,
    Event,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Recall,
    Reregister,
    ShutDown,
)
from hpdist.core.model.values import Failure, Success
from hpdist.testing.executors import payload_of
from hpdist.testing.simulate import (
    RESEND_S,
    Faults,
    SimulatedCluster,
    crashing,
    quadratic,
)
from hpdist.testing.simulated_time import MAX_EMPTY_TAKES, SimulatedInbox

SEEN = WorkerSeen("a", "a.1")
PAYLOAD = payload_of({"x": 0.5}, budget=2.0)


def ten_seconds(payload: Any, rng: np.random.Generator) -> tuple[Success, float]:
    return Success(1.0), 10.0


def cluster(inbox: SimulatedInbox, faults: Faults | None = None, **more: Any) -> SimulatedCluster:
    made = SimulatedCluster(
        inbox, ten_seconds, faults=faults or Faults(delay_s=0.001), **{"workers": 1, **more}
    )
    made.start(inbox.post)
    return made


def until(inbox: SimulatedInbox, end: float) -> list[tuple[float, Event]]:
    """Everything that arrives up to second ``end``."""
    events = []
    while inbox.now() < end:
        events += inbox.take(end)
    return events


def of(kind: type[Any], events: list[tuple[float, Event]]) -> list[Any]:
    return [event for _, event in events if isinstance(event, kind)]


def launch(job_id: int, name: str = "w0", life: int = 1) -> Launch:
    return Launch(name, f"{name}.{life}", job_id, 1, PAYLOAD)


# ----------------------------------------------------------------------- time


def test_time_jumps_to_what_happens_next_and_no_further_than_asked() -> None:
    inbox = SimulatedInbox()
    inbox.after(5.0, lambda: inbox.post([SEEN]))
    assert (inbox.take(3.0), inbox.now()) == ([], 3.0)
    assert (inbox.take(None), inbox.now()) == ([(5.0, SEEN)], 5.0)
    assert inbox.wall() - SimulatedInbox().wall() == 5.0


def test_events_at_one_moment_come_in_the_order_in_which_they_were_made() -> None:
    inbox = SimulatedInbox()
    events = [WorkerSeen("a", str(number)) for number in range(5)]
    for event in events:
        inbox.after(1.0, lambda event=event: inbox.post([event]))
    inbox.after(0.5, lambda: None)
    assert [event for _, event in until(inbox, 2.0)] == events


def test_time_never_goes_back() -> None:
    inbox = SimulatedInbox()
    inbox.after(5.0, lambda: inbox.post([SEEN]))
    inbox.take(None)
    assert (inbox.take(2.0), inbox.now()) == ([], 5.0)


def test_waiting_for_ever_for_nothing_is_an_error_not_a_hang() -> None:
    with pytest.raises(StateError, match="cannot continue"):
        SimulatedInbox().take(None)


def test_looking_again_and_again_at_the_same_moment_is_an_error_not_a_hang() -> None:
    inbox = SimulatedInbox()
    for _ in range(MAX_EMPTY_TAKES):
        inbox.take(0.0)
    with pytest.raises(StateError, match="the loop spins"):
        inbox.take(0.0)


def test_what_was_not_taken_is_lost_with_its_reader() -> None:
    inbox = SimulatedInbox()
    inbox.post([SEEN])
    inbox.forget()
    assert inbox.take(0.0) == []


# ----------------------------------------------------------------------- messages


def arrivals(faults: Faults, n: int = 2000) -> dict[float, int]:
    """When which of ``n`` messages that are sent at once arrive."""
    inbox = SimulatedInbox()
    made = SimulatedCluster(inbox, ten_seconds, workers=1, faults=faults)
    made.stop()
    times: dict[float, int] = {}
    for number in range(n):
        made.deliver(lambda number=number: times.update({inbox.now(): number}))
    inbox.take(1000.0)
    return times


def test_a_good_network_delivers_each_message_once_and_soon() -> None:
    times = arrivals(Faults(delay_s=0.05))
    assert len(times) == 2000
    assert 0.045 < np.mean(list(times)) < 0.055
    assert sorted(times.values()) == list(range(2000))


def test_a_bad_network_doubles_delays_and_reorders_but_loses_for_a_while_only() -> None:
    doubled = arrivals(Faults(doubled=0.25))
    assert 2400 < len(doubled) < 2600
    late = arrivals(Faults(delay_s=0.05, lost=0.25))
    assert len(late) == 2000
    assert 400 < sum(time >= RESEND_S for time in late) < 600
    assert list(late.values()) != sorted(late.values())


# ----------------------------------------------------------------------- workers


def test_a_worker_joins_beats_runs_and_repeats_its_result_until_it_is_acknowledged() -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox, slots=2)
    joined = of(WorkerJoined, until(inbox, 1.5))
    assert [event.worker.slots for event in joined] == [2]
    made.perform([launch(0), launch(1), launch(0)])
    events = until(inbox, 30.0)
    finished = Counter(event.result.job_id for event in of(AttemptFinished, events))
    assert made.started == [(0, 1), (1, 1)]
    assert min(finished[0], finished[1]) >= 3, "it gave up before it was acknowledged"
    assert len(of(WorkerSeen, events)) >= 5
    made.perform([Acknowledge("w0", "w0.1", job_id, 1) for job_id in (0, 1)])
    until(inbox, 31.0)
    assert of(AttemptFinished, until(inbox, 60.0)) == []


def test_work_ahead_waits_and_may_be_recalled_but_what_runs_may_only_be_cancelled() -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox, prefetch=1)
    until(inbox, 1.5)
    made.perform([launch(0)])
    until(inbox, 1.7)
    made.perform([launch(1)])
    until(inbox, 2.0)
    assert made.started == [(0, 1)]
    made.perform([Recall("w0", "w0.1", 0, 1), Recall("w0", "w0.1", 1, 1)])
    released = of(AttemptReleased, until(inbox, 3.0))
    assert [event.job_id for event in released] == [1]
    made.perform([Cancel("w0", "w0.1", 0, 1)])
    assert [event.job_id for event in of(AttemptReleased, until(inbox, 4.0))] == [0]
    assert of(AttemptFinished, until(inbox, 40.0)) == []


def test_a_worker_introduces_itself_again_with_what_it_holds() -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox)
    until(inbox, 1.5)
    made.perform([launch(0)])
    until(inbox, 2.0)
    made.perform([Reregister("w0", "w0.1")])
    (joined,) = of(WorkerJoined, until(inbox, 3.0))
    assert joined.assigned == ((0, 1),)


def test_a_worker_that_dies_comes_back_as_another_that_knows_nothing() -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox)
    until(inbox, 1.5)
    made.perform([launch(0)])
    until(inbox, 2.0)
    made.workers["w0"].die()
    made.perform([launch(1)])
    events = until(inbox, 60.0)
    joined = of(WorkerJoined, events)
    assert [(event.worker.incarnation, event.assigned) for event in joined] == [("w0.2", ())]
    assert of(AttemptFinished, events) == []
    assert made.started == [(0, 1)], "an order for the dead was obeyed"


def test_a_frozen_worker_is_silent_and_then_goes_on_where_it_was() -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox, Faults(delay_s=0.001, freeze_s=100.0))
    until(inbox, 1.5)
    made.perform([launch(0)])
    until(inbox, 2.0)
    made.workers["w0"].freeze()
    events = until(inbox, 2000.0)
    first = min(at for at, event in events if isinstance(event, AttemptFinished))
    before = [at for at, _ in events if 2.0 < at < first - 0.1]
    assert first > 12.0
    assert not before, "it spoke while it was frozen"
    assert of(WorkerJoined, events) == []


def test_a_dismissed_worker_leaves_when_its_hands_are_empty() -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox)
    until(inbox, 1.5)
    made.perform([ShutDown("w0", "w0.1", reason="done")])
    left = of(WorkerLeft, until(inbox, 3.0))
    assert [event.reason for event in left] == ["done"]


@pytest.mark.parametrize(
    ("faults", "happened"),
    [
        (Faults(kill_every_s=20.0), lambda made, events: made.workers["w0"].life > 5),
        (
            Faults(freeze_every_s=50.0, freeze_s=20.0),
            lambda made, events: len(of(WorkerSeen, events)) < 175,
        ),
        (Faults(), lambda made, events: len(of(WorkerSeen, events)) >= 195),
    ],
    ids=["kills", "freezes", "neither"],
)
def test_faults_happen_as_often_as_asked(
    faults: Faults, happened: Callable[[Any, Any], bool]
) -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox, faults)
    assert happened(made, until(inbox, 1000.0))


def test_after_close_and_retirement_nothing_is_heard() -> None:
    inbox = SimulatedInbox()
    made = cluster(inbox)
    until(inbox, 1.5)
    made.close(1.0)
    assert until(inbox, 20.0) == []
    made.stop()
    with pytest.raises(StateError):
        inbox.take(None)


# ----------------------------------------------------------------------- evaluations


def test_the_bowl_is_lower_in_the_middle_and_at_larger_budgets() -> None:
    rng = np.random.default_rng(0)
    (middle, _), (off, _) = (quadratic(replace(PAYLOAD, config={"x": x}), rng) for x in (0.0, 1.0))
    larger, _ = quadratic(replace(PAYLOAD, config={"x": 0.0}, budget=4.0), rng)
    assert larger.loss < middle.loss < off.loss


def test_a_share_of_attempts_crashes() -> None:
    rng = np.random.default_rng(0)
    outcomes = [crashing(0.25)(PAYLOAD, rng)[0] for _ in range(1000)]
    assert 200 < sum(isinstance(outcome, Failure) for outcome in outcomes) < 300
