"""Which functions can be objectives, how they are found by name, and what becomes of a call."""

from __future__ import annotations

import functools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hpdist.core.attempt.objective_call import call_objective
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.objective.context import Context
from hpdist.core.objective.objective import check_signature, load_objective, objective_of
from hpdist.testing.executors import payload_of


class Model:
    def method(self, config: Any, budget: float) -> float:
        return 0.0

    def __call__(self, config: Any) -> float:
        return 1.0


def keyword_only(config: Any, *, verbose: bool = False, **more: Any) -> float:
    return 0.0


def varied(config: Any, *more: Any) -> float:
    return 0.0


@functools.lru_cache
def wrapped(config: Any, budget: float) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda config: 0, 1),
        (lambda config, budget: 0, 2),
        (lambda config, budget, ctx: 0, 3),
        (lambda x, b, c, extra=1: 0, 3),
        (lambda config, budget=9: 0, 2),
        (lambda config, verbose=False: 0, 1),
        (lambda config, budget, verbose=False: 0, 2),
        (lambda config, budget, ctx=None: 0, 3),
        (lambda config, budget=1, context=None: 0, 3),
        (lambda config=None: 0, 1),
        (keyword_only, 1),
        (varied, 1),
        (wrapped, 2),
        (Model().method, 2),
        (Model(), 1),
        (functools.partial(Model().method, budget=3), 1),
    ],
)
def test_the_signature_tells_what_to_pass(function: Any, count: int) -> None:
    assert check_signature(function) == count


async def coroutine(config: Any) -> float:
    return 0.0


def generator(config: Any) -> Any:
    yield 0.0


def needs_keyword(config: Any, *, data: Any) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda: 0, "0 parameters"),
        (lambda a, b, c, d: 0, "4 parameters"),
        (lambda config, ctx: 0, "called ctx"),
        (lambda *args, **kwargs: 0, "functools.wraps"),
        (needs_keyword, "data has no default"),
        (coroutine, "coroutine"),
        (generator, "generator"),
        (Model, "a class"),
        (3, "no function"),
        (max, "no readable signature"),
    ],
)
def test_another_signature_is_refused_with_the_reason(function: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_signature(function)


def test_the_refusal_names_function_signature_and_accepted_forms() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_signature(needs_keyword)
    for part in ("needs_keyword(config", "f(config)", "f(config, budget, ctx)"):
        assert part in str(caught.value)


def test_an_objective_gets_config_budget_and_context(tmp_path: Path) -> None:
    payload = payload_of({"x": 1})
    context = Context(payload, 1, tmp_path)
    for function, expected in (
        (lambda config: config, {"x": 1}),
        (lambda config, budget: (config, budget), ({"x": 1}, 1.0)),
        (lambda c, b, ctx: (c, b, ctx), ({"x": 1}, 1.0, context)),
    ):
        assert objective_of(function).build()(payload, context) == expected


def test_an_objective_cannot_change_the_payload(tmp_path: Path) -> None:
    payload = payload_of({"x": 1})
    call = objective_of(lambda config: config.pop("x")).build()
    assert call(payload, Context(payload, 1, tmp_path)) == 1
    assert payload.config == {"x": 1}


@pytest.fixture(autouse=True)
def _same_modules_afterwards(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_a_file_is_imported_under_its_own_name_without_its_main_part(tmp_path: Path) -> None:
    write(tmp_path, "beside_it.py", "LOSS = 2.5\n")
    text = (
        "import beside_it\n"
        "def train(config): return beside_it.LOSS\n"
        "if __name__ == '__main__': raise SystemExit('it ran as a script')\n"
    )
    path = write(tmp_path, "some_training.py", text)
    function = load_objective(f"{path}:train")
    assert function({}) == 2.5
    assert function.__module__ == "some_training"
    assert load_objective(f"{path}:train") is function


def test_threads_that_ask_for_one_file_at_once_all_get_its_function(tmp_path: Path) -> None:
    text = "import time\ntime.sleep(0.1)\ndef train(config): return 5\n"
    path = write(tmp_path, "asked_by_many.py", text)
    with ThreadPoolExecutor(8) as pool:
        functions = list(pool.map(load_objective, [f"{path}:train"] * 8))
    assert len(set(functions)) == 1


def test_a_file_named_like_another_module_does_not_replace_it(tmp_path: Path) -> None:
    path = write(tmp_path, "json.py", "def train(config): return 4\n")
    function = load_objective(f"{path}:train")
    assert function({}) == 4
    assert load_objective(f"{path}:train") is function
    import json

    assert json.loads("[]") == []


def test_a_module_in_the_current_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "local_training.py", "def train(config): return 3\n")
    monkeypatch.chdir(tmp_path)
    assert load_objective("local_training:train")({}) == 3


def test_a_relative_file_is_found_from_another_directory_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "relative_training.py", "def train(config): return 3\n")
    monkeypatch.chdir(tmp_path)
    objective = objective_of("relative_training.py:train")
    monkeypatch.chdir("/")
    payload = payload_of({})
    assert objective.build()(payload, Context(payload, 1, tmp_path)) == 3


