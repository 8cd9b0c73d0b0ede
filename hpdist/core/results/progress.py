"""Shows a run while it goes on: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Record
from hpdist.core.model.validation import short_repr
from hpdist.core.results import progress_text as text
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.run_view import RunView

if TYPE_CHECKING:
    from rich.text import Text

logger = logging.getLogger(__name__)

MODES = ("auto", "bar", "log", "none")

#: Seconds between two lines of a log.
LINE_EVERY_S = 30.0

Entry = tuple[float, Record]
"""(wall time in seconds since 1970, record)."""


class Progress:
    """Follows a run's records and tells of them; this one is silent but for notices.

    An observer of the loop: all is called in the loop's thread.

    Parameters
    ----------
    path
        The run's directory, as the user should read it.
    forecast
        What is to be expected of the run.
    stream
        Where text goes.
    wall
        The clock that records are stamped with, in seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        forecast: Forecast,
        stream: TextIO,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.view = RunView(path, forecast)
        self._stream, self._wall = stream, wall

    def begin(self, records: Iterable[Entry], notes: Sequence[str] = ()) -> None:
        """Take in the records of before and begin to tell; ``notes`` are lines of their own."""
        self.view.begin(records)

    def __call__(self, fresh: Sequence[Entry]) -> None:
        self.view.apply(fresh)

    def notice(self, line: str) -> None:
        """Tell the user something at once; may be called inside a signal handler."""
        self._write([line])

    def end(self) -> None:
        """Say how it ended; nothing is shown after that."""

    def _write(self, lines: Iterable[str]) -> None:
        told = "".join(f"hpdist: {line}\n" for line in lines if line)
        try:
            self._stream.write(told)
            self._stream.flush()
        except RuntimeError:
            # A signal interrupted a write to this very stream, which cannot be entered twice.
            os.write(2, told.encode(errors="backslashreplace"))
        except OSError as error:
            # Nobody reads any more, as after "| head": no reason to end a search.
            logger.debug("progress cannot be shown: %s", error)


class LogProgress(Progress):
    """One line at the start, one at the end, and at most one in `LINE_EVERY_S` between."""

    def begin(self, records: Iterable[Entry], notes: Sequence[str] = ()) -> None:
        super().begin(records)
        self._write(["; ".join(filter(None, [*text.opening(self.view), *notes]))])
        self._next = self._wall() + LINE_EVERY_S

    def __call__(self, fresh: Sequence[Entry]) -> None:
        super().__call__(fresh)
        now = self._wall()
        if now >= self._next:
            self._next = now + LINE_EVERY_S
            self._write(["; ".join(text.short(self.view, now))])
            self.view.last_failure = None

    def end(self) -> None:
        self._write(["; ".join(text.ending(self.view))])


class LiveProgress(Progress):
    """A display on a terminal that a thread of its own keeps up to date."""

    def begin(self, records: Iterable[Entry], notes: Sequence[str] = ()) -> None:
        from rich.console import Console
        from rich.live import Live

        super().begin(records)
        self._write([*text.opening(self.view), *notes])
        self._lock = threading.Lock()
        self._notice = ""
        self._live = Live(
            console=Console(file=self._stream, force_terminal=True),
            get_renderable=self._board,
            transient=True,
            # What a program prints belongs above the display, unless it is meant for a file.
            redirect_stdout=sys.stdout.isatty(),
        )
        if not self.view.summary.ended:
            self._live.start()

    def __call__(self, fresh: Sequence[Entry]) -> None:
        with self._lock:
            super().__call__(fresh)

    def notice(self, line: str) -> None:
        # Shown by the display's thread: a signal handler must not wait for its locks.
        self._notice = line

    def end(self) -> None:
        self._live.stop()
        self._write(text.ending(self.view))

    def _board(self) -> Text:
        from rich.text import Text

        with self._lock:
            lines = [*text.board(self.view, self._wall()), self._notice]
        return Text("\n".join(filter(None, lines)), no_wrap=True, overflow="ellipsis")


def check_mode(mode: str) -> str:
    """Return ``mode`` if it is one of `MODES`, else raise `ConfigurationError`."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ConfigurationError(
            f"progress={short_repr(mode)} is unknown", do=f"choose one of {', '.join(MODES)}"
        )
    return mode


def make_progress(
    mode: str, path: Path, forecast: Forecast, stream: TextIO | None = None
) -> Progress:
    """Return what shows a run.

    Parameters
    ----------
    mode
        "bar", "log" or "none"; "auto" is "bar" on a terminal and "log" elsewhere.
    stream
        Default: standard error.
    """
    stream = sys.stderr if stream is None else stream
    if check_mode(mode) == "auto":
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        mode = "bar" if terminal else "log"
    kind = {"bar": LiveProgress, "log": LogProgress, "none": Progress}[mode]
    return kind(path, forecast, stream)
