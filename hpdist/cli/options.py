"""Command-line options, generated from the fields that declare them, and converted back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields, replace
from typing import Any

import click

from hpdist.cli.command_decorators import Decorated, as_json, options
from hpdist.cli.parameter_types import BUDGET, BYTES, COUNT, LIST, PORT, RESOURCE, RUN_PATH, SECONDS
from hpdist.core.model.limits_and_timing import FOLDER_TIMING, Retry, Timing
from hpdist.core.model.option_declaration import flag_of, option_of
from hpdist.core.run.executor_names import EXECUTORS
from hpdist.core.run.options import FIELDS, take

TYPES: Mapping[str, Any] = {
    "seconds": SECONDS,
    "bytes": BYTES,
    "budget": BUDGET,
    "limit": COUNT,
    "count": COUNT,
    "count or 0": click.IntRange(min=0),
    "whole number": int,
    "number": float,
    "cost": float,
    "port": PORT,
    "name=amount": RESOURCE,
}
"""How values are read, by the unit of the option."""

MODES = ["auto", "bar", "log", "none"]
"""Choices of ``--progress``."""

EXAMPLES = {"seconds": "30m", "bytes": "4G"}


def parameter_of(declared: Field[Any]) -> str:
    """Return the name under which click passes an option on."""
    return flag_of(declared)[2:].replace("-", "_")


def generated(name: str, *more: str, **changes: Any) -> Callable[[Decorated], Decorated]:
    """Return the click option of the field ``name``.

    Parameters
    ----------
    more
        Further declarations, such as another name under which the value is passed on.
    changes
        Attributes that differ from those of the field.
    """
    declared = FIELDS[name]
    option = option_of(declared)
    unit, default = option.kind.unit, declared.default
    attributes: dict[str, Any] = {"help": option.help}
    if unit == "flag":
        attributes["is_flag"] = True
    else:
        attributes["type"] = click.Choice(unit.split("|")) if "|" in unit else TYPES.get(unit)
    if default and isinstance(default, str | int | float):
        attributes |= {"default": default, "show_default": True}
    elif unit in EXAMPLES:
        attributes["help"] = f"{option.help[:-1]}, such as {EXAMPLES[unit]}."
    elif default == 0 and unit != "flag":
        attributes |= {"default": default, "show_default": unit != "port"}
    return click.option(flag_of(declared), *more, **{**attributes, **changes})


def _timing_option(name: str) -> Callable[[Decorated], Decorated]:
    """Return an option of `Timing`, whose default differs in a folder."""
    usual, folder = getattr(Timing, name), getattr(FOLDER_TIMING, name)
    text = f"{option_of(FIELDS[name]).help} Default: {usual:g}; in a folder {folder:g}."
    return generated(name, default=None, show_default=False, help=text)


schedule_options = options(
    generated(
        "min_budget",
        help="Smallest and largest budget of an evaluation. Default: the script's variable "
        "`budget`; without it, each configuration is evaluated once.",
    ),
    generated("eta", default=3.0),
    generated(
        "iter_generator",
        type=click.Choice(["hyperband", "halving", "asha", "single"]),
        help="How budgets are chosen. Default: hyperband where there is a budget, else single.",
    ),
    generated("n_iterations"),
)

new_option = generated(
    "resume", type=None, is_flag=True, default=False, show_default=False,
    help="Start another run beside the existing one.",
)  # fmt: skip
progress_option = generated("progress", type=click.Choice(MODES))
workers_option = generated("workers")

search_options = options(
    generated("space", metavar="NAME", help="The script's variable that holds the space."),
    schedule_options,
    generated("optimizer"),
    generated("early_stopping", type=click.Choice(["median", "rungs"])),
    generated("initial_configs", is_flag=True, help="Evaluate the space's defaults first."),
    generated(
        "objectives",
        default="loss",
        metavar="NAMES",
        help="Minimized values: loss and other keys of the result, with commas.",
    ),
    generated("n_trials"),
    generated("n_evaluations"),
    generated("max_cost"),
    generated("time_limit"),
    generated("grace"),
    generated("target_loss"),
    generated("seed", help=None),
    generated(
        "direction",
        type=None,
        is_flag=True,
        default=False,
        show_default=False,
        help="Maximize the objective instead of minimizing it.",
    ),
    generated(
        "warm_start",
        multiple=True,
        type=click.Path(exists=True),
        metavar="RUN",
        help="An earlier run to learn from; may be given several times.",
    ),
    generated("on_change"),
    generated("retry_failed"),
    new_option,
    progress_option,
    as_json,
)

evaluation_options = options(
    generated("job_timeout"),
    generated("memory_limit"),
    generated("isolation"),
    generated("prefetch"),
)

dispatch_options = options(
    _timing_option("lease_s"),
    _timing_option("closed_s"),
    _timing_option("heartbeat_s"),
    *(generated(each.name) for each in fields(Retry)),
)

executor_options = options(
    generated(
        "executor",
        type=click.Choice(list(EXECUTORS)),
        default="cluster",
        help="Where evaluations run. cluster: nameserver, dispatcher and worker processes, which "
        "others may join; folder: as hpdist folder.",
    ),
    generated("address"),
    generated(
        "resources",
        "resources",
        multiple=True,
        metavar="NAME=AMOUNT",
        help="Resources of each evaluation on Dask or Ray, such as GPU=1; may be repeated.",
    ),
)

device_option = generated(
    "device", type=LIST, default=None, help="Devices to share out among the slots."
)


def run_option(help: str = "", **changes: Any) -> Callable[[Decorated], Decorated]:
    """Return the option of the run directory."""
    help = help or option_of(FIELDS["run"]).help
    return generated("run", type=RUN_PATH, metavar="DIR", help=help, **changes)


def listening_options(host: str, port: str) -> Callable[[Decorated], Decorated]:
    """Return the options of the listening address; host and port have their own help texts."""
    return options(generated("host", help=host), generated("nic"), generated("port", help=port))


def by_field(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of options that fields declare, by field name."""
    names = {name: parameter_of(declared) for name, declared in FIELDS.items()}
    return {name: values[parameter] for name, parameter in names.items() if parameter in values}


def timing_of(values: Mapping[str, Any], usual: Timing | None = None) -> Timing:
    """Return the given timing options; the others are those of ``usual``."""
    given = {name: value for name, value in by_field(values).items() if value is not None}
    names = {each.name for each in fields(Timing)}
    asked_for = {name: value for name, value in given.items() if name in names}
    return replace(usual or Timing(), **asked_for)


def retry_of(values: Mapping[str, Any]) -> Retry:
    """Return the retry limits."""
    return take(Retry, by_field(values))
