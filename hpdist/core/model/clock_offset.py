"""Times of another host's clock, brought to ours."""

from __future__ import annotations


def clock_shift(began: float, ended: float, handed_out: float, back: float) -> float:
    """Return the seconds to add to times of another clock, 0 where that may well be right.

    Parameters
    ----------
    began, ended
        Of something that ran there, by its clock.
    handed_out, back
        When it was sent there and when it was known here to have ended, by our clock: so it ran
        in between.
    """
    return max(0.0, handed_out - began) or min(0.0, back - ended)
