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
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Recall,
    Registered,
    Reregister,
    ShutDown,
)
from hpdist.core.model.values import Failure, FailureKind, Success, Timing
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
        future = self.call("hello", request, info={}, incarnation=incarnation)
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
    return [(item["job"], item["attempt"]) for item in reply["work"]]


# ----------------------------------------------------------------------- introduction


def test_hello_is_answered_with_the_terms_when_the_loop_welcomes(desk: Desk) -> None:
    info = {"host": "node1", "pid": 12, "slots": 2, "prefetch": 1, "device": "gpu0", "details": {}}
    future = desk.call("hello", 0, info=info, holds=[[4, 2]])
    (joined,) = desk.batches[0]
    assert isinstance(joined, WorkerJoined)
    assert (joined.worker.worker_id, joined.worker.host, joined.worker.slots) == ("w", "node1", 2)
    assert joined.assigned == ((4, 2),)
    desk.executor.perform([Registered("w", ONE)])
    reply = future.result(20)
    assert (reply["kind"], reply["epoch"]) == ("ok", 3)
    terms = {"lease_s": 30.0, "heartbeat_s": 5.0, "poll_s": 10.0, "book": ""}
    assert reply["terms"] == terms


def test_work_that_comes_with_the_welcome_is_in_its_reply(desk: Desk) -> None:
    future = desk.call("hello", 0, info={})
    desk.executor.perform([Registered("w", ONE), launch(7)])
    assert future.result(20)["work"] == [
        {"job": 7, "attempt": 1, "payload": payload_of({"x": 7}, 7).to_json()}
    ]


def test_hello_without_a_welcome_in_time_says_unknown_and_loses_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpdist.core.remote.executor._WELCOME_WITHIN_S", 0.01)
    assert desk.say("hello", 0, info={})["kind"] == "unknown"
    desk.executor.perform([Registered("w", ONE), launch(1)])
    reply = desk.say("hello", 1, info={})
    assert (reply["kind"], work(reply)) == ("ok", [(1, 1)])


def test_an_unknown_worker_is_told_to_introduce_itself_on_both_channels(desk: Desk) -> None:
    step, beat = desk.call("step", 5), desk.call("beat", 5)
    desk.executor.perform([Reregister("w", ONE)])
    assert [step.result(20)["kind"], beat.result(20)["kind"]] == ["unknown", "unknown"]
    assert desk.join(request=6)["kind"] == "ok"


def test_work_for_a_worker_that_was_given_up_is_dropped(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1)])
    assert work(desk.say("step", 1)) == [(1, 1)]
    desk.executor.perform([launch(2), Reregister("w", ONE)])
    assert work(desk.say("step", 1)) == []
    assert desk.say("step", 2)["kind"] == "unknown"
    assert work(desk.join(request=3)) == []


# --------------------------------------------------------------------- steps and beats


def test_a_step_waits_for_work(desk: Desk) -> None:
    desk.join()
    future = desk.call("step", 1)
    assert not future.done()
    desk.executor.perform([launch(1)])
    assert work(future.result(20)) == [(1, 1)]


def test_a_step_returns_empty_when_its_wait_is_over(desk: Desk) -> None:
    desk.join()
    reply = desk.say("step", 1, wait=0.01)
    assert (reply["kind"], reply["work"], reply["acks"]) == ("ok", [], [])


def test_a_result_and_its_sign_of_life_are_one_batch_of_events(desk: Desk) -> None:
    desk.join()
    failed = {"failure": "exception", "message": "boom", "traceback": "at line 3"}
    results = [done(1, seconds=2.5, started=9.0, output="out"), done(2, outcome=failed)]
    desk.say("step", 1, wait=0, done=results, released=[[3, 1, "preempted"]])
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
    future = desk.call("step", 1, done=[done(1)])
    desk.executor.perform([ack(1), launch(2)])
    reply = future.result(20)
    assert (reply["acks"], work(reply)) == ([(1, 1)], [(2, 1)])


def test_a_result_is_answered_when_it_is_acknowledged_though_there_is_no_work(desk: Desk) -> None:
    desk.join()
    future = desk.call("step", 1, done=[done(1), done(2)])
    desk.executor.perform([ack(1)])
    desk.executor.perform([launch(9)])
    assert not future.done()
    desk.executor.perform([ack(2)])
    reply = future.result(20)
    assert (reply["acks"], work(reply)) == ([(1, 1), (2, 1)], [(9, 1)])


def test_commands_arrive_by_the_beat_at_once(desk: Desk) -> None:
    desk.join()
    future = desk.call("beat", 0, holds=[[1, 1], [2, 1]])
    assert desk.batches[-1] == [WorkerSeen("w", ONE, ((1, 1), (2, 1)))]
    desk.executor.perform([Cancel("w", ONE, 1, 1), Recall("w", ONE, 2, 1)])
    reply = future.result(20)
    assert (reply["cancel"], reply["recall"]) == ([(1, 1)], [(2, 1)])


