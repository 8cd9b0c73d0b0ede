"""Progress of a running search: a live display on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Record
from hpdist.core.model.validation import short_repr
from hpdist.core.results import progress_lines as lines
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.run_state import RunState
from hpdist.core.results.run_state_rows import JobStatus

if TYPE_CHECKING:
    from rich.text import Text

logger = logging.getLogger(__name__)

MODES = ("auto", "bar", "log", "none")

LINE_EVERY_S = 30.0
"""Seconds between two lines of a log."""

Observer = Callable[[Sequence[tuple[float, Record]]], None]


class Progress:
    """Shows the state of a run; this one shows notices only.

    Parameters
    ----------
    path
        The run's directory, as it is printed.
    forecast
        The expected size and duration of the run.
    stream
        The stream that text is written to.
    wall
        The clock that records are stamped with, in seconds since 1970.

    Attributes
    ----------
    state
        The displayed state; set by `start`, and updated by the loop.
    """

    state: RunState

    def __init__(
        self,
        path: Path,
        forecast: Forecast,
        stream: TextIO,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.forecast = forecast
        self._stream = stream
        self._wall = wall
        self._last_failure: JobStatus | None = None

    @property
    def observers(self) -> list[Observer]:
        """Observers for the loop, to be called after the state was updated."""
        return []

    def start(self, state: RunState, notes: Sequence[str] = ()) -> None:
        """Start the display; ``notes`` are printed as separate lines."""
        self.state = state
        self._last_failure = state.last_failure  # of an earlier session
        self.forecast.start(state)

    def notice(self, line: str) -> None:
        """Show the user a line at once; may be called inside a signal handler."""
        self._write([line])

    def end(self) -> None:
        """Show how the run ended; this is the last output."""

    def _opening(self) -> list[str]:
        return lines.opening(self.path, self.state, self.forecast)

    def _new_failure(self) -> list[str]:
        failed = self.state.last_failure
        return [] if failed is None or failed is self._last_failure else [lines.failure(failed)]

    def _write(self, parts: Iterable[str]) -> None:
        text = "".join(f"hpdist: {part}\n" for part in parts if part)
        try:
            self._stream.write(text)
            self._stream.flush()
        except RuntimeError:
            # A signal interrupted a write to this very stream, which cannot be entered twice.
            os.write(2, text.encode(errors="backslashreplace"))
        except OSError as error:
            # The reader of a pipe is gone, as after "| head": the search goes on.
            logger.debug("progress cannot be shown: %s", error)


class LogProgress(Progress):
    """One line at the start, one at the end, and at most one in `LINE_EVERY_S` between."""

    @property
    def observers(self) -> list[Observer]:
        return [self._write_if_due]

    def start(self, state: RunState, notes: Sequence[str] = ()) -> None:
        super().start(state, notes)
        self._write(["; ".join(filter(None, [*self._opening(), *notes]))])
        self._next = self._wall() + LINE_EVERY_S

    def _write_if_due(self, _: object) -> None:
        now = self._wall()
        if now >= self._next:
            self._next = now + LINE_EVERY_S
            parts = lines.short(self.state, self.forecast, now)
            self._write(["; ".join([*parts, *self._new_failure()])])
            self._last_failure = self.state.last_failure

    def end(self) -> None:
        self._write(["; ".join(lines.ending(self.path, self.state))])


class LiveProgress(Progress):
    """A display on a terminal that a thread of its own keeps up to date."""

    def start(self, state: RunState, notes: Sequence[str] = ()) -> None:
        from rich.console import Console
        from rich.live import Live

        super().start(state, notes)
        self._write([*self._opening(), *notes])
        self._notice = ""
        self._live = Live(
            console=Console(file=self._stream, force_terminal=True),
            get_renderable=self._panel,
            transient=True,
            # Output of the program is printed above the display, unless it goes to a file.
            redirect_stdout=sys.stdout.isatty(),
        )
        if not self.state.ended:
            self._live.start()

    def notice(self, line: str) -> None:
        # Shown by the display's thread: a signal handler must not wait for its locks.
        self._notice = line

    def end(self) -> None:
        self._live.stop()
        self._write(lines.ending(self.path, self.state))

    def _panel(self) -> Text:
        from rich.text import Text

        with self.state.lock:
            parts = lines.panel(self.state, self.forecast, self._wall())
            parts += [*self._new_failure(), self._notice]
        return Text("\n".join(filter(None, parts)), no_wrap=True, overflow="ellipsis")


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
    """Return the display of a run.

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
