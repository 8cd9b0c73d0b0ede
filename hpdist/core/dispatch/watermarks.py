"""Watermarks: when to propose further configurations."""

from __future__ import annotations

from dataclasses import dataclass

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_flag, check_list, check_whole, short_repr

LARGEST = 10**6


@dataclass(frozen=True)
class QueueSizes:
    """Low and high watermark of the evaluations that run or wait.

    When there are no more than ``low``, proposals are made until there are ``high``. With
    ``dynamic`` both are relative to the capacity of the workers; the default keeps
    each slot busy and no job queued.
    """

    low: int = -1
    high: int = 0
    dynamic: bool = True

    def __post_init__(self) -> None:
        check_whole("the first of job_queue_sizes", self.low, maximum=LARGEST)
        check_whole("the second of job_queue_sizes", self.high, maximum=LARGEST)
        check_flag("dynamic_queue_size", self.dynamic)
        if self.low >= self.high:
            raise ConfigurationError(
                f"job_queue_sizes=({self.low}, {self.high}): the first must be the smaller"
            )
        if not self.dynamic and self.high < 1:
            raise ConfigurationError(
                f"job_queue_sizes=({self.low}, {self.high}) would never start a job: with "
                "dynamic_queue_size=False the second must be at least 1"
            )

    @classmethod
    def of(cls, pair: object, dynamic: object) -> QueueSizes:
        """Build the sizes from the pair that a user gives."""
        sizes = check_list("job_queue_sizes", pair, of="two whole numbers")
        if len(sizes) != 2:
            raise ConfigurationError(f"job_queue_sizes must be two numbers, got {short_repr(pair)}")
        return cls(sizes[0], sizes[1], check_flag("dynamic_queue_size", dynamic))

    def bounds(self, capacity: int) -> tuple[int, int]:
        """Return the low and the high watermark for workers of this capacity."""
        base = capacity if self.dynamic else 0
        return base + self.low, base + self.high
