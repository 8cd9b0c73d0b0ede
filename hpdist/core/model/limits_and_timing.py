"""The options of the engine: limits of a search, retries of a job, timing of workers.

Each is declared here once, with its default. The other options of a run are declared in
`hpdist.core.run.options`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.option_declaration import (
    COST,
    COUNT,
    COUNT_OR_ZERO,
    LIMIT,
    NUMBER,
    SECONDS,
    check_options,
    option,
)


@dataclass(frozen=True)
class Limits:
    """When a search ends; None means no limit. The first limit reached stops new evaluations.

    ``max_cost`` is compared with the sum of the costs the objective returned, or of the budgets
    where it returned none.
    """

    n_iterations: int | None = option(None, LIMIT, "Limit: brackets.", flag="--iterations")
    n_trials: int | None = option(None, LIMIT, "Limit: configurations.", flag="--trials")
    n_evaluations: int | None = option(None, LIMIT, "Limit: evaluations.", flag="--evaluations")
    max_cost: float | None = option(None, COST, "Limit: cost of all evaluations together.")
    target_loss: float | None = option(None, NUMBER, "Stop when it is reached.")

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Retry:
    """Limits of retries of an evaluation, by what happened to its attempts.

    A child process that dies counts as a crash; contact that is lost counts as a loss, with a
    limit of its own, since a lost worker is no evidence against the configuration. The others
    are extra attempts after a failure that the objective itself caused.
    """

    max_crashes: int = option(3, COUNT, "Tries of an evaluation whose child process dies.")
    max_losses: int = option(20, COUNT, "Tries of an evaluation whose workers are lost.")
    exceptions: int = option(
        0, COUNT_OR_ZERO, "Further tries after an exception.", flag="--retry-exceptions"
    )
    invalid: int = option(
        0, COUNT_OR_ZERO, "Further tries after an invalid result.", flag="--retry-invalid"
    )
    timeouts: int = option(
        0, COUNT_OR_ZERO, "Further tries after a time-out.", flag="--retry-timeouts"
    )
    memory: int = option(
        0, COUNT_OR_ZERO, "Further tries after the memory limit.", flag="--retry-memory"
    )

    def __post_init__(self) -> None:
        check_options(self, "Retry.")


MAX_WAIT_S = 3600.0
"""The longest that a worker may ask to be kept waiting for an answer."""


@dataclass(frozen=True)
class Timing:
    """Seconds after which a silent worker is given up, and intervals of its messages.

    ``closed_s`` is the shorter lease of a worker whose connection is known to be closed.
    """

    lease_s: float = option(
        30.0, SECONDS, "Seconds of silence after which a worker is given up.", flag="--lease"
    )
    heartbeat_s: float = option(
        5.0, SECONDS, "Seconds between two heartbeats of a worker.", flag="--heartbeat"
    )
    closed_s: float = option(
        10.0,
        SECONDS,
        "Seconds after which a worker whose connection is closed is given up.",
        flag="--closed",
    )
    poll_s: float = option(10.0, SECONDS, "Seconds that a request for work may wait.")
    backoff_s: float = option(
        60.0, SECONDS, "Longest pause before a lost evaluation is tried again."
    )

    def __post_init__(self) -> None:
        check_options(self, "Timing.")
        for name in ("heartbeat_s", "poll_s"):
            if getattr(self, name) > MAX_WAIT_S:
                raise ConfigurationError(
                    f"Timing.{name} must be at most {MAX_WAIT_S:g} s, got {getattr(self, name):g}",
                    cause="an answer is not waited for any longer",
                )
        if self.lease_s < 2 * self.heartbeat_s:
            raise ConfigurationError(
                f"lease_s={self.lease_s:g} leaves no room for two heartbeats of "
                f"{self.heartbeat_s:g} s: every worker would be given up again and again",
                do=f"choose lease_s >= {2 * self.heartbeat_s:g} or a shorter heartbeat_s",
            )


FOLDER_TIMING = Timing(lease_s=4.0, heartbeat_s=1.0, closed_s=4.0, poll_s=2.0, backoff_s=4.0)
"""Default in a folder: jobs of a killed process are run by another one within seconds."""
