"""Wrong things on the command line: exit code 2, a message without a traceback, nothing changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from untouched import untouched

from hpdist.cli.main import VERBS, cli, run
from hpdist.cli.parameter_types import RunPath, Value

BOWL = """
import hpdist

def objective(config, budget):
    return (config["x"] - 0.3) ** 2 + 1 / budget

space = {"x": hpdist.Float(-1, 1), "kind": ["a", "b"]}
"""

SCRIPTS = {
    "bowl.py": BOWL,
    "syntax.py": "def f(:\n",
    "nothing.py": "x = 1\n",
    "exits.py": "print('hello')\nraise SystemExit(0)\n\ndef f(config): return 1\n",
    "raises.py": "1 / 0\n\ndef f(config): return 1\n",
    "imports.py": "import no_such_thing\n\ndef f(config): return 1\n",
    "spaceless.py": "def f(config): return 1\n",
    "badspace.py": "def f(config): return 1\nspace = 5\n",
    "badbudget.py": "def f(config): return 1\nspace = {'x': (0, 1)}\nbudget = '1:81'\n",
    "four.py": "def f(a, b, c, d): return 1\nspace = {'x': (0, 1)}\n",
    "zero.py": "\0\1\2",
    "text": "def f(config): return 1\n",
    "foreign/journal": '{"another": "program"}\n',
    "broken/command.json": "{",
}

#: Words after "hpdist", and what the message says.
WRONG: dict[str, str] = {
    "run nofile.py": "there is no script .*nofile.py",
    "run": "Missing argument",
    "run syntax.py": "line 1: def f",
    "run nothing.py": "has no function that can be the objective",
    "run exits.py": "cannot be imported: SystemExit",
    "run raises.py": r"line 1: 1 / 0",
    "run imports.py": "No module named 'no_such_thing'",
    "run spaceless.py": "has no variable 'space'",
    "run bowl.py --address tcp://a:1": "--address is of no use.*executor dask or ray or mpi",
    "run badspace.py": "a space must be",
    "run badbudget.py": "budget in .*badbudget.py must be two numbers",
    "run four.py": "it has 4 parameters",
    "run zero.py": "cannot be imported",
    "run text": "there is no script or module 'text'",
    "run ./text": "does not end in .py",
    "run .": "there is no script",
    "run sys": "not written in Python",
    "run no.such.module:f": "no script or module",
    "run bowl.py:nothing": "has no function 'nothing'",
    "run bowl.py:space": "has no function 'space'",
    "run bowl.py --space nothing": "no variable 'nothing'",
    "run bowl.py --budget 9:1": "min_budget=9 is larger",
    "run bowl.py --budget nan:1": "write MIN:MAX",
    "run bowl.py --budget 1:inf": "write MIN:MAX",
    "run bowl.py --budget 0:9": "min_budget must be",
    "run bowl.py --budget 1:9 --eta 1": "eta must be",
    "run bowl.py --budget 1:9 --eta nan": "eta must be",
    "run bowl.py --budget 1:1e300 --eta 2": "more than 40 rungs",
    "run bowl.py --iter-generator asha": "needs a smallest",
    "run bowl.py --budget 1:9 --iter-generator asha --iterations 3": "never ends",
    "run bowl.py --max-cost nan": "max_cost must be",
    "run bowl.py --target-loss inf": "target_loss must be",
    "run bowl.py --time-limit 0": "time_limit must be > 0",
    "run bowl.py --time-limit 99999999999h": "more than 100 years",
    "run bowl.py --job-timeout 0 --executor process": "job_timeout must be > 0",
    "run bowl.py --memory-limit 0 --executor process": "memory_limit must be",
    "run bowl.py --seed -1": "seed must be",
    "run bowl.py --optimizer magic": "'magic' is no optimizer",
    "run bowl.py --objectives latency": "are not the objectives of a search",
    "run bowl.py --lease 0": "lease_s must be",
    "run bowl.py --lease 1 --heartbeat 5": "no room for two heartbeats",
    "run bowl.py --executor serial --port 9": "--port is of no use",
    "run bowl.py --executor serial --host localhost": "--host is of no use",
    "run bowl.py --executor serial --workers 2": "--workers is of no use",
    "run bowl.py --executor thread --job-timeout 3": "isolation='none'",
    "run bowl.py --nic nonic": "no network interface 'nonic'",
    "run bowl.py --host 0.0.0.0": "stands for every interface",
    "run bowl.py --host 192.0.2.77": "no address of this machine",
    "run bowl.py --run foreign": "is no journal of hpdist",
    "run bowl.py --run text/x --executor serial": "run directory text/x cannot be made",
    "run bowl.py --warm-start foreign": "is no journal of hpdist",
    "run bowl.py --warm-start nowhere": "does not exist",
    "run bowl.py extra": "unexpected extra argument",
    "run bowl.py --frobnicate": "No such option",
    "plan nofile.py": "there is no script",
    "plan badbudget.py": "must be two numbers",
    "plan --budget 9:1": "larger",
    "plan --budget 1:81 --iterations 1000000000": "n_iterations must be",
    "plan --budget 1:9 --iter-generator asha": "continues until a limit",
    "resume nowhere": "there is no directory nowhere",
    "resume foreign": "is no journal of hpdist",
    "resume broken": "is no run directory",
    "resume text": "is a file",
    "status nowhere": "there is no directory nowhere",
    "status text": "is a file",
    "status foreign": "is no journal of hpdist",
    "results nowhere": "there is no directory nowhere",
    "results foreign": "is no journal of hpdist",
    "journal": "Commands:",
    "journal magic": "No such command",
    "journal check nowhere": "there is no directory nowhere",
    "journal check text": "is a file",
    "journal check foreign": "is no journal of hpdist",
    "journal repair foreign": "is no journal of hpdist",
    "journal show foreign": "is no journal of hpdist",
    "journal show foreign --kind magic": "choose from",
    "keys show nowhere": "there is no key for run 'nowhere'",
    "keys rotate nowhere": "there is no key for run 'nowhere'",
    "keys tls text": "is a file",
    "keys tls text/x": "Not a directory|needs the package cryptography",
    "control nowhere stop": "there is no directory nowhere",
    "control nowhere magic": "is not one of",
    "control nowhere extend": "extend needs a limit",
    "worker nofile.py --run nowhere": "there is no script",
    "worker bowl.py --run-id x": "the address of run 'x' is not given",
    "worker bowl.py --nameserver here": "may serve several runs",
    "worker bowl.py --run-id a.b --nameserver localhost:9": "cannot name a run",
    "worker bowl.py --run-id x --nameserver localhost:0": "is no address",
    "worker bowl.py --isolation none --job-timeout 3 --run r": "isolation='none'",
    "master nofile.py": "there is no script",
    "master bowl.py --nameserver here --run-id x": "'here' is no address",
    "master bowl.py --host localhost --nic lo": "choose one",
    "master badbudget.py": "must be two numbers",
    "nameserver": "needs either --run or --run-id",
    "nameserver --run-id ../x": "cannot name a run",
    "nameserver --run text/x": "cannot be made",
    "nameserver --run-id x --tls-dir nowhere": "there is no .*ca.pem",
    "nameserver --run x --host nohost.invalid": "unknown host",
    "nameserver --run x --host localhost --nic lo": "choose one",
    "demo --workers 0": "not in the range",
    "statsu x": "Did you mean status",
}


@pytest.fixture(autouse=True)
def scripts(directory: Path) -> None:
    for name, text in SCRIPTS.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)


@pytest.fixture(autouse=True)
def path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if Path(f"{name}.py").name in SCRIPTS:
            del sys.modules[name]


def refused(words: list[str], directory: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with untouched(directory):
        code = run(words)
    said = capsys.readouterr()
    assert code == 2, said
    assert "Traceback" not in said.err
    assert "bug in hpdist" not in said.err
    assert len(said.err) < 4000
    return said.err


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words_are_refused_and_nothing_is_changed(
    words: str, directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert re.search(WRONG[words], refused(words.split(), directory, capsys), re.DOTALL)


# ------------------------------------------------------------------ every option of every command


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{verb} {name}", each) for name, each in command.commands.items())
        else:
            yield verb, command


def wrong_values(option: click.Parameter) -> list[str]:
    """Values of the wrong kind; none where any text will do."""
    kind = option.type
    if isinstance(kind, RunPath):
        return ["", "x" * 300, "text", "a\0b"]
    if isinstance(kind, click.Path):
        return ["/"] if not kind.dir_okay else []
    if isinstance(kind, Value):
        return ["?", "nan", "-", "1:2:3"] if kind.name != "a,b,..." else []
    if isinstance(kind, click.Choice):
        return ["no-such-word", ""]
    if kind is click.STRING or option.name == "script":
        return []
    low = [str(kind.min - 1)] if isinstance(kind, click.IntRange) and kind.min is not None else []
    return ["", "abc", "1.5.2", *low]


OPTIONS = [
    (name, option)
    for name, command in commands()
    for option in command.params
    if not getattr(option, "is_flag", False)
]

#: Options that take any text, and where in `WRONG` what follows from it is tried; or why not.
TEXTS = {
    "script": "run nofile.py",
    "space": "run bowl.py --space nothing",
    "optimizer": "run bowl.py --optimizer magic",
    "objectives": "run bowl.py --objectives latency",
    "host": "run bowl.py --host 0.0.0.0",
    "address": "run bowl.py --address tcp://a:1",
    "nic": "run bowl.py --nic nonic",
    "run_id": "nameserver --run-id ../x",
    "nameserver": "master bowl.py --nameserver here --run-id x",
    "kind": "journal show foreign --kind magic",
    "warm_start": "run bowl.py --warm-start foreign",
    "devices": "any names, shared out among the slots",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "run" else pytest.mark.slow)
        for name in dict.fromkeys(name for name, _ in OPTIONS)
    ],
)
def test_each_option_refuses_values_of_another_kind(
    name: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in [option for each, option in OPTIONS if each == name]:
        check_option(name, option, directory, capsys)


def check_option(
    name: str, option: click.Parameter, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = wrong_values(option)
    if not values:
        told = TEXTS[str(option.name)]
        assert told in WRONG or " " in told
        return
    for value in values:
        if isinstance(option, click.Option):
            words = [*name.split(), f"{option.opts[0]}={value}"]
            if option.opts[0][:2] != "--":
                words[-1:] = [option.opts[0], value]
        else:
            words = [*name.split(), "--", *(["r"] if option.name == "command" else []), value]
        refused(words, directory, capsys)


# ------------------------------------------------------------------ how a run was begun


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget": "x"}, "budget is 'x'"),
        ({"budget": [1, "9"]}, "budget is"),
        ({"budget": [1]}, "budget is"),
        ({"budget": 5}, "budget is 5"),
        ({"eta": [3]}, "eta is"),
        ({"seed": {"a": 1}}, "seed is"),
        ({"script": None}, "script is None"),
        ({"script": "gone.py"}, "there is no script"),
        ({"workers": -3}, "workers is -3"),
        ({"time_limit": "soon"}, "time_limit is 'soon'"),
        ({"executor": "magic"}, "executor is 'magic'"),
        ({"warm_start": 5}, "warm_start is 5"),
        ({"run": ""}, "run is ''"),
    ],
)
def test_a_command_that_was_edited_is_refused_when_it_is_resumed(
    change: dict[str, object], said: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    begin = "run bowl.py --executor serial --trials 1 --run r --progress none"
    assert run(begin.split()) == 0
    path = Path("r/command.json")
    note = json.loads(path.read_text())
    note["options"] |= change
    path.write_text(json.dumps(note))
    capsys.readouterr()
    assert said in refused(["resume", "r"], directory, capsys)


def test_the_program_itself_shows_no_traceback(directory: Path) -> None:
    with untouched(directory):
        done = subprocess.run(
            [sys.executable, "-B", "-m", "hpdist.cli.main", "run", "raises.py"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("hpdist: error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
