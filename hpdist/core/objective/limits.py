"""What an attempt may take, and where it runs: the options that several front doors share."""

from __future__ import annotations

from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.option_declaration import BYTES, SECONDS, choice
from hpdist.core.model.validation import maybe

ISOLATION = choice("process", "none")


def check_isolation(value: object) -> str:
    """Return where attempts run: "process", in a child process, or "none", in a thread."""
    return str(ISOLATION.check("isolation", value))


def check_attempt_limits(job_timeout: object, memory_limit: object) -> dict[str, Any]:
    """Return ``job_timeout`` in seconds and ``memory_limit`` in bytes, None where there is none."""
    return {
        "job_timeout": maybe(SECONDS.check, "job_timeout", job_timeout),
        "memory_limit": maybe(BYTES.check, "memory_limit", memory_limit),
    }


def check_enforceable(isolation: str, limits: dict[str, Any]) -> None:
    """Reject limits that cannot be enforced without a process of one's own."""
    if isolation == "none" and any(value is not None for value in limits.values()):
        raise ConfigurationError(
            "job_timeout and memory_limit cannot be enforced with isolation='none'",
            cause="an attempt that shares this process cannot be ended by force",
            do="leave them out, or use isolation='process'",
        )
