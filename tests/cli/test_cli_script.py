"""Which function of a script is meant, and what else a script says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_scene import write

from hpdist.cli.script import Reference, load_script, names_function
from hpdist.core.model.errors import ConfigurationError


def load(text: str, name: str = "") -> str:
    write("script.py", text)
    script = load_script(Reference.parse(f"script.py:{name}" if name else "script.py"))
    return script.reference.rpartition(":")[2]


def test_the_only_function_that_fits_is_the_objective() -> None:
    assert load("def load(): ...\ndef _f(x): ...\ndef go(config): ...\ndef d(a, b, c, e): ...") == (
        "go"
    )


def test_of_several_the_one_with_a_usual_name_is_the_objective() -> None:
    assert load("def build(config): ...\ndef train(config, budget): ...") == "train"


def test_a_name_that_is_given_counts() -> None:
    assert load("def a(config): ...\ndef b(config): ...", "b") == "b"


@pytest.mark.parametrize(
    "text", ["def a(c): ...\ndef b(c): ...", "def f(c): ...\ndef train(c): ..."]
)
def test_several_candidates_are_listed(text: str) -> None:
    with pytest.raises(ConfigurationError, match="several functions") as refused:
        load(text)
    assert ", " in refused.value.tried
    assert "script.py:" in refused.value.do


@pytest.mark.parametrize("text", ["", "x = 1", "def f(): ...", "async def f(config): ..."])
def test_a_script_without_an_objective_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no function that can be the objective"):
        load(text)


def test_a_worker_is_taken_where_no_function_fits() -> None:
    text = "from hpdist import Worker\nclass Mine(Worker): ...\nclass Other: ..."
    write("script.py", text)
    script = load_script(Reference.parse("script.py"))
    assert script.is_worker
    assert script.reference.endswith("script.py:Mine")


def test_a_name_that_is_no_objective_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        load("def f(a, b, c, d): ...", "f")
    with pytest.raises(ConfigurationError, match="no function 'g'"):
        load("def f(config): ...", "g")


def test_an_import_that_fails_names_file_error_and_path() -> None:
    with pytest.raises(ConfigurationError, match=r"script\.py .*ModuleNotFoundError") as refused:
        load("import not_there\ndef f(config): ...")
    assert "sys.path" in refused.value.tried


def test_a_script_with_a_mistake_in_its_syntax_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be imported: SyntaxError"):
        load("def f(config:")


@pytest.mark.parametrize("name", ["nothing.py", "no_module", "no.module.at.all"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no script"):
        load_script(Reference.parse(name))


def test_a_module_can_be_named_too(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(directory)
    (directory / "pack_age").mkdir()
    (directory / "pack_age" / "tuned.py").write_text("def f(config): ...\nspace = {'x': (0, 1)}")
    script = load_script(Reference.parse("pack_age.tuned"))
    assert script.reference == "pack_age.tuned:f"
    assert script.space() == {"x": (0, 1)}
    assert sys.modules["pack_age.tuned"] is script.module


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("train.py", "hpdist-runs/train"),
        ("my.tuned.module:f", "hpdist-runs/module"),
        ("a b.py:f", "hpdist-runs/a-b"),
    ],
)
def test_a_run_is_called_as_its_script(text: str, run: str) -> None:
    for name in ("train.py", "a b.py"):
        write(name, "")
    assert str(Reference.parse(text).directory) == run


def test_a_file_can_be_named_without_its_suffix() -> None:
    write("tune.py", "def f(config): ...")
    assert Reference.parse("tune:f") == Reference.parse("tune.py:f")


def test_the_space_is_a_variable() -> None:
    write("script.py", "def f(config): ...\nspace = 1\nother = 2")
    script = load_script(Reference.parse("script.py"))
    assert (script.space(), script.space("other")) == (1, 2)
    with pytest.raises(ConfigurationError, match="no variable 'third'"):
        script.space("third")


@pytest.mark.parametrize(
    ("value", "budget"),
    [("(1, 81)", (1.0, 81.0)), ("[0.5, 2]", (0.5, 2.0)), ("None", None), ("len", None)],
)
def test_a_budget_is_a_pair_of_numbers(value: str, budget: object) -> None:
    write("script.py", f"def f(config): ...\nbudget = {value}")
    assert load_script(Reference.parse("script.py")).budget == budget


@pytest.mark.parametrize("value", ["3", "('a', 'b')", "'1:81'", "(1, 3, 9)", "(True, 9)"])
def test_a_budget_that_is_none_is_refused_and_not_ignored(value: str) -> None:
    write("script.py", f"def f(config): ...\nbudget = {value}")
    with pytest.raises(ConfigurationError, match=r"budget in .*script.py must be two numbers"):
        _ = load_script(Reference.parse("script.py")).budget


def test_a_function_is_found_without_running_the_file() -> None:
    write("script.py", "raise RuntimeError\ndef f(config): ...\nclass C: ...")
    assert names_function(Reference.parse("script.py:f"))
    assert not names_function(Reference.parse("script.py:C"))
    assert not names_function(Reference.parse("script.py"))
