"""Each option is declared once, and is at every door, or there is a reason why not."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click
import pytest

import hpdist
import hpdist.folder
from hpdist.cli.main import cli
from hpdist.core.model.option_declaration import option_of
from hpdist.core.run.doors import DOORS, EXCLUDED, GROUPED, name_at
from hpdist.core.run.executor_names import EXECUTORS
from hpdist.core.run.option_table import option_table
from hpdist.core.run.options import FIELDS
from hpdist.executors.registry import FACTORIES
from hpdist.optimize import RUNNERS

FUNCTIONS = {
    "minimize": hpdist.minimize,
    "folder.run": hpdist.folder.run,
    "Master": hpdist.Master.__init__,
}

#: Doors of Python at which a default is another one, each with the reason.
OTHER_DEFAULTS = {
    ("folder.run", "timing"): "silence is judged sooner where a look at a file is all it takes",
    ("folder.run", "progress"): "many processes share the terminal",
    ("folder.run", "directory"): "is required",
    ("Master", "working_directory"): "the seed's",
    ("Master", "time_left_for_this_task"): "the seed's: infinite",
    ("Master", "previous_result"): "the seed's: None",
    ("Master", "result_logger"): "the seed's: one function, or None",
    ("Master", "objective"): "a name, '' where it is not known",
    ("Master", "executor"): "None: workers dial in",
}

#: Options that a command has only in order to refuse them with a reason.
REFUSED = {
    ("hpdist folder", "prefetch"), ("hpdist folder", "resume"), ("hpdist folder", "closed_s"),
}  # fmt: skip


def arguments(door: str) -> set[str]:
    """The names by which a door takes its options."""
    if door in FUNCTIONS:
        return set(inspect.signature(FUNCTIONS[door]).parameters)
    command = cli.get_command(click.Context(cli), door.split()[1])
    assert command is not None
    options = {text for each in command.params for text in each.opts}
    return options | {str(each.metavar) for each in command.params}


@pytest.mark.parametrize("door", DOORS)
def test_each_option_is_at_the_door_or_there_is_a_reason(door: str) -> None:
    there = arguments(door)
    missing = []
    for name, declared in FIELDS.items():
        called = name_at(door, declared)
        if called is None:
            assert EXCLUDED[door][name], name
        elif called not in there:
            missing.append((name, called))
    assert missing == []


@pytest.mark.parametrize("door", DOORS)
def test_what_a_door_is_said_to_lack_it_lacks(door: str) -> None:
    assert set(EXCLUDED[door]) <= set(FIELDS)
    usual = {name: GROUPED.get(name, name) for name in FIELDS}
    if door not in FUNCTIONS:
        usual = {name: "--" + name.replace("_", "-") for name in FIELDS}
    stale = {name for name in EXCLUDED[door] if usual[name] in arguments(door)}
    assert {(door, name) for name in stale} <= REFUSED


@pytest.mark.parametrize("door", FUNCTIONS)
def test_a_default_is_the_declared_one(door: str) -> None:
    found = inspect.signature(FUNCTIONS[door]).parameters
    wrong = {}
    for declared in FIELDS.values():
        called = name_at(door, declared)
        if called is None or called in GROUPED.values() or (door, called) in OTHER_DEFAULTS:
            continue
        default = found[called].default
        if default is not inspect.Parameter.empty and default != declared.default:
            wrong[called] = default
    assert wrong == {}


def test_each_option_says_what_it_is() -> None:
    for name, declared in FIELDS.items():
        text = option_of(declared).help
        assert text[0].isupper(), name
        assert text.endswith("."), name


def test_each_executor_of_the_table_can_be_run() -> None:
    assert set(RUNNERS) == set(EXECUTORS)
    assert set(FACTORIES) < set(EXECUTORS)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: hpdist.minimize(abs, {}, n_trails=3), "did you mean n_trials"),
        (lambda: hpdist.Master("r", None, None, n_trails=3), "did you mean n_trials"),
        (lambda: hpdist.Dispatcher(print, grace=3), "did you mean grace_s"),
    ],
)
def test_a_misspelt_option_is_told_the_name(call: Any, said: str) -> None:
    with pytest.raises(hpdist.HpdistError, match=said):
        call()


def test_the_table_in_the_documents_is_that_of_the_fields() -> None:
    page = Path(__file__).parents[2] / "docs" / "options.rst"
    assert page.read_text() == option_table(), (
        "python -m hpdist.core.run.option_table > docs/options.rst"
    )
