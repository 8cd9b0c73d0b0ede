"""When to choose further configurations."""

from __future__ import annotations

from dataclasses import dataclass

from hpdist.checks import check_flag, check_whole
from hpdist.errors import ConfigurationError

LARGEST = 10**6


@dataclass(frozen=True)
class QueueSizes:
    """When to choose further configurations, counted in evaluations that run or wait.

    When there are no more than ``least``, proposals are made until there are ``most``. With
    ``dynamic`` both are relative to the number of places that the workers have; the default
    keeps each place busy and nothing queued.
    """

    least: int = -1
    most: int = 0
    dynamic: bool = True

    def __post_init__(self) -> None:
        check_whole("the first of job_queue_sizes", self.least, most=LARGEST)
        check_whole("the second of job_queue_sizes", self.most, most=LARGEST)
        check_flag("dynamic_queue_size", self.dynamic)
        if self.least >= self.most:
            raise ConfigurationError(
                f"job_queue_sizes=({self.least}, {self.most}): the first must be the smaller"
            )
        if not self.dynamic and self.most < 1:
            raise ConfigurationError(
                f"job_queue_sizes=({self.least}, {self.most}) would never start a job: with "
                "dynamic_queue_size=False the second must be at least 1"
            )

    def bounds(self, places: int) -> tuple[int, int]:
        """Return (refill when at most so many, refill up to so many) for ``places`` places."""
        base = places if self.dynamic else 0
        return base + self.least, base + self.most
