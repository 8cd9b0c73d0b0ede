"""The front doors: the name of each option there, or the reason why a door lacks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import Any

from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.option_declaration import flag_of, option_of
from hpdist.core.run.options import (
    FIELDS,
    EvaluationOptions,
    ListeningOptions,
)

DOORS = (
    "minimize",
    "folder.run",
    "Master",
    "hpdist run",
    "hpdist master",
    "hpdist folder",
    "hpdist worker",
)
"""`maximize` has the options of `minimize`."""

GROUPED = {
    **{each.name: "timing" for each in fields(Timing)},
    **{each.name: "retry" for each in fields(Retry)},
}
"""Options that Python code gives as one object."""

OTHER_NAMES: Mapping[str, Mapping[str, str]] = {
    "folder.run": {"run": "directory"},
    "hpdist run": {"objective": "SCRIPT[:FN]"},
    "hpdist master": {"objective": "SCRIPT[:FN]"},
    "hpdist folder": {"objective": "SCRIPT[:FN]", "run": "DIR"},
    "hpdist worker": {"objective": "[SCRIPT[:FN]]", "workers": "--slots"},
}
"""Names that are neither the field's nor the usual ones of the door."""


def _reasons(*rows: tuple[str, Iterable[str]]) -> dict[str, str]:
    return {name: reason for reason, names in rows for name in names}


def _names(group: Any) -> list[str]:
    return [each.name for each in fields(group)]


_LISTENING = "listens on loopback only: for other hosts hpdist run, or a NameServer and a Master"
_OF_WORKERS = "the workers decide it: arguments of Worker, options of hpdist worker"
_OF_EXECUTOR = "belongs to the executor object that is given"
_DEVICES = "an argument of each Worker, an option of hpdist worker"
_NO_CLUSTER = "there is no cluster"
_WIRE = "rarely needed: in Python timing=Timing(...)"
_PYTHON = "is a Python object: minimize and Master take it"
_DIRECTION = "is the choice between minimize and maximize"
_GENERATOR = "arguments of the iteration generator"
_NOT_AHEAD = "no process prefetches jobs that another one of the folder could start at once"
_ALL_JOIN = "the first process starts the run, the others join"

EXCLUDED: Mapping[str, Mapping[str, str]] = {
    "minimize": _reasons(
        (_DIRECTION, ["direction"]),
        (_DEVICES, ["device"]),
        (_LISTENING, _names(ListeningOptions)),
    ),
    "folder.run": _reasons(
        ("is this door", ["executor"]),
        (_NO_CLUSTER, ["address", "resources", *_names(ListeningOptions)]),
        (_NOT_AHEAD, ["prefetch"]),
        (_DEVICES, ["device"]),
        (_ALL_JOIN, ["resume"]),
    ),
    "Master": _reasons(
        (_GENERATOR, ["min_budget", "max_budget", "eta"]),
        ("an argument of Master.run", ["n_iterations"]),
        (_OF_WORKERS, ["workers", *_names(EvaluationOptions)]),
        (_OF_EXECUTOR, ["address", "resources"]),
        ("hpdist control RUN retry, while the master runs", ["retry_failed"]),
        ("progress_callback replaces it", ["progress"]),
    ),
    "hpdist run": _reasons(
        (_DEVICES, ["device"]), (_WIRE, ["poll_s", "backoff_s"]), (_PYTHON, ["callbacks"])
    ),
    "hpdist master": _reasons(
        ("is this door: workers connect", ["executor"]),
        (_OF_WORKERS, ["workers", *_names(EvaluationOptions)]),
        (_NO_CLUSTER + " of Dask or Ray", ["address", "resources"]),
        (_WIRE, ["poll_s", "backoff_s"]),
        (_PYTHON, ["callbacks"]),
    ),
    "hpdist folder": _reasons(
        ("is this door", ["executor"]),
        (_NO_CLUSTER, ["address", "resources", *_names(ListeningOptions)]),
        (_NOT_AHEAD, ["prefetch"]),
        (_DEVICES, ["device"]),
        (_ALL_JOIN, ["resume"]),
        ("processes of a folder have no connections", ["closed_s"]),
        (_WIRE, ["poll_s", "backoff_s"]),
        (_PYTHON, ["callbacks"]),
    ),
    "hpdist worker": {
        name: "the master decides it, or the executor"
        for name in FIELDS
        if name not in ("objective", "run", "workers", *_names(EvaluationOptions))
    },
}
"""Why a door lacks an option."""


def name_at(door: str, declared: Field[Any]) -> str | None:
    """Return the name of an option at a door, None where it lacks it."""
    name = declared.name
    if name in EXCLUDED[door]:
        return None
    if other := OTHER_NAMES.get(door, {}).get(name):
        return other
    if door.startswith("hpdist "):
        return flag_of(declared)
    seed = option_of(declared).master if door == "Master" else ""
    return GROUPED.get(name) or seed or name
