"""The brackets of a search: which are open, and the one that is opened next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hpdist.core.model.values import Job
from hpdist.multi_fidelity import Bracket, NewTrial


class Brackets:
    """The brackets that have a job, and the one that gets its first job next.

    Parameters
    ----------
    make
        Makes the bracket with an index; it may be the user's code.

    Attributes
    ----------
    made
        All brackets that have a job, in their order.
    """

    def __init__(self, make: Callable[[int], Bracket]) -> None:
        self.made: list[Bracket] = []
        self._make = make
        self._next: Bracket | None = None
        self._first_open = 0  #: no bracket before this one is open

    def open(self) -> Iterator[tuple[int, Bracket]]:
        """Return index and bracket of those that are not finished, oldest first."""
        self._skip_finished()
        for index in range(self._first_open, len(self.made)):
            if not self.made[index].is_finished:
                yield index, self.made[index]

    def next(self) -> Bracket:
        """Return the bracket that would be opened next.

        It is kept until its first job is started, so that making it does not depend on how often
        a proposal is asked for.
        """
        if self._next is None:
            self._next = self._make(len(self.made))
        return self._next

    def forget_next(self) -> None:
        """Make the next bracket again, since what it is made with has changed."""
        self._next = None

    def started(self, job: Job) -> None:
        """Start a job in its bracket; the first one opens the bracket."""
        if job.bracket == len(self.made):
            self.made.append(self.next())
            self._next = None
        self.made[job.bracket].started(job)

    def settled(self, job: Job) -> Bracket:
        """Return the bracket of a job that is settled, a retry of a finished bracket's job too."""
        self._first_open = min(self._first_open, job.bracket)
        return self.made[job.bracket]

    def no_more_trials(self) -> None:
        """Tell the brackets that wait for new trials that there will be none."""
        for bracket in self.made:
            if isinstance(bracket.propose(), NewTrial):
                bracket.no_more_trials()

    def _skip_finished(self) -> None:
        while self._first_open < len(self.made) and self.made[self._first_open].is_finished:
            self._first_open += 1
