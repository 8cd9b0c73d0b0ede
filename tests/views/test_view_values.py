"""What engines answer is data, read without running anything."""

from __future__ import annotations

import json
from collections import OrderedDict
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpdist.core.model.errors import ProtocolMismatch
from hpdist.views.pickled import pack
from hpdist.views.values import _READERS, PickledValue, read_value, write_value

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.complex_numbers(),
)
hashable = st.recursive(scalars, lambda inner: st.tuples(inner, inner), max_leaves=4)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(hashable, inner),
        st.frozensets(hashable),
        st.sets(hashable),
    ),
    max_leaves=12,
)
jsons = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner),
        st.builds(
            lambda tag, rest: [tag, *rest],
            st.sampled_from([*_READERS, "other"]),
            st.lists(inner, max_size=3),
        ),
        st.dictionaries(st.text(), inner),
    ),
    max_leaves=12,
)


def there_and_back(value: Any) -> Any:
    text = write_value(value)
    assert "pickled" not in json.loads(text)
    return read_value(text, unpickle=False)


def spelled_out(value: Any) -> Any:
    """Say all of a value, types and NaN included, in a way that can be compared."""
    if isinstance(value, dict):
        return [(spelled_out(name), spelled_out(each)) for name, each in value.items()]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(repr(spelled_out(each)) for each in value)
    if isinstance(value, list | tuple):
        return type(value).__name__, [spelled_out(each) for each in value]
    return repr(value)


@given(values)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert spelled_out(there_and_back(value)) == spelled_out(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.array(["a", "bc"]),
        np.array(["2026-01-01"], dtype="datetime64[ns]"),
        np.zeros((0, 3), dtype=np.int8),
        np.array(2.5),
        np.float32(1.5),
        np.bool_(True),
        np.asfortranarray(np.eye(2)),
    ],
)
def test_arrays_and_scalars_come_back(array: Any) -> None:
    back = there_and_back([array])[0]
    assert type(back) is type(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array)


def test_tables_come_back() -> None:
    frame = pd.DataFrame(
        {"n": [1, 2], "x": [0.5, None], "s": ["a", None], "o": [1, "b"], 3: [True, False]},
        index=pd.Index(["r", "s"], name="row"),
    )
    frame["when"] = pd.to_datetime(["2026-01-01", "2026-01-02"])
    pd.testing.assert_frame_equal(there_and_back(frame), frame)
    pd.testing.assert_series_equal(there_and_back(frame["x"]), frame["x"])
    empty = pd.DataFrame({"a": pd.Series([], dtype=float)})
    pd.testing.assert_frame_equal(there_and_back(empty), empty)


class Model:
    """Something of the user's."""

    def __eq__(self, other: object) -> bool:
        return type(other) is Model

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value",
    [
        Model(),
        [1, {"deep": Model()}],
        OrderedDict(a=1),
        np.array([Model()], dtype=object),
        pd.Series([1], index=pd.MultiIndex.from_tuples([(1, 2)])),
        pd.Series(["a"], dtype="category"),
        pytest.param(10**5000, id="a number too long to be written"),
    ],
)
def test_other_objects_are_opened_only_where_that_is_asked_for(value: Any) -> None:
    text = write_value(value)
    with pytest.raises(PickledValue, match="unpickle=True"):
        read_value(text, unpickle=False)
    assert pack(read_value(text, unpickle=True)) == pack(value)


def test_what_cannot_be_sent_at_all_says_so() -> None:
    with pytest.raises(TypeError, match="generator cannot be sent"):
        write_value(x for x in ())


@given(jsons)
def test_garbage_is_refused_or_read_as_data(garbage: Any) -> None:
    for text in (json.dumps(garbage), json.dumps({"data": garbage})):
        with suppress(ProtocolMismatch, PickledValue):
            read_value(text, unpickle=False)
