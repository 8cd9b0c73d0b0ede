"""``hpdist folder``: work on a search in a shared directory, with whoever else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpdist.cli.failures import Exit
from hpdist.cli.script import Reference, load_script
from hpdist.cli.searching import (
    SearchOptions,
    conclude,
    evaluation_options,
    local_run,
    search_options,
)
from hpdist.cli.values import COUNT, RUN_PATH
from hpdist.cli.verb import Verb, example
from hpdist.errors import ConfigurationError


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
def folder(directory: str, script: str, **values: Any) -> Exit:
    """Work on a search in a shared directory; no server, no port.

    Any number of processes, on any machines that see DIR, are started with this same command; they
    come and go. One of them holds the journal beside its own evaluations; when it dies, another
    one goes on.
    """
    from hpdist.folder.participant import Participant, runners_of
    from hpdist.objective import objective_of

    loaded = load_script(Reference.parse(script))
    if loaded.is_worker:
        raise ConfigurationError(
            f"{loaded.reference} is a worker, not a function", do="use: hpdist run"
        )
    for name in ("prefetch", "new"):
        if values[name]:
            raise ConfigurationError(f"--{name} is of no use in a folder", do="leave it out")
    path, chosen = Path(directory), SearchOptions.of(values)
    participant = Participant(
        path,
        lambda executor: local_run(loaded, chosen, path, executor),
        runners_of(
            objective_of(loaded.reference),
            values["workers"],
            values["isolation"],
            values["job_timeout"],
            values["memory_limit"],
        ),
        max_evaluations=values["max_evaluations"],
    )
    return conclude(participant.run(), values["json_"])
