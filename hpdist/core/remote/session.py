"""The worker's end of the worker protocol: a session with its dispatcher, over any transport.

Two threads have a channel each: the calling thread polls for work, runs it and reports the results,
with one call per job; the other thread sends heartbeats, so that a worker with a long evaluation
does not count as dead, and receives commands. A result is kept until it is acknowledged. While
there is no dispatcher both threads retry; with a dispatcher that does not know the worker it
registers again, with its attempts in flight, so that a restarted master takes over running ones.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hpdist.core.attempt.runner import Runner
from hpdist.core.model.errors import (
    PERMANENT_ERRORS,
    UNAUTHENTICATED_ERRORS,
    RunOver,
    TransportError,
)
from hpdist.core.model.events import AttemptResult
from hpdist.core.model.values import Failure, WorkerInfo
from hpdist.core.remote.calls import Calls
from hpdist.core.remote.channel import Channel, Timeouts
from hpdist.core.remote.in_flight import InFlight
from hpdist.core.remote.messages import (
    Message,
    write_message,
)
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.replies import OK, UNREGISTERED, Reply

logger = logging.getLogger(__name__)

#: Maximum number of different failures that a worker logs; the journal has all of them.
MAX_LOGGED = 10


class Session:
    """One worker's session with the dispatchers of one run, from `Register` to `Deregister`.

    Parameters
    ----------
    info, run_id
        The worker, and the run that it works for.
    open_channel
        Returns a new channel; called once in each of the two threads.
    outbox, directory
        The files of results that are not acknowledged yet, and the root of the attempts'
        directories; None for a temporary one.
    """

    def __init__(
        self,
        info: WorkerInfo,
        run_id: str,
        runner: Runner,
        open_channel: Callable[[], Channel],
        outbox: Outbox,
        *,
        directory: Path | None = None,
        timeouts: Timeouts | None = None,
        leave_on_failure: bool = False,
    ) -> None:
        self.info = info
        self.run_id = run_id
        self.runner = runner
        self.directory = directory
        self.timeouts = timeouts or Timeouts()
        self.leave_on_failure = leave_on_failure
        self.in_flight = InFlight(outbox)
        self.finished = 0  #: number of attempts that were run to their end
        self._open_channel = open_channel
        self._work_channel: Channel | None = None
        self._heartbeat_channel: Channel | None = None
        self._calls = Calls(info, self.in_flight)
        self._known_end: str | None = None  #: end of the run when first seen, "" if none
        self._registered = False  #: until then it waits for a dispatcher without limit
        self._logged: set[str] = set()  #: messages of failures that were logged
        self._over = threading.Event()
        self._idle_since = math.inf

    # ------------------------------------------------------------------ the work thread

    def run(self) -> str:
        """Serve until shut down (see `leave`), idle too long or out of contact too long.

        Returns
        -------
        reason
            Why the session ended.

        Raises
        ------
        AuthenticationError, ProtocolMismatch
            If the dispatcher refuses this worker.
        TransportError
            If no dispatcher was reachable for ``timeouts.reconnect_s`` seconds.
        """
        channel = self._work_channel = self._open_channel()
        try:
            self._register(channel)
            self._idle_since = time.monotonic()
            self._thread("heartbeat", self._send_heartbeats)
            if self.info.prefetch:
                self._work_ahead(channel)
            else:
                self._work_in_turn(channel)
            return self.in_flight.leaving or ""
        finally:
            self._over.set()
            for each in (self._heartbeat_channel, channel):
                if each is not None:
                    each.close()
            if self._registered:
                self.deregister()

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        worker_id = self.info.worker_id
        threading.Thread(target=target, name=f"hpdist-{name}-{worker_id}", daemon=True).start()

    def _work_in_turn(self, channel: Channel) -> None:
        """Report a result and get the next job in one call."""
        while not self._is_done():
            self._poll(channel)
            self._work()

    def _work_ahead(self, channel: Channel) -> None:
        """Start the next job at once, while a thread reports results and fetches more jobs."""
        failed: list[BaseException] = []

        def keep_polling() -> None:
            try:
                while not self._is_done():
                    self._poll(channel)
                    self.in_flight.wait_to_call()
            except BaseException as error:  # noqa: BLE001  (the work thread raises it)
                failed.append(error)
            finally:
                self._over.set()
                self.in_flight.wake()

        self._thread("poll", keep_polling)
        while not self._over.is_set():
            if not self._work():
                self.in_flight.wait_for_work()
        if failed:
            raise failed[0]

    def _is_done(self) -> bool:
        idle_s = time.monotonic() - self._idle_since
        if idle_s > self.timeouts.idle_s and not self.in_flight.attempts():
            self.in_flight.leave(f"idle for {self.timeouts.idle_s:g} s", at_once=False)
        return self._may_leave()

    def _may_leave(self) -> bool:
        work = self.in_flight
        return work.abandoned or bool(work.leaving and not work.attempts() and not work.has_unsent)

    def _poll(self, channel: Channel) -> None:
        reply = self._persist(channel, self._calls.poll(self._poll_s()))
        if reply.kind == UNREGISTERED and not self.in_flight.abandoned:
            self._register(channel)

    def _poll_s(self) -> float:
        """Return how long the next poll may wait for work: 0 while there is work to do."""
        work = self.in_flight
        if work.has_work or work.busy or work.leaving:
            return 0.0
        idle_remaining_s = self.timeouts.idle_s - (time.monotonic() - self._idle_since)
        return min(self._calls.settings.poll_s, max(0.0, idle_remaining_s))

    def _work(self) -> bool:
        """Run the next attempt; False if there is none."""
        taken = self.in_flight.start_next()
        if taken is None:
            return False
        assignment, payload, switch = taken
        result = None
        try:
            result = self.runner.run(
                payload,
                assignment,
                directory_root=self.directory,
                on_report=lambda step, loss: self.in_flight.report(assignment, step, loss),
                switch=switch,
            )
        finally:
            self.in_flight.finish(assignment, result)
        self.finished += 1
        self._idle_since = time.monotonic()
        if result is not None and isinstance(result.outcome, Failure):
            self._failed(result, result.outcome)
        return True

    def _failed(self, result: AttemptResult, failure: Failure) -> None:
        """Log a failure on the worker as well: each message once, with its traceback."""
        text = f"job {result.job_id} failed ({failure.kind.value}): {failure.message}"
        if failure.message not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(failure.message)
            logger.warning("%s", f"{text}\n{failure.traceback}".rstrip())
        if self.leave_on_failure:
            logger.error("%s\n%s", failure.message, failure.traceback)
            self.in_flight.leave("an evaluation failed", at_once=False)

    def _register(self, channel: Channel) -> None:
        recovered = self.in_flight.recover()
        reply = self._persist(channel, self._calls.register(results=recovered))
        if reply.settings is not None:
            self._registered = True
            self._known_end = ""
            self._calls.settings = reply.settings
            logger.info("worker %s joined run %s", self.info.worker_id, self.run_id)

    def deregister(self) -> None:
        """Release all attempts with a single call; if it is lost, the lease expires."""
        channel = self._open_channel()
        try:
            if self.in_flight.unreported().results:
                self._calls.exchange(channel, self._calls.poll(0.0))
            channel.call(write_message(self._calls.deregister()))
        except TransportError:
            logger.debug("worker %s left without deregistering", self.info.worker_id)
        finally:
            channel.close()

    # ------------------------------------------------------------------ the heartbeat thread

    def _send_heartbeats(self) -> None:
        channel = self._heartbeat_channel = self._open_channel()
        pause = self.timeouts.first_pause_s
        message = None
        while not (self._over.is_set() or self.in_flight.abandoned):
            # Repeated until there is a reply: the reply that was lost may contain a command.
            message = message or self._calls.heartbeat()
            try:
                self._send_heartbeat(channel, message)
                pause = self.timeouts.first_pause_s
                message = None
            except TransportError as error:
                logger.debug("heartbeat: %s", error)
                self._over.wait(pause * random.uniform(0.5, 1.0))
                pause = self._longer(pause)
        channel.close()

    def _send_heartbeat(self, channel: Channel, message: Message) -> None:
        started = time.monotonic()
        heartbeat_s = self._calls.settings.heartbeat_s
        reply = self._calls.exchange(channel, message)
        if reply.kind == UNREGISTERED:
            # While an evaluation runs no other thread can register the worker.
            if self.in_flight.busy and not self.in_flight.abandoned:
                self._calls.exchange(channel, self._calls.register())
            self._over.wait(min(1.0, heartbeat_s))
        elif time.monotonic() - started < heartbeat_s / 10 and not self.in_flight.leaving:
            self._over.wait(heartbeat_s / 10)

    def _longer(self, pause: float) -> float:
        """Return the next pause between tries: short enough to reconnect within a lease."""
        return min(2 * pause, self.timeouts.longest_pause_s, self._calls.settings.lease_s / 4)

    def leave(self, why: str, *, at_once: bool) -> None:
        """Leave after the running attempt, or at once; from any thread."""
        self.in_flight.leave(why, at_once=at_once)
        if self._work_channel is not None and not self.in_flight.busy:
            self._work_channel.close()  # it may be waiting for work that is no longer wanted

    # ------------------------------------------------------------------ one call

    def _has_ended_since(self, error: TransportError) -> bool:
        """Whether the run has ended since this worker looked for it first.

        A run that had ended before may be resumed by the next master.
        """
        ended_at = error.ended_at if isinstance(error, RunOver) else ""
        if self._known_end is None:
            self._known_end = ended_at
        return ended_at not in ("", self._known_end)

    def _persist(self, channel: Channel, message: Message) -> Reply:
        """Send a message, repeating the same request until there is a reply."""
        pause = self.timeouts.first_pause_s
        logged = False
        self._calls.last_contact = time.monotonic()
        while True:
            try:
                return self._calls.exchange(channel, message)
            except TransportError as error:
                if self._ends_session(error):
                    raise
                if self._may_leave():
                    return Reply(OK, self._calls.epoch)
                if not logged:
                    logged = True
                    logger.warning("%s\n  trying again until it responds", error)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = self._longer(pause)

    def _ends_session(self, error: TransportError) -> bool:
        """Whether ``error`` ends the session; at the end of the run the worker leaves."""
        # an unauthenticated peer does not stop a worker that was registered before
        unauthenticated = isinstance(error, UNAUTHENTICATED_ERRORS)
        if isinstance(error, PERMANENT_ERRORS) and not (unauthenticated and self._registered):
            return True
        if self._has_ended_since(error):
            self.in_flight.leave("finished", at_once=True)
        silent_s = time.monotonic() - self._calls.last_contact
        late = self._registered and silent_s > self.timeouts.reconnect_s
        return late and not self._may_leave()
