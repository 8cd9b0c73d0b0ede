"""Whatever a constructor is given: it is refused as the caller's fault, or it survives JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from entry_points import Unprintable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hpdist
from hpdist.core.model.errors import HpdistError
from hpdist.core.model.validation import short_repr
from hpdist.multi_fidelity import Asha, Custom, Hyperband, SingleFidelity, SuccessiveHalving

usual = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

numbers = (
    st.integers()
    | st.floats()
    | st.fractions()
    | st.sampled_from(
        [0, 1, 2, 3, 1.0, 9, 27, 81, 2**53, 2**64, 10**400, -(10**400), 1e300, 5e-324, 1j]
    )
    | st.sampled_from(
        [np.int64(3), np.float32(0.5), np.float64(9), np.uint8(1), np.bool_(True), np.nan]
    )
)
scalars = (
    numbers
    | st.none()
    | st.booleans()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.sampled_from([object(), int, print, Decimal("1.5"), Fraction(1, 3), ...])
    | st.builds(Unprintable)
)
odd = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=6,
)


def kept(value: Any) -> Any:
    """What JSON makes of a value; not a number or odd text would be refused."""
    return json.loads(json.dumps(value, allow_nan=False))


def made(make: Any, *arguments: Any, **options: Any) -> Any:
    """What was made, or None if it was refused in the right way."""
    refused = ""
    try:
        return make(*arguments, **options)
    except HpdistError as error:
        refused = str(error)
    assert 0 < len(refused) < 4000
    return None


@usual
@given(st.lists(numbers | odd, min_size=2, max_size=4))
@pytest.mark.parametrize("kind", [Hyperband, SuccessiveHalving, Asha, Custom, SingleFidelity])
def test_generators(kind: Any, arguments: list[Any]) -> None:
    most = {Custom: 2, SingleFidelity: 2, Asha: 3}.get(kind, 4)
    generator = made(kind, *arguments[:most])
    if generator is not None:
        assert kept(generator.describe()) == generator.describe()
        again = kind(**{k: v for k, v in generator.describe().items() if k != "name"})
        assert again.describe() == generator.describe()
        assert again.budgets == generator.budgets
        assert generator.get_next_iteration(0).propose() is not None
        generator.get_table()


@usual
@given(st.data())
@pytest.mark.parametrize("kind", [hpdist.Limits, hpdist.Retry, hpdist.Timing, hpdist.Success])
def test_values(kind: Any, data: st.DataObject) -> None:
    names = [name for name in kind.__dataclass_fields__ if name != "info"]
    options = data.draw(st.dictionaries(st.sampled_from(names), numbers | odd, max_size=3))
    value = made(kind, **{"loss": 1.0, **options} if kind is hpdist.Success else options)
    if value is not None:
        assert kind(**kept(asdict(value))) == value
        assert all(type(each) in (int, float, type(None)) for each in vars(value).values())


@usual
@given(low=numbers | odd, high=numbers | odd, log=st.booleans() | odd, default=st.none() | numbers)
@pytest.mark.parametrize("kind", [hpdist.Float, hpdist.Int])
def test_ranges(kind: Any, low: Any, high: Any, log: Any, default: Any) -> None:
    parameter = made(kind, low, high, log, default)
    if parameter is not None:
        assert kept(asdict(parameter)) == asdict(parameter)
        assert kind(**kept(asdict(parameter))) == parameter
        assert parameter.accept(parameter.at(0.3)) == parameter.at(0.3)
        space = made(hpdist.Space.of, {"x": parameter})
        assert space is None or space.check(space.default()) == space.default()


@usual
@given(st.lists(scalars, max_size=4) | odd, odd)
@pytest.mark.parametrize("kind", [hpdist.Categorical, hpdist.Ordinal])
def test_choices(kind: Any, choices: Any, default: Any) -> None:
    parameter = made(kind, choices, default=default)
    if parameter is not None:
        assert kept(asdict(parameter))["default"] == parameter.default
        assert parameter.position(parameter.default) >= 0


@usual
@given(odd | st.dictionaries(st.text(max_size=5), odd, max_size=3))
def test_spaces(written: Any) -> None:
    space = made(hpdist.Space.of, written)
    if space is not None:
        again = hpdist.Space.from_json(kept(space.to_json()))
        assert again.to_json() == space.to_json()
        config = space.sample(np.random.default_rng(0))
        assert space.check(kept(config)) == config


@usual
@given(odd)
def test_descriptions_of_spaces(data: Any) -> None:
    made(hpdist.Space.from_json, data)


@usual
@given(st.dictionaries(st.sampled_from(["x", "k", "z"]), scalars, max_size=3) | odd)
def test_configurations(config: Any) -> None:
    space = hpdist.Space.of({"x": (-1.0, 1.0), "k": [1, "a", None]})
    checked = made(space.check, config)
    assert checked is None or space.check(kept(checked)) == checked


@usual
@given(loss=numbers | odd, cost=st.none() | numbers | odd, info=odd)
def test_tells(loss: Any, cost: Any, info: Any) -> None:
    study = hpdist.Study({"x": (0.0, 1.0)})
    asked = study.ask()
    assert asked is not None
    before = study.n_results
    try:
        study.tell(asked, loss, cost=cost, info=info)
    except HpdistError:
        assert study.n_results == before
        study.tell(asked, 1.0)
    outcome = study.table.jobs[0].outcome
    if isinstance(outcome, hpdist.Success):
        assert kept(outcome.info) == outcome.info
        assert math.isfinite(outcome.loss)


@usual
@given(
    name=st.sampled_from(["limits", "direction", "seed", "initial_configs", "warm_start"]),
    value=odd,
)
def test_studies(name: str, value: Any) -> None:
    study = made(hpdist.Study, {"x": (0.0, 1.0)}, **{name: value})
    if study is not None:
        described = study.describe("r")
        assert kept(vars(described)) == vars(described)


@usual
@given(odd)
def test_anything_can_be_shown_on_a_short_line(value: Any) -> None:
    text = short_repr(value)
    assert text
    assert "\n" not in text
    assert len(text) <= 200
