"""The end of a run: whether and why it ends, and the time left for running attempts."""

from __future__ import annotations

import math

from hpdist.core.model.events import RunEnded
from hpdist.core.model.states import EndReason


class Ending:
    """The end of a run: from open, over closing (nothing new starts), to ended and final.

    Parameters
    ----------
    time_limit_s, grace_s
        After ``time_limit_s`` nothing new starts; running attempts have ``grace_s`` seconds more.
    stay
        Continue serving workers when the source is done, until a command stops the run.
    waiting
        Start nothing until a command extends the search.
    shut_down_workers
        Whether workers are shut down at the end.

    Attributes
    ----------
    ended
        How the run has ended; None before. A command may open it again until it is final.
    closing
        Why nothing new starts any more; None while it may.
    next_deadline
        When `is_time_up` or `is_grace_over` becomes true; inf for never.
    keeps_attempts
        Whether running attempts stay with their workers, which report to the next process.
    """

    def __init__(
        self,
        *,
        time_limit_s: float = math.inf,
        grace_s: float = 10.0,
        stay: bool = False,
        waiting: bool = False,
        shut_down_workers: bool = True,
    ) -> None:
        self.grace_s = grace_s
        self.shut_down_workers = shut_down_workers
        self.ended: RunEnded | None = RunEnded(EndReason.WAITING) if waiting else None
        self.closing: RunEnded | None = None
        self.keeps_attempts = False
        self.is_final = False
        self.next_deadline = math.inf
        self._stay = stay
        self._time_limit_s = time_limit_s
        self._time_is_up_at = math.inf
        self._grace_is_over_at = math.inf

    @property
    def is_open(self) -> bool:
        """Whether new jobs may be created and assigned."""
        return self.ended is None and self.closing is None

    def start(self, now: float) -> None:
        """Start the clock of the time limit."""
        self.limit_time(now + self._time_limit_s)

    def limit_time(self, at: float) -> None:
        """Set the time from which nothing new starts."""
        self._set_deadlines(at, self._grace_is_over_at)

    def close(self, why: RunEnded, now: float, *, drain: bool) -> None:
        """Start nothing new; end when nothing runs, or after the grace period, or now."""
        self.closing = self.closing or why
        grace_s = self.grace_s if why.reason == EndReason.TIME_LIMIT else math.inf
        over_at = min(self._grace_is_over_at, now + grace_s) if drain else now
        self._set_deadlines(self._time_is_up_at, over_at)

    def is_time_up(self, now: float) -> bool:
        """Return True once, when the time limit is reached."""
        if now < self._time_is_up_at:
            return False
        self._set_deadlines(math.inf, self._grace_is_over_at)
        return True

    def is_grace_over(self, now: float) -> bool:
        """Return True once, when running attempts must stop."""
        if now < self._grace_is_over_at:
            return False
        self._set_deadlines(self._time_is_up_at, math.inf)
        return True

    def find_end(self, running: int, *, source_done: bool) -> RunEnded | None:
        """Return how the run ends now, given the number of running attempts; None if it goes on."""
        if self.closing is not None:
            return self.closing if self.keeps_attempts or not running else None
        return RunEnded(EndReason.FINISHED) if source_done else None

    def become_final(self) -> bool:
        """Make an end final unless the run stays open for extensions; return True if it did."""
        if self.ended is None or self.is_final or (self._stay and self.closing is None):
            return False
        self.is_final = True
        return True

    def reopen(self) -> None:
        """Continue after an end, since there is more to do."""
        if not self.is_final:
            self.ended = None

    def _set_deadlines(self, time_is_up_at: float, grace_is_over_at: float) -> None:
        self._time_is_up_at = time_is_up_at
        self._grace_is_over_at = grace_is_over_at
        self.next_deadline = min(time_is_up_at, grace_is_over_at)
