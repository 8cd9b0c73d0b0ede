"""What all commands have in common: help, environment, suggestions, errors, exit codes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from cli_scene import BOWL, Commands, write
from repeated import tried_with

from hpdist import HpdistError
from hpdist.cli import exit_codes as failures
from hpdist.cli.exit_codes import Exit, exit_code, tidy
from hpdist.cli.main import VERBS, cli
from hpdist.cli.options import timing_of
from hpdist.cli.parameter_types import BUDGET, BYTES, LIST, NUMBERS, SECONDS
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    JournalDamaged,
    JournalLocked,
    JournalMismatch,
    MissingExtra,
    NameServerNotFound,
)
from hpdist.core.model.limits_and_timing import Timing

SLOW = {"numpy", "scipy", "ConfigSpace", "Pyro4", "pandas", "rich", "sklearn", "cloudpickle"}


def commands() -> Iterator[tuple[list[str], click.Command]]:
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        if isinstance(command, click.Group):
            yield from (([verb, name], inner) for name, inner in command.commands.items())
        yield [verb], command


ALL = {" ".join(words): command for words, command in commands()}
LEAVES = {words: command for words, command in ALL.items() if not isinstance(command, click.Group)}


def loaded_after(*arguments: str) -> set[str]:
    code = (
        "import json, sys\nfrom hpdist.cli.main import run\n"
        f"run({list(arguments)!r})\nprint()\nprint(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=60, text=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@tried_with("words", ALL)
def test_the_help_of_each_command_has_an_example(hpdist: Commands, words: str) -> None:
    said = hpdist(*words.split(), "--help")
    assert said.code == 0
    assert f"\n    hpdist {words}" in said.out.split("Examples:")[1]


@tried_with("words", LEAVES)
def test_each_option_has_help_or_a_default_that_says_it(words: str) -> None:
    for param in LEAVES[words].params:
        if isinstance(param, click.Option) and not param.hidden:
            assert param.help or param.name in ("workers", "seed", "progress", "run"), param.name


@tried_with("words", LEAVES)
def test_an_unknown_option_is_refused_with_a_suggestion(hpdist: Commands, words: str) -> None:
    said = hpdist(*words.split(), "--debuk")
    assert said.code == Exit.USAGE
    assert "--debug" in said.err


@pytest.mark.parametrize("verb", ["run", "master"])
def test_all_patience_with_silent_workers_can_be_set(verb: str) -> None:
    arguments = ["script.py", "--lease", "1m", "--heartbeat", "4s", "--closed", "7s"]
    values = ALL[verb].make_context(verb, arguments).params
    assert timing_of(values) == Timing(lease_s=60.0, heartbeat_s=4.0, closed_s=7.0)
    assert timing_of(ALL[verb].make_context(verb, ["script.py"]).params) == Timing()


def test_an_unknown_command_is_refused_with_a_suggestion(hpdist: Commands) -> None:
    assert "Did you mean status?" in hpdist("stats").err
    assert "Choose from demo, run" in hpdist("xyz").err
    assert hpdist("xyz").code == Exit.USAGE


def test_the_version_is_shown(hpdist: Commands) -> None:
    assert hpdist("--version").out.startswith("hpdist 0.")


def test_help_imports_nothing_that_is_slow() -> None:
    loaded = loaded_after("--help")
    assert not loaded & SLOW
    assert "hpdist.cli.run" in loaded


def test_status_imports_nothing_that_is_slow(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    hpdist("run", "bowl.py", "--executor", "serial", "--budget", "1:3", "--run", "r")
    assert not loaded_after("status", "r") & SLOW


# ------------------------------------------------------------------ environment


@pytest.mark.parametrize("name", ["HPDIST_BUDGET", "HPDIST_PLAN_BUDGET"])
def test_an_option_can_be_set_in_the_environment(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1:3")
    assert hpdist("plan", "--json").json["evaluations"] == 6
    assert hpdist("plan", "--json", "--budget", "1:1").json["evaluations"] == 1


def test_a_commands_own_variable_counts_more_than_the_common_one(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPDIST_BUDGET", "1:3")
    monkeypatch.setenv("HPDIST_PLAN_BUDGET", "1:9")
    assert hpdist("plan", "--json").json["evaluations"] == 22


@tried_with("words", LEAVES)
def test_every_option_has_a_variable_in_the_environment(words: str) -> None:
    for param in LEAVES[words].params:
        if isinstance(param, click.Option):
            assert param.name is not None
            assert param.envvar == [
                f"HPDIST_{words.split()[-1].upper()}_{param.name.upper()}",
                f"HPDIST_{param.name.upper()}",
            ]


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (BUDGET, "1:81", (1.0, 81.0)),
        (BUDGET, "0.1:1e2", (0.1, 100.0)),
        (SECONDS, "90", 90.0),
        (SECONDS, "1.5m", 90.0),
        (SECONDS, "1h30m", 5400.0),
        (SECONDS, "10min", 600.0),
        (BYTES, "1000", 1000),
        (BYTES, "4G", 4 * 2**30),
        (BYTES, "1.5 MiB", 3 * 2**19),
        (LIST, "cuda:0, cuda:1", ["cuda:0", "cuda:1"]),
        (NUMBERS, "3,5", [3, 5]),
    ],
)
def test_values_are_read(kind: click.ParamType, text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value
    assert kind.convert(value, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "hint"),
    [
        (BUDGET, "1-81", "1:81"),
        (BUDGET, "1:2:3", "1:81"),
        (SECONDS, "soon", "1h30m"),
        (SECONDS, "2h!", "1h30m"),
        (SECONDS, "", "1h30m"),
        (BYTES, "4X", "4G"),
        (NUMBERS, "3;5", "3,5"),
    ],
)
def test_wrong_values_are_refused_with_an_example(
    kind: click.ParamType, text: str, hint: str
) -> None:
    with pytest.raises(click.BadParameter, match=hint):
        kind.convert(text, None, None)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (MissingExtra("x"), 2),
        (JournalMismatch("x"), 2),
        (JournalLocked("x"), 2),
        (NameServerNotFound("x"), 3),
        (AuthenticationError("x"), 3),
        (JournalDamaged("x"), 1),
        (HpdistError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: HpdistError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_is_told_without_a_traceback_unless_debugging(hpdist: Commands) -> None:
    said = hpdist("status", "nowhere")
    assert said.code == Exit.USAGE
    assert said.err.startswith("hpdist: error: there is no directory nowhere\n  cause: ")
    assert "Traceback" not in said.err
    assert "Traceback" in hpdist("status", "nowhere", "--debug").err


def test_a_mistake_of_hpdists_own_is_told_with_a_traceback(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: object) -> None:
        raise ZeroDivisionError("of our own making")

    monkeypatch.setattr("hpdist.cli.run_status.read_status", fail)
    said = hpdist("status", ".")
    assert said.code == Exit.FAILED
    assert "Traceback" in said.err
    assert "please report it" in said.err


def test_ctrl_c_ends_any_command_with_130(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpdist.cli.run_status.read_status", press)
    assert hpdist("status", ".").code == Exit.INTERRUPTED


def test_control_characters_are_escaped_but_not_line_ends() -> None:
    assert tidy("a\x1b[31mb\nc\u202ed\té") == "a\\x1b[31mb\nc\\u202ed\\té"


def test_what_hpdist_logs_is_shown_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failures.show_log(logging.WARNING)
    log = logging.getLogger("hpdist.somewhere")
    log.info("not this")
    try:
        raise ValueError("a \x1b cause")
    except ValueError:
        log.exception("it %s", "failed")
    told = capsys.readouterr().err
    assert told.startswith("hpdist: it failed\nTraceback")
    assert "ValueError: a \\x1b cause" in told
    assert "not this" not in told
