"""Ctrl-C and SIGTERM become requests to the loop, so that a run always ends in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hpdist.core.model.events import ControlRequested
from hpdist.core.model.states import Command
from hpdist.core.run.inbox import Inbox


@contextmanager
def interruptible(inbox: Inbox, on_first: Callable[[], None]) -> Iterator[None]:
    """Turn signals into events for as long as the block lasts.

    The first SIGINT asks the loop to drain: nothing new starts, and running evaluations may
    finish. The second raises KeyboardInterrupt. SIGTERM asks the loop to stop at once; workers
    stay. A signal that was ignored stays so. Outside the main thread, where Python delivers no
    signals, nothing changes.

    Parameters
    ----------
    on_first
        Called inside the signal handler at the first SIGINT, to inform the user; it must not wait
        for a lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if pressed > 1:
            raise KeyboardInterrupt
        inbox.post([ControlRequested(Command.DRAIN, {"reason": "interrupted"})])
        on_first()

    def terminate(number: int, frame: FrameType | None) -> None:
        # Workers of other processes wait until the run is resumed.
        inbox.post(
            [ControlRequested(Command.STOP, {"reason": "SIGTERM", "shut_down_workers": False})]
        )

    former = _install({signal.SIGINT: interrupt, signal.SIGTERM: terminate})
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _install(handlers: dict[signal.Signals, Callable[..., None]]) -> dict[signal.Signals, Any]:
    former = {}
    for number, handler in handlers.items():
        before = signal.getsignal(number)
        # None: installed by another language's code, and impossible to put back.
        if before not in (signal.SIG_IGN, None):
            former[number] = before
            signal.signal(number, handler)
    return former
