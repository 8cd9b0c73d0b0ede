"""What an objective may return, and what it is told about anything else."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.objective.returned_value import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    normalise_result,
    to_number,
)


class FakeTensor:
    """As much of a torch tensor as is looked at."""

    def __init__(self, data: Any) -> None:
        self._data = np.asarray(data)
        self.shape = self._data.shape

    def item(self) -> Any:
        return self._data.item()

    def tolist(self) -> Any:
        return self._data.tolist()


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Epoch:
    number: int
    losses: tuple[float, ...]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")


class BrokenArray:
    shape = ()

    def item(self) -> Any:
        raise RuntimeError("device lost")

    def tolist(self) -> Any:
        raise RuntimeError("device lost")


def info_of(value: object) -> Any:
    outcome = normalise_result({"loss": 0, "info": value}, "train")
    assert isinstance(outcome, Success), outcome
    return outcome.info


def refusal(value: object) -> str:
    outcome = normalise_result(value, "train")
    assert isinstance(outcome, Failure), outcome
    assert outcome.kind is FailureKind.INVALID
    assert "train" in outcome.message
    return outcome.message


@pytest.mark.parametrize(
    "loss",
    [
        0.5,
        np.float64(0.5),
        np.float32(0.5),
        np.float16(0.5),
        np.longdouble(0.5),
        np.array(0.5),
        FakeTensor(0.5),
    ],
)
def test_every_scalar_becomes_a_plain_float(loss: object) -> None:
    for value in (loss, {"loss": loss}):
        outcome = normalise_result(value, "train")
        assert outcome == Success(0.5)
        assert type(outcome.loss) is float


@pytest.mark.parametrize("loss", [3, np.int64(3), np.array(3), Level.HIGH])
def test_whole_numbers_become_floats(loss: object) -> None:
    outcome = normalise_result(loss, "train")
    assert outcome == Success(3.0)
    assert type(outcome.loss) is float


@pytest.mark.parametrize(
    "loss",
    [
        None,
        "0.5",
        True,
        np.bool_(True),
        1j,
        np.complex128(1j),
        math.nan,
        math.inf,
        -math.inf,
        np.float32("nan"),
        FakeTensor(math.nan),
        [0.5],
        (0.5, {}),
        np.array([0.5]),
        object(),
        b"0.5",
        10**400,
        pytest.param(10**5000, id="huge"),
    ],
)
def test_anything_else_is_no_loss(loss: object) -> None:
    refusal(loss)
    assert "'loss'" in refusal({"loss": loss})


def test_the_message_tells_value_type_and_what_is_accepted() -> None:
    message = refusal({"loss": "low"})
    assert "'low'" in message
    assert "str" in message
    assert "finite numbers" in message


def test_a_dict_without_a_loss_is_told_which_keys_it_has() -> None:
    assert "['score']" in refusal({"score": 1.0})
    assert "no keys" in refusal({})


def test_cost_is_a_finite_number_or_none() -> None:
    assert normalise_result({"loss": 1, "cost": np.float32(2)}, "train") == Success(1.0, 2.0)
    assert normalise_result({"loss": 1, "cost": None}, "train") == Success(1.0)
    assert "'cost'" in refusal({"loss": 1, "cost": "much"})
    assert "'cost'" in refusal({"loss": 1, "cost": math.inf})


def test_other_keys_are_added_to_info() -> None:
    assert normalise_result({"loss": 1, "epochs": 3}, "f") == Success(1.0, info={"epochs": 3})
    both = {"loss": 1, "info": {"a": 1}, "b": 2}
    assert normalise_result(both, "f") == Success(1.0, info={"a": 1, "b": 2})


@pytest.mark.parametrize("info", [[1], "text", {"b": 1}])
def test_other_keys_never_replace_what_is_in_info(info: object) -> None:
    assert "'b'" in refusal({"loss": 1, "info": info, "b": 2})


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (np.bool_(False), False),
        (np.int8(3), 3),
        (np.float32(0.5), 0.5),
        (np.str_("a"), "a"),
        (FakeTensor([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.zeros((2, 0)), [[], []]),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (OrderedDict(a=1), {"a": 1}),
        ({1: "a", np.int64(2): "b"}, {"1": "a", "2": "b"}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Path("a/b"), "a/b"),
        (Epoch(1, (0.5,)), {"number": 1, "losses": [0.5]}),
        (datetime(2020, 1, 2, 3), "2020-01-02T03:00:00"),
        (date(2020, 1, 2), "2020-01-02"),
        (timedelta(seconds=1.5), 1.5),
        (math.nan, "nan"),
        (np.float64("-inf"), "-inf"),
        ({"__class__": "x"}, {"__class__": "x"}),
        ("\ud800x", "\\ud800x"),
        (2**64 - 1, 2**64 - 1),
    ],
)
def test_info_becomes_plain_data(value: object, plain: object) -> None:
    for wrapped, expected in ((value, plain), ([value], [plain]), ({"k": value}, {"k": plain})):
        info = info_of(wrapped)
        assert info == expected
        assert json.loads(json.dumps(info, allow_nan=False)) == info
        json.dumps(info, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        object(),
        1j,
        Hostile(),
        2**65,
        pytest.param(10**5000, id="huge"),
        {(1, 2): 3},
        {None: 1},
        {True: 1},
        {1.5: 1},
        {1: "a", "1": "b"},
        pytest.param({10**5000: 1}, id="huge key"),
        BrokenArray(),
        Epoch,
        print,
        (each for each in "ab"),
        np.array([1j]),
        np.array([b"x"]),
    ],
)
def test_what_json_cannot_hold_is_refused_naming_where(value: object) -> None:
    assert len(refusal({"loss": 1, "info": {"deep": [value]}})) < 1000


def test_the_path_leads_to_the_value() -> None:
    message = refusal({"loss": 1, "info": {"models": [{}, {"raw": b"x"}]}})
    assert "info['models'][1]['raw'] is b'x' of type bytes" in message


def test_the_key_that_takes_the_most_room_is_named() -> None:
    small, large = "x" * (MAX_BYTES // 3), "y" * (MAX_BYTES - 100)
    message = refusal({"loss": 1, "info": {"first": small, "weights": large, "last": small}})
    assert "info['weights']" in message
    assert "ctx.directory" in message


def test_size_counts_as_written_in_json() -> None:
    assert info_of("x" * (MAX_BYTES - 2))
    refusal({"loss": 1, "info": "\n" * (MAX_BYTES - 2)})


def test_depth_is_limited() -> None:
    nested: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        nested = [nested]
    assert info_of(nested) == nested
    assert "deeper" in refusal({"loss": 1, "info": [nested]})


def test_the_number_of_values_is_limited() -> None:
    assert len(info_of([0] * (MAX_NODES - 1))) == MAX_NODES - 1
    assert "values" in refusal({"loss": 1, "info": [0] * MAX_NODES})
    assert "values" in refusal({"loss": 1, "info": {"a": [0] * 6000, "b": [0] * 6000}})
    assert "values" in refusal({"loss": 1, "info": [[0] * 200 for _ in range(200)]})


def test_huge_and_cyclic_values_are_refused_without_looking_at_them_all() -> None:
    class Counted(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise AssertionError("it was read although it is too long")

    assert "values" in refusal({"loss": 1, "info": Counted(range(1_000_000))})
    assert "values" in refusal({"loss": 1, "info": np.zeros(1_000_000)})
    cycle: list[Any] = []
    cycle.append(cycle)
    assert "deeper" in refusal({"loss": 1, "info": cycle})
    bush: list[Any] = []
    bush.extend([bush] * 50)
    refusal({"loss": 1, "info": bush})


def test_many_long_keys_are_refused() -> None:
    refusal({"loss": 1, "info": {f"{i}" + "k" * 2000: i for i in range(1000)}})


def test_to_number_takes_scalars_only() -> None:
    assert to_number(np.float32(0.5)) == 0.5
    assert to_number(10**400) == math.inf
    assert to_number(True) is None
    assert to_number("1") is None


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=[]), max_size=5),
        st.binary(max_size=3),
        st.complex_numbers(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.none()), inner),
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_whatever_comes_in_is_recordable_or_refused(value: object) -> None:
    for result in (value, {"loss": 1.0, "info": value}):
        outcome = normalise_result(result, "train")
        if isinstance(outcome, Success):
            assert math.isfinite(outcome.loss)
            text = json.dumps(outcome.info, allow_nan=False)
            assert json.loads(text) == outcome.info
            again = normalise_result({"loss": outcome.loss, "info": outcome.info}, "train")
            assert again == outcome
        else:
            assert outcome.kind is FailureKind.INVALID
