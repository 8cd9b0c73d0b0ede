"""A worker's conversation with its dispatcher, whatever carries it.

Two threads, each with a channel of its own: the calling thread takes work, runs it and hands in
what came of it, in one call a job; the other one beats, so that a long evaluation is not taken
for a dead worker, and receives commands. A result is kept until it was acknowledged. When the
dispatcher goes away both go on trying; one that does not know the worker is told again who it is
and what it holds, so that a restarted master takes over what still runs.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpdist.core.attempt.runner import Runner
from hpdist.core.model.errors import (
    PERMANENT_ERRORS,
    UNAUTHENTICATED_ERRORS,
    RunOver,
    TransportError,
)
from hpdist.core.model.events import Assignment
from hpdist.core.model.values import Failure, Timing, WorkerInfo
from hpdist.core.remote.channel import Channel, Patience
from hpdist.core.remote.in_flight import Hands
from hpdist.core.remote.outbox import Spool

logger = logging.getLogger(__name__)

#: Different failures that a worker shows of itself; the journal has them all.
MAX_TOLD = 10


class Session:
    """One worker's life with the dispatchers of one run, from hello to bye.

    Parameters
    ----------
    info, run_id
        Who calls, and for which run.
    open_channel
        Makes a channel; called once in each of the two threads.
    spool, directory
        Where results are until they are acknowledged, and the root of the attempts' directories;
        None for a temporary one.
    """

    def __init__(
        self,
        info: WorkerInfo,
        run_id: str,
        runner: Runner,
        open_channel: Callable[[], Channel],
        spool: Spool,
        *,
        directory: Path | None = None,
        patience: Patience | None = None,
        leave_on_failure: bool = False,
    ) -> None:
        self.info, self.run_id, self.runner = info, run_id, runner
        self.directory, self.patience = directory, patience or Patience()
        self.hands, self.leave_on_failure = Hands(spool), leave_on_failure
        self.finished = 0  #: how many attempts were run to their end
        self._open_channel = open_channel
        self._stepping: Channel | None = None
        self._beating: Channel | None = None
        self._epoch = 0
        self._book = ""  #: which run of this name; what is in hand means nothing to others
        self._terms = vars(Timing())
        self._known_end: str | None = None  #: when the run had ended at the first look, if it had
        self._welcomed = False  #: until then it waits without limit
        self._told: set[str] = set()  #: messages of failures that were shown
        self._over = threading.Event()
        self._last_contact = time.monotonic()
        self._idle_since = math.inf

    # ------------------------------------------------------------------ the thread that works

    def run(self) -> str:
        """Serve until dismissed, told to leave, idle too long or out of contact too long.

        Returns
        -------
        reason
            Why it ended.

        Raises
        ------
        AuthenticationError, ProtocolMismatch
            If the dispatcher refuses this worker.
        TransportError
            If no dispatcher was there for ``patience.reconnect_s`` seconds.
        """
        channel = self._stepping = self._open_channel()
        try:
            self._hello(channel)
            self._idle_since = time.monotonic()
            self._thread("beat", self._beat)
            if self.info.prefetch:
                self._work_ahead(channel)
            else:
                self._work_in_turn(channel)
            return self.hands.leaving or ""
        finally:
            self._over.set()
            for open_one in (self._beating, channel):
                if open_one is not None:
                    open_one.close()
            if self._welcomed:
                self.say_good_bye()

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        worker_id = self.info.worker_id
        threading.Thread(target=target, name=f"hpdist-{name}-{worker_id}", daemon=True).start()

    def _work_in_turn(self, channel: Channel) -> None:
        """Hand in a result and get the next job in one call."""
        while not self._done():
            self._step(channel)
            self._work()

    def _work_ahead(self, channel: Channel) -> None:
        """Begin the next job at once, while a thread hands in results and fetches more jobs."""
        failed: list[BaseException] = []

        def carry() -> None:
            try:
                while not self._done():
                    self._step(channel)
                    self.hands.wait_to_talk()
            except BaseException as error:  # noqa: BLE001  (the thread that works raises it)
                failed.append(error)
            finally:
                self._over.set()
                self.hands.wake()

        self._thread("link", carry)
        while not self._over.is_set():
            if not self._work():
                self.hands.wait_for_work()
        if failed:
            raise failed[0]

    def _done(self) -> bool:
        hands = self.hands
        if time.monotonic() - self._idle_since > self.patience.idle_s and not hands.holds():
            hands.leave(f"idle for {self.patience.idle_s:g} s", at_once=False)
        return self._may_go()

    def _may_go(self) -> bool:
        hands = self.hands
        return hands.abandoned or bool(hands.leaving and not hands.holds() and not hands.owes)

    def _step(self, channel: Channel) -> None:
        hands = self.hands
        idle_left = self.patience.idle_s - (time.monotonic() - self._idle_since)
        calm = not (hands.has_work or hands.busy or hands.leaving)
        wait = min(self._terms["poll_s"], max(0.0, idle_left)) if calm else 0.0
        message = self._message("step", wait=wait, **hands.to_tell())
        reply = self._persist(channel, message)
        if reply["kind"] == "unknown" and not hands.abandoned:
            self._hello(channel)

    def _work(self) -> bool:
        """Run the next attempt in hand; False if there is none."""
        taken = self.hands.begin()
        if taken is None:
            return False
        held, payload, switch = taken
        result = None
        try:
            result = self.runner.run(
                payload,
                held,
                directory_root=self.directory,
                on_report=lambda step, loss: self.hands.report(held, step, loss),
                switch=switch,
            )
        finally:
            self.hands.finish(held, result)
        self.finished += 1
        if result is not None and isinstance(result.outcome, Failure):
            self._tell_failure(held, result.outcome)
        self._idle_since = time.monotonic()
        if self.leave_on_failure and result is not None and isinstance(result.outcome, Failure):
            logger.error("%s\n%s", result.outcome.message, result.outcome.traceback)
            self.hands.leave("an evaluation failed", at_once=False)
        return True

    def _tell_failure(self, held: Assignment, failure: Failure) -> None:
        """Say it here too, where the code is: each message once, in full."""
        text = f"job {held[0]} failed ({failure.kind.value}): {failure.message}"
        if failure.message not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(failure.message)
            logger.warning("%s", f"{text}\n{failure.traceback}".rstrip())

    def _hello(self, channel: Channel) -> None:
        reply = self._persist(channel, self._introduction(done=self.hands.inherit()))
        if "terms" in reply:
            self._welcomed, self._known_end = True, ""
            self._terms = reply["terms"]
            self._book = self._terms.get("book", "")
            logger.info("worker %s joined run %s", self.info.worker_id, self.run_id)

    def _introduction(self, **more: Any) -> dict[str, Any]:
        info = {k: v for k, v in vars(self.info).items() if k not in ("worker_id", "incarnation")}
        return self._message("hello", info=info, holds=self.hands.holds(), **more)

    def say_good_bye(self) -> None:
        """Hand everything back, once and without insisting: a lease covers for it."""
        channel = self._open_channel()
        try:
            if self.hands.to_tell()["done"]:
                self._exchange(channel, self._message("step", wait=0.0, **self.hands.to_tell()))
            message = self._message("bye", reason=self.hands.leaving or "")
            channel.call(message | {"released": self.hands.to_tell()["released"]})
        except TransportError:
            logger.debug("worker %s left without saying so", self.info.worker_id)
        finally:
            channel.close()

    # ------------------------------------------------------------------ the thread that beats

    def _beat(self) -> None:
        channel = self._beating = self._open_channel()
        pause, message = self.patience.first_pause_s, None
        while not (self._over.is_set() or self.hands.abandoned):
            # The same one until it is answered: a command may be in the answer that was lost.
            message = message or self._beat_message()
            try:
                self._beat_once(channel, message)
                pause, message = self.patience.first_pause_s, None
            except TransportError as error:
                logger.debug("heartbeat: %s", error)
                self._over.wait(pause * random.uniform(0.5, 1.0))
                pause = self._longer(pause)
        channel.close()

    def _beat_message(self) -> dict[str, Any]:
        told = self.hands.to_tell()
        del told["done"]
        return self._message("beat", wait=self._beat_s(), holds=self.hands.holds(), **told)

    def _beat_once(self, channel: Channel, message: dict[str, Any]) -> None:
        began = time.monotonic()
        reply = self._exchange(channel, message)
        if reply["kind"] == "unknown":
            # While an evaluation runs nobody else can say who this is.
            if self.hands.busy and not self.hands.abandoned:
                self._exchange(channel, self._introduction())
            self._over.wait(min(1.0, self._beat_s()))
        elif time.monotonic() - began < self._beat_s() / 10 and not self.hands.leaving:
            self._over.wait(self._beat_s() / 10)

    def _longer(self, pause: float) -> float:
        """The next pause between tries: short enough to be back within a lease."""
        return min(2 * pause, self.patience.longest_pause_s, float(self._terms["lease_s"]) / 4)

    def _beat_s(self) -> float:
        return float(self._terms["heartbeat_s"])

    def leave(self, why: str, *, at_once: bool) -> None:
        """Leave after the attempt in hand, or at once; from any thread."""
        self.hands.leave(why, at_once=at_once)
        if self._stepping is not None and not self.hands.busy:
            self._stepping.close()  # it may be waiting for work that is not wanted any more

    # ------------------------------------------------------------------ one call

    def _message(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {
            "epoch": self._epoch,
            "book": self._book,
            "worker": self.info.worker_id,
            "incarnation": self.info.incarnation,
            "request": self.hands.number("beat" if kind == "beat" else "step"),
            "kind": kind,
            "leaving": self.hands.leaving is not None,
            **fields,
        }

    def _exchange(self, channel: Channel, message: dict[str, Any]) -> dict[str, Any]:
        # A call that was lost leaves time for another one within the lease.
        channel.timeout_s = min(10.0, self._terms["lease_s"] / 3)
        reply = channel.call(message)
        self._epoch = max(self._epoch, reply["epoch"])
        self._last_contact = time.monotonic()
        self.hands.told(message, reply)
        self.hands.accept(reply.get("work", []))
        self.hands.obey(reply)
        return reply

    def _over_since_then(self, error: TransportError) -> bool:
        """Whether the run has ended since this worker looked for it first.

        One that was over before may be taken up again by the next master.
        """
        ended_at = error.ended_at if isinstance(error, RunOver) else ""
        if self._known_end is None:
            self._known_end = ended_at
        return ended_at not in ("", self._known_end)

    def _persist(self, channel: Channel, message: dict[str, Any]) -> dict[str, Any]:
        """Exchange, repeating the same request until it is answered."""
        pause, told = self.patience.first_pause_s, False
        self._last_contact = time.monotonic()
        while True:
            try:
                return self._exchange(channel, message)
            except TransportError as error:
                stranger = isinstance(
                    error, UNAUTHENTICATED_ERRORS
                )  # who was served before is not sent away
                if isinstance(error, PERMANENT_ERRORS) and not (stranger and self._welcomed):
                    raise
                if self._over_since_then(error):
                    self.hands.leave("finished", at_once=True)
                if self._may_go():
                    return {"kind": "ok", "epoch": self._epoch}
                silent_s = time.monotonic() - self._last_contact
                if self._welcomed and silent_s > self.patience.reconnect_s:
                    raise
                if not told:
                    told = True
                    logger.warning("%s\n  trying again until it answers", error)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = self._longer(pause)
