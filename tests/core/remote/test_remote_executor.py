"""Workers that dial in, without any network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpdist.core.model.events import (
    AttemptFinished,
    AttemptReleased,
    ConnectionLost,
    Event,
    ProgressReported,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Recall,
    Registered,
    Reregister,
    ShutDown,
)
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.testing.executors import payload_of

ONE, TWO = "aaaaaaaa", "bbbbbbbb"


class Desk:
    """A remote executor, the batches of events that it posted, and threads that call it."""

    def __init__(self) -> None:
        self.executor = RemoteExecutor(Timing(), epoch=3, run_id="run")
        self.batches: list[list[Event]] = []
        self._posted = threading.Condition()
        self._pool = ThreadPoolExecutor(8)
        self.executor.start(self._post)

    def _post(self, events: Sequence[Event]) -> None:
        with self._posted:
            self.batches.append(list(events))
            self._posted.notify_all()

    def message(self, kind: str, request: int, **more: Any) -> dict[str, Any]:
        return {
            "v": 1, "run": "run", "epoch": 0, "worker": "w", "incarnation": ONE,
            "request": request, "kind": kind, "wait": 30.0, **more,
        }  # fmt: skip

    def say(self, kind: str, request: int, **more: Any) -> dict[str, Any]:
        return self.executor.exchange(self.message(kind, request, **more))

    def call(self, kind: str, request: int, **more: Any) -> Future[dict[str, Any]]:
        """Say it in a thread, once the loop was told of it."""
        before = len(self.batches)
        future = self._pool.submit(self.say, kind, request, **more)
        self.wait_for(lambda: len(self.batches) > before)
        return future

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._posted:
            assert self._posted.wait_for(condition, 20.0)

    def join(self, incarnation: str = ONE, request: int = 0) -> dict[str, Any]:
        future = self.call("register", request, info={}, incarnation=incarnation)
        self.executor.perform([Registered("w", incarnation)])
        return future.result(20)

    def close(self) -> None:
        self.executor.close(5.0)
        self._pool.shutdown()

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


def launch(job: int, attempt: int = 1) -> Launch:
    return Launch("w", ONE, job, attempt, payload_of({"x": job}, job))


def ack(job: int, attempt: int = 1) -> Acknowledge:
    return Acknowledge("w", ONE, job, attempt)


def done(job: int, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"job_id": job, "attempt": attempt, "outcome": {"loss": 0.5}, **more}


def work(reply: dict[str, Any]) -> list[tuple[int, int]]:
    return [(item["job_id"], item["attempt"]) for item in reply.get("assignments", ())]


# ----------------------------------------------------------------------- registration


def test_a_registration_is_answered_with_the_settings_when_the_loop_accepts_it(desk: Desk) -> None:
    info = {"host": "node1", "pid": 12, "slots": 2, "prefetch": 1, "device": "gpu0", "details": {}}
    future = desk.call("register", 0, info=info, in_flight=[[4, 2]])
    (joined,) = desk.batches[0]
    assert isinstance(joined, WorkerJoined)
    assert (joined.worker.worker_id, joined.worker.host, joined.worker.slots) == ("w", "node1", 2)
    assert joined.assigned == ((4, 2),)
    desk.executor.perform([Registered("w", ONE)])
    reply = future.result(20)
    assert (reply["kind"], reply["epoch"]) == ("ok", 3)
    settings = {"lease_s": 30.0, "heartbeat_s": 5.0, "poll_s": 10.0}
    assert reply["settings"] == settings


def test_work_that_comes_with_the_registration_is_in_its_reply(desk: Desk) -> None:
    future = desk.call("register", 0, info={})
    desk.executor.perform([Registered("w", ONE), launch(7)])
    assert future.result(20)["assignments"] == [
        {"job_id": 7, "attempt": 1, "payload": payload_of({"x": 7}, 7).to_json()}
    ]


def test_a_registration_not_accepted_in_time_is_answered_and_loses_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpdist.core.remote.executor._REGISTER_WITHIN_S", 0.01)
    assert desk.say("register", 0, info={})["kind"] == "unregistered"
    desk.executor.perform([Registered("w", ONE), launch(1)])
    reply = desk.say("register", 1, info={})
    assert (reply["kind"], work(reply)) == ("ok", [(1, 1)])


def test_an_unknown_worker_is_asked_to_register_on_both_channels(desk: Desk) -> None:
    poll, heartbeat = desk.call("poll", 5), desk.call("heartbeat", 5)
    desk.executor.perform([Reregister("w", ONE)])
    assert [poll.result(20)["kind"], heartbeat.result(20)["kind"]] == [
        "unregistered",
        "unregistered",
    ]
    assert desk.join(request=6)["kind"] == "ok"


def test_work_for_a_worker_that_was_given_up_is_dropped(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1)])
    assert work(desk.say("poll", 1)) == [(1, 1)]
    desk.executor.perform([launch(2), Reregister("w", ONE)])
    assert work(desk.say("poll", 1)) == []
    assert desk.say("poll", 2)["kind"] == "unregistered"
    assert work(desk.join(request=3)) == []


# ----------------------------------------------------------------- polls and heartbeats


def test_a_poll_waits_for_work(desk: Desk) -> None:
    desk.join()
    future = desk.call("poll", 1)
    assert not future.done()
    desk.executor.perform([launch(1)])
    assert work(future.result(20)) == [(1, 1)]


def test_a_poll_returns_empty_when_its_wait_is_over(desk: Desk) -> None:
    desk.join()
    reply = desk.say("poll", 1, wait=0.01)
    assert reply == {"v": 1, "kind": "ok", "epoch": 3}


def test_a_result_and_its_sign_of_life_are_one_batch_of_events(desk: Desk) -> None:
    desk.join()
    failed = {"failure": "exception", "message": "boom", "traceback": "at line 3"}
    results = [done(1, seconds=2.5, started=9.0, output="out"), done(2, outcome=failed)]
    desk.say("poll", 1, wait=0, results=results, released=[[3, 1, "preempted"]])
    seen, first, second, released = desk.batches[-1]
    assert seen == WorkerSeen("w", ONE)
    assert isinstance(first, AttemptFinished)
    assert isinstance(second, AttemptFinished)
    assert first.result.outcome == Success(0.5)
    assert (first.result.seconds, first.result.started, first.result.output) == (2.5, 9.0, "out")
    assert second.result.outcome == Failure(FailureKind.EXCEPTION, "boom", "at line 3")
    assert released == AttemptReleased("w", ONE, 3, 1, "preempted")


def test_acknowledgement_and_next_work_of_one_batch_come_in_one_reply(desk: Desk) -> None:
    desk.join()
    future = desk.call("poll", 1, results=[done(1)])
    desk.executor.perform([ack(1), launch(2)])
    reply = future.result(20)
    assert (reply["acknowledged"], work(reply)) == ([(1, 1)], [(2, 1)])


def test_a_result_is_answered_when_it_is_acknowledged_though_there_is_no_work(desk: Desk) -> None:
    desk.join()
    future = desk.call("poll", 1, results=[done(1), done(2)])
    desk.executor.perform([ack(1)])
    desk.executor.perform([launch(9)])
    assert not future.done()
    desk.executor.perform([ack(2)])
    reply = future.result(20)
    assert (reply["acknowledged"], work(reply)) == ([(1, 1), (2, 1)], [(9, 1)])


def test_commands_arrive_by_the_heartbeat_at_once(desk: Desk) -> None:
    desk.join()
    future = desk.call("heartbeat", 0, in_flight=[[1, 1], [2, 1]])
    assert desk.batches[-1] == [WorkerSeen("w", ONE, ((1, 1), (2, 1)))]
    desk.executor.perform([Cancel("w", ONE, 1, 1), Recall("w", ONE, 2, 1)])
    reply = future.result(20)
    assert (reply["cancel"], reply["recall"]) == ([(1, 1)], [(2, 1)])


def test_reports_come_as_progress(desk: Desk) -> None:
    desk.join()
    desk.say("heartbeat", 0, wait=0, progress=[[1, 1, 10, 0.25]], released=[[2, 1, "recalled"]])
    assert desk.batches[-1][1:] == [
        ProgressReported("w", ONE, 1, 1, 10, 0.25),
        AttemptReleased("w", ONE, 2, 1, "recalled"),
    ]


@pytest.mark.parametrize("kind", [Cancel, Recall])
def test_work_withdrawn_before_it_was_fetched_is_handed_back(desk: Desk, kind: Any) -> None:
    desk.join()
    desk.executor.perform([launch(1), launch(2)])
    desk.executor.perform([kind("w", ONE, 1, 1)])
    (released,) = desk.batches[-1]
    assert isinstance(released, AttemptReleased)
    assert (released.job_id, released.attempt) == (1, 1)
    assert work(desk.say("poll", 1)) == [(2, 1)]
    heartbeat = desk.say("heartbeat", 0, wait=0)
    assert heartbeat == {"v": 1, "kind": "ok", "epoch": 3}


def test_a_shutdown_wakes_both_channels_and_stays_in_force(desk: Desk) -> None:
    desk.join()
    poll, heartbeat = desk.call("poll", 1), desk.call("heartbeat", 0)
    desk.executor.perform([ShutDown("w", ONE, drain=True, reason="the end")])
    expected = {"drain": True, "reason": "the end"}
    assert poll.result(20)["shutdown"] == heartbeat.result(20)["shutdown"] == expected
    assert desk.say("heartbeat", 1, wait=0)["shutdown"] == expected


def test_deregistering_releases_attempts_and_is_answered_at_once(desk: Desk) -> None:
    desk.join()
    heartbeat = desk.call("heartbeat", 0)
    assert desk.say("deregister", 1, reason="SIGTERM", released=[[1, 1, ""]])["kind"] == "ok"
    assert desk.batches[-1] == [
        AttemptReleased("w", ONE, 1, 1, ""),
        WorkerLeft("w", ONE, "SIGTERM"),
    ]
    assert heartbeat.result(20)["kind"] == "ok"


# ------------------------------------------------------------------------- repetition


def test_the_same_request_gets_the_same_reply_until_the_next(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1)])
    first = desk.say("poll", 1)
    told = len([event for event in desk.events if not isinstance(event, WorkerSeen)])
    desk.executor.perform([launch(2)])
    assert desk.say("poll", 1) == first
    assert desk.say("poll", 1) == first
    assert work(desk.say("poll", 2)) == [(2, 1)]
    assert len([event for event in desk.events if not isinstance(event, WorkerSeen)]) == told


def test_a_repeated_result_is_told_to_the_loop_once(desk: Desk) -> None:
    desk.join()
    first = desk.call("poll", 1, results=[done(1)])
    second = desk.call("poll", 1, results=[done(1)])
    desk.executor.perform([ack(1), launch(2)])
    assert first.result(20) == second.result(20)
    assert work(second.result(20)) == [(2, 1)]
    assert len([event for event in desk.events if isinstance(event, AttemptFinished)]) == 1


def test_work_reaches_its_worker_though_a_message_comes_after_its_own_repetition(
    desk: Desk,
) -> None:
    desk.join()
    repeated = desk.call("poll", 1)
    desk.call("poll", 1)  # the first one, from a connection that was given up
    desk.executor.perform([launch(2)])
    assert work(repeated.result(20)) == [(2, 1)]


def test_a_message_older_than_the_newest_changes_nothing(desk: Desk) -> None:
    desk.join()
    waiting = desk.call("poll", 5)
    stale = desk.say("poll", 4, results=[done(1)])
    assert stale == {"v": 1, "kind": "ok", "epoch": 3}
    desk.executor.perform([launch(2)])
    assert work(waiting.result(20)) == [(2, 1)]
    assert not [event for event in desk.events if isinstance(event, AttemptFinished)]


def test_the_channels_count_their_requests_apart(desk: Desk) -> None:
    desk.join(request=7)
    desk.executor.perform([launch(1), Cancel("w", ONE, 9, 1)])
    assert desk.say("heartbeat", 1)["cancel"] == [(9, 1)]
    assert work(desk.say("poll", 8)) == [(1, 1)]


def test_work_in_a_lost_reply_comes_again_with_the_next_registration(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1), launch(2)])
    assert work(desk.say("poll", 1)) == [(1, 1), (2, 1)]
    future = desk.call("register", 2, info={}, in_flight=[[2, 1]])
    desk.executor.perform([Registered("w", ONE)])
    assert work(future.result(20)) == [(1, 1)]


@given(st.lists(st.sampled_from(["launch", "ask", "lose the reply"]), max_size=30))
def test_no_work_is_lost_or_given_twice_whatever_replies_get_lost(actions: list[str]) -> None:
    desk = Desk()
    desk.join()
    launched, received, request = 0, [], 1
    for action in [*actions, "ask", "ask"]:
        if action == "launch":
            desk.executor.perform([launch(launched)])
            launched += 1
            continue
        reply = desk.say("poll", request, wait=0)
        if action == "ask":
            received += work(reply)
            request += 1
    desk.close()
    assert received == [(job, 1) for job in range(launched)]


# ------------------------------------------------------------- other processes, other runs


def test_a_new_process_under_the_same_name_replaces_the_old_one(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1)])
    old = desk.call("heartbeat", 0)
    desk.join(TWO)
    assert old.result(20)["kind"] == "unregistered"
    assert work(desk.say("poll", 1, incarnation=TWO, wait=0)) == []


def test_a_process_that_was_replaced_is_refused(desk: Desk) -> None:
    desk.join()
    desk.join(TWO)
    assert desk.say("poll", 1)["kind"] == "unregistered"
    reply = desk.say("register", 2, info={})
    assert reply["kind"] == "refused"
    assert "worker id" in reply["message"]


def test_orders_for_another_incarnation_are_dropped(desk: Desk) -> None:
    desk.join(TWO)
    desk.executor.perform([launch(1), Registered("nobody", ONE)])
    assert work(desk.say("poll", 1, incarnation=TWO, wait=0)) == []


def test_a_closed_connection_is_told_only_while_its_process_is_there(desk: Desk) -> None:
    desk.join()
    desk.executor.connection_closed("w", ONE)
    assert desk.batches[-1] == [ConnectionLost("w", ONE)]
    before = len(desk.batches)
    desk.executor.connection_closed("w", TWO)
    desk.executor.connection_closed("nobody", ONE)
    assert len(desk.batches) == before


def test_a_worker_silent_for_long_is_forgotten_when_another_arrives(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.join()
    desk.executor.perform([launch(1)])
    monkeypatch.setattr("hpdist.core.remote.executor._FORGET_AFTER_LEASES", -1)
    desk.say("poll", 1, worker="other", wait=0)
    assert work(desk.say("poll", 1, wait=0)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": "another"}, ["serves run 'run'", "'another'"]),
        ({"v": 2}, ["protocol 1", "2"]),
        ({"v": None}, ["protocol 1"]),
        ({"epoch": 4}, ["epoch 4", "epoch 3"]),
        ({"instance": "another"}, ["started anew"]),
    ],
)
def test_messages_for_others_are_refused_with_both_sides_named(
    desk: Desk, change: dict[str, Any], words: list[str]
) -> None:
    reply = desk.say("poll", 1, wait=0.0, **change)
    assert reply["kind"] == "refused"
    assert all(word in reply["message"] for word in words)
    assert desk.batches == []


# ----------------------------------------------------------------------- hostile input


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("poll", {"epoch": "1"}, "epoch"),
        ("poll", {"epoch": -1}, "epoch"),
        ("poll", {"kind": "shutdown"}, "kind"),
        ("poll", {"kind": None}, "kind"),
        ("poll", {"worker": "../x"}, "worker"),
        ("poll", {"worker": "a" * 129}, "worker"),
        ("poll", {"worker": 7}, "worker"),
        ("poll", {"incarnation": "XYZ"}, "incarnation"),
        ("poll", {"request": True}, "request"),
        ("poll", {"request": 2**60}, "request"),
        ("poll", {"wait": float("inf")}, "wait"),
        ("poll", {"wait": -1}, "wait"),
        ("poll", {"wait": "1"}, "wait"),
        ("poll", {"results": {}}, "results"),
        ("poll", {"results": [3]}, "results[0]"),
        ("poll", {"results": [done(1), {"job_id": 1, "attempt": 1}]}, "results[1].outcome"),
        ("poll", {"results": [done(-1)]}, "results[0].job_id"),
        ("poll", {"results": [done(1, attempt=1.5)]}, "results[0].attempt"),
        ("poll", {"results": [done(1, outcome=None)]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome=[])]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome=5)]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome={"loss": "low"})]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome={"loss": None})]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome={"loss": float("nan")})]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome={"loss": 10**400})]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome={"loss": 1, "evil": 2})]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome={"failure": "nap", "message": ""})]}, "outcome"),
        ("poll", {"results": [done(1, outcome={"failure": "lost"})]}, "results[0].outcome"),
        ("poll", {"results": [done(1, outcome={"failure": "lost", "message": 3})]}, "outcome"),
        ("poll", {"results": [done(1, seconds=-2)]}, "results[0].seconds"),
        ("poll", {"results": [done(1, output=5)]}, "results[0].output"),
        ("poll", {"results": [done(1, output="x" * 70_000)]}, "results[0].output"),
        ("poll", {"released": [[1, 1]]}, "released"),
        ("poll", {"released": [["a", 1, ""]]}, "released"),
        ("heartbeat", {"in_flight": [[1]]}, "in_flight"),
        ("heartbeat", {"in_flight": [[1, 1]] * 5000}, "in_flight"),
        ("heartbeat", {"progress": [[1, 1, 1]]}, "progress"),
        ("heartbeat", {"progress": [[1, 1, 1, "x"]]}, "progress"),
        ("heartbeat", {"progress": [[1, 1, 1, float("nan")]]}, "progress"),
        ("register", {}, "info"),
        ("register", {"info": {"slots": 0}}, "slots"),
        ("register", {"info": {"slots": 10**9}}, "slots"),
        ("register", {"info": {"details": []}}, "details"),
        ("register", {"info": {"host": 5}}, "host"),
        ("deregister", {"reason": 5}, "reason"),
    ],
)
def test_what_cannot_be_understood_is_refused_and_the_field_named(
    desk: Desk, kind: str, change: dict[str, Any], field: str
) -> None:
    reply = desk.executor.exchange(desk.message(kind, 1, wait=0.0) | change)
    assert reply["kind"] == "refused"
    assert field in reply["message"]
    assert len(reply["message"]) < 2000
    assert desk.batches == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = [
    "epoch",
    "worker",
    "incarnation",
    "request",
    "kind",
    "wait",
    "results",
    "released",
    "in_flight",
]


@given(
    st.sampled_from(["register", "poll", "heartbeat", "deregister"]), st.sampled_from(FIELDS), JSON
)
def test_no_value_of_a_field_raises(kind: str, field: str, value: Any) -> None:
    desk = Desk()
    desk.executor.close(0)
    message = desk.message(kind, 1, info={}) | {"wait": 0, field: value}
    assert desk.executor.exchange(message)["kind"] in ("refused", "unregistered")


@given(JSON)
def test_no_outcome_raises(outcome: Any) -> None:
    desk = Desk()
    desk.executor.close(0)
    reply = desk.say("poll", 1, results=[done(1, outcome=outcome)])
    assert reply["kind"] in ("refused", "unregistered")


# -------------------------------------------------------------------------------- end


def test_close_answers_all_who_wait_and_nothing_is_posted_afterwards(desk: Desk) -> None:
    desk.join()
    poll, heartbeat = desk.call("poll", 1), desk.call("heartbeat", 0)
    desk.executor.close(10.0)
    assert poll.result(20)["kind"] == heartbeat.result(20)["kind"] == "unregistered"
    before = len(desk.batches)
    assert desk.say("poll", 2, results=[done(1)])["kind"] == "unregistered"
    assert desk.say("register", 3, info={})["kind"] == "unregistered"
    desk.executor.connection_closed("w", ONE)
    assert len(desk.batches) == before


def test_before_the_start_no_worker_is_registered() -> None:
    executor = RemoteExecutor(Timing(), 1, "run")
    desk = Desk()
    assert executor.exchange(desk.message("poll", 1))["kind"] == "unregistered"
    desk.close()


def test_many_workers_at_once_each_get_their_own_work(desk: Desk) -> None:
    def serve(name: str) -> list[int]:
        got = []
        for request in range(1, 21):
            reply = desk.say("poll", request, worker=name)
            got += [item["job_id"] for item in reply.get("assignments", ())]
        return got

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(serve, f"w{number}") for number in range(8)]
        for job in range(20):
            desk.wait_for(
                lambda job=job: all(
                    desk.events.count(WorkerSeen(f"w{number}", ONE)) > job for number in range(8)
                )
            )
            desk.executor.perform(
                [
                    Launch(f"w{number}", ONE, 100 * number + job, 1, payload_of({}))
                    for number in range(8)
                ]
            )
        for number, future in enumerate(futures):
            assert future.result(30) == [100 * number + job for job in range(20)]