def test_reports_come_as_progress(desk: Desk) -> None:
    desk.join()
    desk.say("beat", 0, wait=0, reports=[[1, 1, 10, 0.25]], released=[[2, 1, "recalled"]])
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
    assert work(desk.say("step", 1)) == [(2, 1)]
    beat = desk.say("beat", 0, wait=0)
    assert beat["cancel"] == beat["recall"] == []


def test_a_dismissal_wakes_both_channels_and_stays_in_force(desk: Desk) -> None:
    desk.join()
    step, beat = desk.call("step", 1), desk.call("beat", 0)
    desk.executor.perform([ShutDown("w", ONE, drain=True, reason="the end")])
    expected = {"drain": True, "reason": "the end"}
    assert step.result(20)["dismiss"] == beat.result(20)["dismiss"] == expected
    assert desk.say("beat", 1, wait=0)["dismiss"] == expected


def test_bye_hands_back_and_is_answered_at_once(desk: Desk) -> None:
    desk.join()
    beat = desk.call("beat", 0)
    assert desk.say("bye", 1, reason="SIGTERM", released=[[1, 1, ""]])["kind"] == "ok"
    assert desk.batches[-1] == [
        AttemptReleased("w", ONE, 1, 1, ""),
        WorkerLeft("w", ONE, "SIGTERM"),
    ]
    assert beat.result(20)["kind"] == "ok"


# ------------------------------------------------------------------------- repetition


def test_the_same_request_gets_the_same_reply_until_the_next(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1)])
    first = desk.say("step", 1)
    told = len([event for event in desk.events if not isinstance(event, WorkerSeen)])
    desk.executor.perform([launch(2)])
    assert desk.say("step", 1) == first
    assert desk.say("step", 1) == first
    assert work(desk.say("step", 2)) == [(2, 1)]
    assert len([event for event in desk.events if not isinstance(event, WorkerSeen)]) == told


def test_a_repeated_result_is_told_to_the_loop_once(desk: Desk) -> None:
    desk.join()
    first = desk.call("step", 1, done=[done(1)])
    second = desk.call("step", 1, done=[done(1)])
    desk.executor.perform([ack(1), launch(2)])
    assert first.result(20) == second.result(20)
    assert work(second.result(20)) == [(2, 1)]
    assert len([event for event in desk.events if isinstance(event, AttemptFinished)]) == 1


def test_work_reaches_its_worker_though_a_message_comes_after_its_own_repetition(
    desk: Desk,
) -> None:
    desk.join()
    repeated = desk.call("step", 1)
    desk.call("step", 1)  # the first one, from a connection that was given up
    desk.executor.perform([launch(2)])
    assert work(repeated.result(20)) == [(2, 1)]


def test_a_message_older_than_the_newest_changes_nothing(desk: Desk) -> None:
    desk.join()
    waiting = desk.call("step", 5)
    stale = desk.say("step", 4, done=[done(1)])
    assert (stale["work"], stale["acks"]) == ([], [])
    desk.executor.perform([launch(2)])
    assert work(waiting.result(20)) == [(2, 1)]
    assert not [event for event in desk.events if isinstance(event, AttemptFinished)]


def test_the_channels_count_their_requests_apart(desk: Desk) -> None:
    desk.join(request=7)
    desk.executor.perform([launch(1), Cancel("w", ONE, 9, 1)])
    assert desk.say("beat", 1)["cancel"] == [(9, 1)]
    assert work(desk.say("step", 8)) == [(1, 1)]


def test_work_in_a_lost_reply_comes_again_with_the_next_hello(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1), launch(2)])
    assert work(desk.say("step", 1)) == [(1, 1), (2, 1)]
    future = desk.call("hello", 2, info={}, holds=[[2, 1]])
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
        reply = desk.say("step", request, wait=0)
        if action == "ask":
            received += work(reply)
            request += 1
    desk.close()
    assert received == [(job, 1) for job in range(launched)]


# ------------------------------------------------------------- other processes, other runs


def test_a_new_process_under_the_same_name_replaces_the_old_one(desk: Desk) -> None:
    desk.join()
    desk.executor.perform([launch(1)])
    old = desk.call("beat", 0)
    desk.join(TWO)
    assert old.result(20)["kind"] == "unknown"
    assert work(desk.say("step", 1, incarnation=TWO, wait=0)) == []


def test_a_process_that_was_replaced_is_refused(desk: Desk) -> None:
    desk.join()
    desk.join(TWO)
    assert desk.say("step", 1)["kind"] == "unknown"
    reply = desk.say("hello", 2, info={})
    assert reply["kind"] == "refused"
    assert "worker id" in reply["message"]


def test_orders_for_another_incarnation_are_dropped(desk: Desk) -> None:
    desk.join(TWO)
    desk.executor.perform([launch(1), Registered("nobody", ONE)])
    assert work(desk.say("step", 1, incarnation=TWO, wait=0)) == []


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
    desk.say("step", 1, worker="other", wait=0)
    assert work(desk.say("step", 1, wait=0)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": "another"}, ["serves run 'run'", "'another'"]),
        ({"v": 2}, ["protocol 1", "2"]),
        ({"v": None}, ["protocol 1"]),
        ({"epoch": 4}, ["epoch 4", "epoch 3"]),
        ({"book": "another"}, ["begun anew"]),
    ],
)
def test_messages_for_others_are_refused_with_both_sides_named(
    desk: Desk, change: dict[str, Any], words: list[str]
) -> None:
    reply = desk.say("step", 1, wait=0.0, **change)
    assert reply["kind"] == "refused"
    assert all(word in reply["message"] for word in words)
    assert desk.batches == []


