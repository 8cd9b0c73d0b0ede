"""``hpdist status``: the state of a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.command_decorators import Verb, as_json, example, run_argument
from hpdist.cli.exit_codes import Exit
from hpdist.cli.tables import show_json, show_table

if TYPE_CHECKING:
    from hpdist.cli.run_status import RunStatus
    from hpdist.core.results.run_state import RunState


@click.command(
    cls=Verb, epilog=example("hpdist status runs/mnist", "watch hpdist status runs/mnist")
)
@run_argument
@as_json
def status(run: str, json_: bool) -> Exit:
    """Show the state of a run: whether it runs, has ended or was killed, and its results so far.

    Only the run directory is read; no process is asked or disturbed.
    """
    from hpdist.cli.run_status import read_status

    found = read_status(run)
    if json_:
        show_json(_as_json(found, run))
    else:
        _show(found, run)
    return Exit.DONE


def _as_json(found: RunStatus, run: str) -> dict[str, Any]:
    from hpdist.core.results.run_state_json import run_state_json

    state, session = found.state, found.state.resumed
    left = None if state.ended else found.forecast.seconds_left(state, _now(found))
    return {
        "path": run,
        "state": found.label,
        "alive": found.alive,
        "master": None if session is None else {"pid": session.pid, "host": session.host},
        **run_state_json(state),
        "seconds_left": left,
    }


def _show(found: RunStatus, run: str) -> None:
    from hpdist.core.results.progress_lines import failure, panel, plan
    from hpdist.core.results.text_format import clean

    state, forecast = found.state, found.forecast
    name = state.run.run_id if state.run else Path(run).name
    click.echo(clean(f"run {name}: {found.label}{_session_text(found)}"))
    failed = [failure(state.last_failure)] if state.last_failure else []
    for line in [plan(forecast, state.limits), *panel(state, forecast, _now(found)), *failed]:
        if line:
            click.echo(f"  {line}")
    if state.ended is None and found.alive is not False:
        _show_workers(state)
    if found.label not in ("running", "not ended", "finished"):
        click.echo(f"to go on: hpdist resume {clean(run)}")


def _now(found: RunStatus) -> float:
    """Return the time of the last known state of the run, in seconds since 1970."""
    return (found.alive is False and found.state.last_at) or time.time()


def _session_text(found: RunStatus) -> str:
    """Return the process that runs the session, as text."""
    state, session = found.state, found.state.resumed
    if state.ended is not None or session is None or state.last_at is None:
        return ""
    ago = time.time() - state.last_at
    return f", process {session.pid} on {session.host}, last record {ago:.0f} s ago"


def _show_workers(state: RunState) -> None:
    from hpdist.core.model.states import WorkerState

    rows = [
        (each.info.worker_id, each.info.host, each.state, len(each.holds), each.done)
        for each in state.workers.values()
        if each.state in (WorkerState.JOINED, WorkerState.QUARANTINED)
    ]
    if rows:
        click.echo()
        show_table(("worker", "host", "state", "running", "done"), rows)
