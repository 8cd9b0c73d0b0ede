"""Every public way in refuses what cannot work, before anything starts, and says which argument."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from entry_points import ANYTHING_GOES, ENTRIES, EXEMPT, SPACE, bowl, master, search, worker
from untouched import running, snapshot, untouched

import hpdist
from hpdist.core.model.errors import ConfigurationError, HpdistError
from hpdist.multi_fidelity import Asha

PAIRS = [(name, argument) for name, entry in ENTRIES.items() for argument in entry.wrong]


@pytest.mark.parametrize(("name", "argument"), PAIRS, ids=[".".join(pair) for pair in PAIRS])
def test_what_cannot_work_is_refused_with_the_name_of_the_argument(
    directory: Path, name: str, argument: str
) -> None:
    entry = ENTRIES[name]
    held = name.startswith("Master.")  # its methods need a master, which has a run
    before, there = snapshot(directory), running()
    for value in entry.wrong[argument]:
        with pytest.raises(HpdistError) as caught:
            entry.call(**{**entry.good, argument: value})
        message = str(caught.value)
        assert re.search(entry.said.get(argument, argument), message), message
        assert len(message) < 2000, message
        assert held or snapshot(directory) == before, f"{message}: something was written"
    assert running() <= there


def test_the_table_names_only_public_things() -> None:
    from hpdist import multi_fidelity, optimizers

    for name in ENTRIES:
        owner, _, method = name.partition(".")
        found = getattr(hpdist, owner, None) or getattr(multi_fidelity, owner, None)
        found = found or getattr(optimizers, owner)
        assert not method or hasattr(found, method), name


# ------------------------------------------------------------------ completeness


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    """The public methods of a class that take an argument."""
    found = {}
    for name, member in inspect.getmembers(kind, callable):
        own = any(name in vars(each) for each in kind.__mro__ if each.__module__[:6] == "hpdist")
        if name[0] != "_" and own and parameters(member) - {"self"}:
            found[name] = member
    return found


def parameters(function: Callable[..., Any]) -> set[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return {each.name for each in found if each.kind not in kinds} - {"self"}


def test_each_public_name_has_a_row_or_a_reason() -> None:
    for name in hpdist.__all__:
        assert name in ENTRIES or EXEMPT.get(name), f"{name} is neither in ENTRIES nor in EXEMPT"
        value = getattr(hpdist, name)
        if inspect.isclass(value) and not issubclass(value, Exception):
            for method in methods(value) if name not in ("FailureKind", "Context") else ():
                full = f"{name}.{method}"
                assert full in ENTRIES or EXEMPT.get(full), f"{full} has neither a row nor a reason"


def test_each_argument_has_a_row_or_a_reason() -> None:
    for name in [name for name in ENTRIES if hasattr(hpdist, name.split(".")[0])]:
        owner, _, method = name.partition(".")
        target = getattr(hpdist, owner)
        rows = set(ENTRIES[name].wrong) | {arg for each, arg in ANYTHING_GOES if each == name}
        missing = parameters(getattr(target, method) if method else target) - rows
        assert not missing, f"{name}: no row for {sorted(missing)}"


# ------------------------------------------------------------------ beyond single arguments


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"min_budget": 9, "max_budget": 1}, "larger than"),
        ({"min_budget": 1, "max_budget": 1e200, "eta": 2}, "more than 40 rungs"),
        ({"n_trials": None, "iter_generator": hpdist.Study(SPACE).iter_generator, "eta": 1}, "eta"),
        ({"workers": 2}, "cannot take workers=2"),
        ({"n_trials": None, "n_iterations": 1, "iter_generator": Asha(1, 9)}, "never ends"),
        ({"executor": "thread", "job_timeout": 5}, "isolation='none'"),
        ({"executor": "process", "isolation": "none", "memory_limit": 10}, "isolation='none'"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    directory: Path, wrong: dict[str, Any], said: str
) -> None:
    with untouched(directory), pytest.raises(ConfigurationError, match=said):
        search(**wrong)


@pytest.mark.parametrize(
    "place",
    ["file/below", "file", "/proc/below", "new/" + "x" * 250 + "/" + "y" * 256, "a/../file"],
)
def test_where_no_directory_can_be_nothing_is_made(directory: Path, place: str) -> None:
    Path("file").write_text("x")
    with untouched(directory), pytest.raises(ConfigurationError) as caught:
        search(run=place)
    assert "run directory" in str(caught.value)
    with untouched(directory), pytest.raises(ConfigurationError):
        master(working_directory=place)


def test_a_misspelt_argument_is_told_what_it_may_have_been(directory: Path) -> None:
    with untouched(directory), pytest.raises(ConfigurationError, match=r"did you mean n_trials\?"):
        search(n_trial=5)


@pytest.mark.parametrize(
    "text", ["def f(:", "raise SystemExit(3)", "f = 3", "import no_such_thing"]
)
@pytest.mark.parametrize("executor", ["serial", "process"])
def test_a_script_that_cannot_be_evaluated_leaves_no_run(
    directory: Path, text: str, executor: str
) -> None:
    Path("script.py").write_text(text + "\n")
    with untouched(directory), pytest.raises(HpdistError, match="script"):
        search(objective="script.py:f", executor=executor)


def test_a_space_that_leaves_nothing_is_refused_before_anything_starts(directory: Path) -> None:
    import ConfigSpace as CS

    space = CS.ConfigurationSpace({"a": (0.0, 1.0), "b": (0.0, 1.0)})
    space.add(CS.ForbiddenLessThanRelation(space["a"], space["b"]))
    space.add(CS.ForbiddenGreaterThanRelation(space["a"], space["b"]))
    with untouched(directory), pytest.raises(ConfigurationError, match="all forbidden"):
        search(space=space)


class Careless:
    """An optimizer that suggests what it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def ask(self, *arguments: Any, **options: Any) -> Any:
        return self.answer

    def tell(self, observation: Any) -> None:
        """Ignore it."""

    def describe(self) -> dict[str, Any]:
        return {"name": "Careless"}


@pytest.mark.parametrize(
    "answer",
    [None, 5, [], [5], [{"x": 1}], ["no suggestion"] * 2],
    ids=str,
)
def test_an_optimizer_that_suggests_nonsense_is_named(answer: Any) -> None:
    study = hpdist.Study(SPACE, optimizer=Careless(answer))
    with pytest.raises(ConfigurationError, match=r"Careless\.ask suggested"):
        study.ask()


@pytest.mark.parametrize("description", [None, 5, {"a": object()}, {"a": (1, 2)}, {5: 1}])
def test_a_description_that_no_journal_keeps_is_refused(directory: Path, description: Any) -> None:
    careless = Careless([])
    careless.describe = lambda: description  # type: ignore[method-assign]
    with untouched(directory), pytest.raises(ConfigurationError, match=r"describe\(\) must return"):
        search(optimizer=careless)
    with untouched(directory), pytest.raises(ConfigurationError, match=r"describe\(\) must return"):
        master(optimizer=careless, space=SPACE)


def test_an_unknown_device_ends_the_worker_and_is_no_reason_for_another_isolation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    one = worker(device="7")
    one.initialize(bowl)
    with pytest.raises(ConfigurationError, match="no device '7'"):
        one.run()
