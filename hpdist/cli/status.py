"""``hpdist status``: where a run stands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.failures import Exit
from hpdist.cli.tables import show_json, show_table
from hpdist.cli.verb import Verb, as_json, example, run_argument

if TYPE_CHECKING:
    from hpdist.cli.run_state import RunState


@click.command(
    cls=Verb, epilog=example("hpdist status runs/mnist", "watch hpdist status runs/mnist")
)
@run_argument
@as_json
def status(run: str, json_: bool) -> Exit:
    """Show where a run stands, whether it runs, has ended or was killed.

    Only the run directory is read; nobody is asked or disturbed.
    """
    from hpdist.cli.run_state import read_state

    found = read_state(run)
    if json_:
        show_json(_as_json(found, run))
    else:
        _show(found, run)
    return Exit.DONE


def _as_json(found: RunState, run: str) -> dict[str, Any]:
    summary, holder, now = found.view.summary, found.holder, _now(found)
    by = None if holder is None else {"pid": holder.pid, "host": holder.host}
    left = None if summary.ended else found.view.forecast.seconds_left(summary, now)
    about = {"path": run, "state": found.state, "alive": found.alive, "master": by}
    return {**about, **summary.to_json(), "seconds_left": left}


def _show(found: RunState, run: str) -> None:
    from hpdist.core.results.progress_text import board, clean, plan

    summary, now = found.view.summary, _now(found)
    name = summary.run.run_id if summary.run else Path(run).name
    click.echo(clean(f"run {name}: {found.state}{_by_whom(found)}"))
    for line in [plan(found.view.forecast), *board(found.view, now)]:
        if line:
            click.echo(f"  {line}")
    if summary.ended is None and found.alive is not False:
        _show_workers(found)
    if found.state not in ("running", "not ended", "finished"):
        click.echo(f"to go on: hpdist resume {clean(run)}")


def _now(found: RunState) -> float:
    """The time until which the run went on."""
    return (found.alive is False and found.view.summary.last_at) or time.time()


def _by_whom(found: RunState) -> str:
    holder, last_at = found.holder, found.view.summary.last_at
    if found.view.summary.ended is not None or holder is None or last_at is None:
        return ""
    return f", process {holder.pid} on {holder.host}, last record {time.time() - last_at:.0f} s ago"


def _show_workers(found: RunState) -> None:
    workers = found.view.summary.workers.values()
    rows = [
        (each.info.worker_id, each.info.host, each.state, len(each.holds), each.done)
        for each in workers
        if each.state in ("joined", "quarantined")
    ]
    if rows:
        click.echo()
        show_table(("worker", "host", "state", "running", "done"), rows)
