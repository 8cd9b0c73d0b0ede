"""What is fuzzed: a decoder, what it may raise, and inputs that its real encoder made."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from fuzz_mutation import PLAIN, Form

MAX_INPUT = 65_536
"""Bytes of one input."""

MAX_CPU_S = 1.0
FREE_BYTES = 64 * 2**20
BYTES_PER_BYTE = 128
"""Memory that an input may take: so much anyway, and so much for each of its bytes."""


@dataclass(frozen=True)
class Target:
    """A function that takes anything: it returns, or raises one of ``allowed``.

    Whatever else it promises, such as that what it returns can be sent on, it asserts itself.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    allowed: tuple[type[Exception], ...] = ()
    form: Form = PLAIN

    def try_input(self, data: bytes) -> None:
        """Run it on ``data``.

        Raises
        ------
        AssertionError
            If it took too long or too much memory.
        Exception
            What it must not raise.
        """
        allowance = FREE_BYTES + BYTES_PER_BYTE * len(data)
        before, began = _peak_bytes(), time.process_time()
        with _interrupted_after(2 * MAX_CPU_S), suppress(*self.allowed):
            self.run(data)
        took, grown = time.process_time() - began, _peak_bytes() - before
        assert took <= MAX_CPU_S, f"{len(data)} bytes took {took:.1f} s of the processor"
        assert grown <= allowance, f"{len(data)} bytes took {grown / 2**20:.0f} MiB"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """End what goes on for longer, by time of the processor: a busy machine changes nothing."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"no end after {seconds:g} s of the processor")

    former = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)
