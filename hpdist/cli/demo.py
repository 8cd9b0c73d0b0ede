"""``hpdist demo``: a complete search on this machine, which shows that hpdist works here."""

from __future__ import annotations

import importlib.util
from typing import Any

import click

from hpdist.cli.command_decorators import Verb, as_json, example
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.options import generated, new_option, progress_option, run_option
from hpdist.cli.parameter_types import COUNT
from hpdist.cli.run import run as run_command
from hpdist.core.journal.run_names import RUNS
from hpdist.core.model.errors import MissingExtra

SCRIPT = "hpdist.cli.demo_objective:train"


@click.command(cls=Verb, epilog=example("hpdist demo", "hpdist demo --new --workers 4"))
@run_option("Run directory.", default=str(RUNS / "demo"), show_default=True)
@generated("workers", type=COUNT, default=2, show_default=True, help=None)
@generated(
    "min_budget", default="1:27", show_default=True, help="Smallest and largest number of epochs."
)
@generated("seed", help=None)
@new_option
@progress_option
@as_json
@click.pass_context
def demo(context: click.Context, /, **values: Any) -> Exit:
    """Tune a neural network on handwritten digits, in less than a minute.

    It uses a real nameserver, dispatcher and worker processes on this machine; needs scikit-learn.
    """
    from hpdist.cli.run_status import has_finished

    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtra(
            "the demo trains a network of scikit-learn, which is not installed",
            do='pip install "hpdist[demo]"',
        )
    if not values["new"] and has_finished(values["run"]):
        print_message("this demo has been run to its end; to see it again: hpdist demo --new")
    code: Exit = context.invoke(run_command, script=SCRIPT, **values)
    if code is Exit.DONE and not values["json_"]:
        print_message(
            "that was Hyperband: many networks are trained for an epoch, the best of them go on;\n"
            "  a Gaussian process chose them\n"
            "  the objective is hpdist/cli/demo_objective.py\n"
            "  run your own: hpdist run SCRIPT --budget 1:27"
        )
    return code