# ----------------------------------------------------------------------- hostile input


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("step", {"epoch": "1"}, "epoch"),
        ("step", {"epoch": -1}, "epoch"),
        ("step", {"kind": "shutdown"}, "kind"),
        ("step", {"kind": None}, "kind"),
        ("step", {"worker": "../x"}, "worker"),
        ("step", {"worker": "a" * 129}, "worker"),
        ("step", {"worker": 7}, "worker"),
        ("step", {"incarnation": "XYZ"}, "incarnation"),
        ("step", {"request": True}, "request"),
        ("step", {"request": 2**60}, "request"),
        ("step", {"wait": float("inf")}, "wait"),
        ("step", {"wait": -1}, "wait"),
        ("step", {"wait": "1"}, "wait"),
        ("step", {"done": {}}, "done"),
        ("step", {"done": [3]}, "done[0]"),
        ("step", {"done": [done(1), {"job_id": 1, "attempt": 1}]}, "done[1].outcome"),
        ("step", {"done": [done(-1)]}, "done[0].job_id"),
        ("step", {"done": [done(1, attempt=1.5)]}, "done[0].attempt"),
        ("step", {"done": [done(1, outcome=None)]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome=[])]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome=5)]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome={"loss": "low"})]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome={"loss": None})]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome={"loss": float("nan")})]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome={"loss": 10**400})]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome={"loss": 1, "evil": 2})]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome={"failure": "nap", "message": ""})]}, "outcome"),
        ("step", {"done": [done(1, outcome={"failure": "lost"})]}, "done[0].outcome"),
        ("step", {"done": [done(1, outcome={"failure": "lost", "message": 3})]}, "outcome"),
        ("step", {"done": [done(1, seconds=-2)]}, "done[0].seconds"),
        ("step", {"done": [done(1, output=5)]}, "done[0].output"),
        ("step", {"done": [done(1, output="x" * 70_000)]}, "done[0].output"),
        ("step", {"released": [[1, 1]]}, "released"),
        ("step", {"released": [["a", 1, ""]]}, "released"),
        ("beat", {"holds": [[1]]}, "holds"),
        ("beat", {"holds": [[1, 1]] * 5000}, "holds"),
        ("beat", {"reports": [[1, 1, 1]]}, "reports"),
        ("beat", {"reports": [[1, 1, 1, "x"]]}, "reports"),
        ("beat", {"reports": [[1, 1, 1, float("nan")]]}, "reports"),
        ("hello", {}, "info"),
        ("hello", {"info": {"slots": 0}}, "slots"),
        ("hello", {"info": {"slots": 10**9}}, "slots"),
        ("hello", {"info": {"details": []}}, "details"),
        ("hello", {"info": {"host": 5}}, "host"),
        ("bye", {"reason": 5}, "reason"),
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
FIELDS = ["epoch", "worker", "incarnation", "request", "kind", "wait", "done", "released", "holds"]


@given(st.sampled_from(["hello", "step", "beat", "bye"]), st.sampled_from(FIELDS), JSON)
def test_no_value_of_a_field_raises(kind: str, field: str, value: Any) -> None:
    desk = Desk()
    desk.executor.close(0)
    message = desk.message(kind, 1, info={}) | {"wait": 0, field: value}
    assert desk.executor.exchange(message)["kind"] in ("refused", "unknown")


@given(JSON)
def test_no_outcome_raises(outcome: Any) -> None:
    desk = Desk()
    desk.executor.close(0)
    reply = desk.say("step", 1, done=[done(1, outcome=outcome)])
    assert reply["kind"] in ("refused", "unknown")


# -------------------------------------------------------------------------------- end


def test_close_answers_all_who_wait_and_nothing_is_posted_afterwards(desk: Desk) -> None:
    desk.join()
    step, beat = desk.call("step", 1), desk.call("beat", 0)
    desk.executor.close(10.0)
    assert step.result(20)["kind"] == beat.result(20)["kind"] == "unknown"
    before = len(desk.batches)
    assert desk.say("step", 2, done=[done(1)])["kind"] == "unknown"
    assert desk.say("hello", 3, info={})["kind"] == "unknown"
    desk.executor.connection_closed("w", ONE)
    assert len(desk.batches) == before


def test_before_the_start_workers_are_told_unknown() -> None:
    executor = RemoteExecutor(Timing(), 1, "run")
    desk = Desk()
    assert executor.exchange(desk.message("step", 1))["kind"] == "unknown"
    desk.close()


def test_many_workers_at_once_each_get_their_own_work(desk: Desk) -> None:
    def serve(name: str) -> list[int]:
        got = []
        for request in range(1, 21):
            reply = desk.say("step", request, worker=name)
            got += [item["job"] for item in reply["work"]]
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