def test_an_import_that_fails_tells_file_exception_and_path(tmp_path: Path) -> None:
    path = write(tmp_path, "broken_training.py", "import no_such_module_anywhere\n")
    with pytest.raises(ConfigurationError) as caught:
        load_objective(f"{path}:train")
    for part in (str(path), "ModuleNotFoundError", "no_such_module_anywhere", "sys.path"):
        assert part in str(caught.value)
    assert "broken_training" not in sys.modules


def test_a_script_that_exits_when_imported_does_not_end_the_program(tmp_path: Path) -> None:
    path = write(tmp_path, "exiting_training.py", "raise SystemExit(3)\n")
    with pytest.raises(ConfigurationError, match="SystemExit"):
        load_objective(f"{path}:train")


def test_a_missing_function_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    path = write(tmp_path, "other_training.py", "def fit(config): return 3\nLOSS = 1\n")
    for name in ("train", "LOSS"):
        with pytest.raises(ConfigurationError, match="it has fit"):
            load_objective(f"{path}:{name}")


@pytest.mark.parametrize("reference", ["train.py", "train:", ":f", "a b", "train.py:not ok"])
def test_a_name_of_another_form_is_refused(reference: str) -> None:
    with pytest.raises(ConfigurationError, match="module:function"):
        objective_of(reference)


def test_a_missing_file_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.py does not exist"):
        objective_of("nowhere.py:train")


def test_an_exception_is_told_from_the_users_first_frame_on(tmp_path: Path) -> None:
    def inner() -> None:
        raise KeyError("lr")

    def train(config: Any) -> None:
        inner()

    payload = payload_of({})
    call = objective_of(train).build()
    outcome = call_objective(call, "train", payload, Context(payload, 1, tmp_path))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.message) == (FailureKind.EXCEPTION, "KeyError: 'lr'")
    assert "in train" in outcome.traceback
    assert "in inner" in outcome.traceback
    assert "attempt.py" not in outcome.traceback
    assert "objective.py" not in outcome.traceback.replace("test_objective.py", "")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SystemExit(3), FailureKind.EXCEPTION),
        (GeneratorExit(), FailureKind.EXCEPTION),
        (MemoryError(), FailureKind.MEMORY),
        (UnprintableError(), FailureKind.EXCEPTION),
        (ValueError("x" * 10**6), FailureKind.EXCEPTION),
    ],
)
def test_whatever_is_raised_becomes_a_failure(
    tmp_path: Path, error: BaseException, kind: FailureKind
) -> None:
    def call(payload: Any, context: Any) -> None:
        raise error

    payload = payload_of({})
    outcome = call_objective(call, "train", payload, Context(payload, 1, tmp_path))
    assert isinstance(outcome, Failure)
    assert outcome.kind is kind
    assert type(error).__name__ in outcome.message
    assert len(outcome.message) + len(outcome.traceback) < 200_000


def test_an_interrupt_is_for_the_program_as_a_whole(tmp_path: Path) -> None:
    def call(payload: Any, context: Any) -> None:
        raise KeyboardInterrupt

    payload = payload_of({})
    with pytest.raises(KeyboardInterrupt):
        call_objective(call, "train", payload, Context(payload, 1, tmp_path))


def test_a_good_result_is_a_success(tmp_path: Path) -> None:
    payload = payload_of({})
    context = Context(payload, 1, tmp_path)
    assert call_objective(lambda p, c: {"loss": 1, "n": 2}, "f", payload, context) == Success(
        1.0, info={"n": 2}
    )


def test_the_child_starts_without_heavy_imports() -> None:
    heavy = "{'numpy', 'scipy', 'pandas', 'ConfigSpace', 'Pyro4', 'psutil', 'cloudpickle'}"
    code = f"import sys, hpdist.core.attempt.child_main; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
