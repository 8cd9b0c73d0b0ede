"""``hpdist results``: the results of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpdist.cli.command_decorators import Verb, as_json, example, run_argument
from hpdist.cli.exit_codes import Exit, print_message, tidy
from hpdist.cli.tables import as_sheet, results_json, show_best, show_json
from hpdist.core.model.errors import ConfigurationError

if TYPE_CHECKING:
    from hpdist.core.results.evaluation_result import EvaluationResult
    from hpdist.core.results.results import Results


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist results runs/mnist --top 20",
        "hpdist results runs/mnist --csv mnist.csv",
        "hpdist results runs/mnist --failures",
    ),
)
@run_argument
@click.option(
    "--top", type=click.IntRange(min=1), help="Number of the best. Default: 10, or with --json "
    "all evaluations.",
)  # fmt: skip
@click.option("--failures", is_flag=True, help="Show what failed, and why.")
@click.option(
    "--csv", "csv_file", type=click.Path(dir_okay=False), metavar="FILE",
    help="Write all evaluations to a file.",
)  # fmt: skip
@as_json
def results(run: str, top: int | None, failures: bool, csv_file: str | None, json_: bool) -> Exit:
    """Show the best configurations of a run, finished or not."""
    from pathlib import Path

    from hpdist.cli.run_status import no_run
    from hpdist.core.results.results import Results

    if not (Path(run) / "journal").exists():
        raise no_run(Path(run))
    found = Results.read(run)
    if csv_file:
        try:
            as_sheet(found.to_frame()).to_csv(csv_file, index=False)
        except OSError as error:
            raise ConfigurationError(
                f"{csv_file} cannot be written", cause=error.strerror or str(error)
            ) from error
        print_message(f"{len(found.evaluations)} evaluations written to {csv_file}")
    if json_:
        show_json(results_json(found, top))
    elif failures:
        _show_failures(found)
    elif not csv_file or top:
        click.echo(tidy(repr(found)))
        click.echo()
        show_best(found, top or 10)
    return Exit.DONE


def _show_failures(found: Results) -> None:
    """Show each kind of failure once, with the number of evaluations that failed so."""
    alike: dict[tuple[str, str], list[EvaluationResult]] = {}
    for one in found.failures:
        last_line = one.message.strip().splitlines()[-1:] or [""]
        alike.setdefault((one.failure.value if one.failure else "", last_line[0]), []).append(one)
    if not alike:
        click.echo("nothing failed")
    for (kind, message), failed in sorted(alike.items(), key=lambda item: -len(item[1])):
        first = failed[0]
        click.echo(tidy(f"{len(failed)} x {kind}: {message}"))
        click.echo(tidy(f"  first: worker {first.worker}, budget {first.budget:g}, {first.config}"))
        for line in (first.traceback or first.output).strip().splitlines():
            click.echo(tidy(f"    {line}"))
