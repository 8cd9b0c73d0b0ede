"""``hpdist plan``: the size and cost of a search, before anything starts."""

from __future__ import annotations

from dataclasses import asdict

import click

from hpdist.cli.command_decorators import Verb, as_json, example
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.options import schedule_options
from hpdist.cli.script import Reference, load_script
from hpdist.cli.search_run import generator_of
from hpdist.cli.tables import show_json, show_table


@click.command(
    cls=Verb,
    epilog=example("hpdist plan --budget 1:81", "hpdist plan train.py --workers 64 --json"),
)
@click.argument("script", metavar="[SCRIPT]", required=False)
@schedule_options
@click.option("--workers", type=click.IntRange(min=1), help="Check whether so many can be busy.")
@as_json
def plan(
    script: str | None,
    budget: tuple[float, float] | None,
    eta: float,
    iter_generator: str | None,
    iterations: int | None,
    workers: int | None,
    json_: bool,
) -> Exit:
    """Show brackets, rungs, evaluations and cost of a search.

    The budget is that of the SCRIPT, if there is one, or of the option.
    """
    from hpdist.multi_fidelity import make_plan

    if script is not None and budget is None:
        budget = load_script(Reference.parse(script)).budget
    generator = generator_of(iter_generator, budget, eta)
    planned = make_plan(generator, iterations)
    if json_:
        numbers = {
            "evaluations": planned.evaluations,
            "configurations": planned.configurations,
            "total_budget": planned.total_budget,
            "most_busy": planned.most_busy,
        }
        rungs = [asdict(rung) for rung in planned.rungs]
        show_json({"iter_generator": generator.describe(), **numbers, "rungs": rungs})
    else:
        rows = [
            (rung.iteration, rung.rung, rung.num_configs, rung.budget) for rung in planned.rungs
        ]
        show_table(("bracket", "rung", "configurations", "budget"), rows)
        click.echo(
            f"\n{planned.configurations} configurations, {planned.evaluations} evaluations, "
            f"{planned.total_budget:g} budget units; at most {planned.most_busy} workers are busy"
        )
    if workers and workers > planned.most_busy:
        print_message(
            f"{workers} workers are more than this search can use: at most {planned.most_busy} "
            "are ever busy\n  do:    fewer workers, or more --iterations"
        )
    return Exit.DONE
