"""The offset between another host's clock and ours."""

from __future__ import annotations


def clock_offset(started: float, ended: float, sent: float, received: float) -> float:
    """Return the seconds to add to times of another clock, 0 where that may well be right.

    Parameters
    ----------
    started, ended
        When an attempt ran there, by its clock.
    sent, received
        When it was sent there and when its result was received, by our clock: it ran in between.
    """
    return max(0.0, sent - started) or min(0.0, received - ended)
