"""``hpdist folder``: work on a search in a shared directory, with whoever else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.command_file import write_command
from hpdist.cli.failures import Exit
from hpdist.cli.script import Reference, Script, load_script
from hpdist.cli.searching import (
    SearchOptions,
    conclude,
    evaluation_options,
    local_run,
    search_options,
    timing_of,
    timing_options,
)
from hpdist.cli.values import COUNT, RUN_PATH
from hpdist.cli.verb import Verb, example
from hpdist.core.model.errors import ConfigurationError

if TYPE_CHECKING:
    from hpdist.core.dispatch.executor import Executor
    from hpdist.core.run.local_run import LocalRun


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist folder /shared/mine train.py --trials 200",
        "hpdist folder /shared/mine train:objective --trials 200 --workers 4",
    ),
)
@click.argument("directory", metavar="DIR", type=RUN_PATH)
@click.argument("script", metavar="SCRIPT[:FN]")
@click.option(
    "--workers", type=COUNT, default=1, show_default=True, help="Evaluations at once here."
)
@click.option("--max-evaluations", type=COUNT, help="Leave after so many evaluations.")
@search_options
@evaluation_options
@timing_options
def folder(directory: str, script: str, **values: Any) -> Exit:
    """Work on a search in a shared directory; no server, no port.

    Any number of processes, on any machines that see DIR, are started with this same command; they
    come and go. One of them holds the journal beside its own evaluations; when it dies, another
    one goes on.
    """
    if values["new"]:
        raise ConfigurationError("--new is of no use in a folder", do="leave it out")
    return take_part(load_script(Reference.parse(script)), Path(directory), values)


def take_part(
    script: Script, path: Path, values: Mapping[str, Any], *, keep_limits: bool = False
) -> Exit:
    """Work on the search in ``path`` until it ends, or this process has evaluated enough."""
    from hpdist.core.objective.objective import objective_of
    from hpdist.executors.registry import available_cpus
    from hpdist.folder.participant import TIMING, Participant, runners_of

    if script.is_worker:
        raise ConfigurationError(
            f"{script.reference} is a worker, not a function", do="use --executor cluster"
        )
    for name in ("prefetch", "closed"):
        if values[name]:
            raise ConfigurationError(f"--{name} is of no use in a folder", do="leave it out")
    chosen, timing = SearchOptions.of(values), timing_of(values, TIMING)
    note = {**values, "script": script.reference, "run": str(path.resolve()), "new": False}

    def make_run(executor: Executor) -> LocalRun:
        return replace(
            local_run(script, chosen, path, executor, keep_limits=keep_limits),
            on_open=lambda run: write_command(path, "run", {**note, "executor": "folder"}),
        )

    runners = runners_of(
        objective_of(script.reference),
        available_cpus() if values["workers"] is None else values["workers"],
        values["isolation"],
        values["job_timeout"],
        values["memory_limit"],
    )
    most = values.get("max_evaluations")
    participant = Participant(path, make_run, runners, timing=timing, max_evaluations=most)
    return conclude(participant.run(), values["json_"])
