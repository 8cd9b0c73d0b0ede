"""Values of calls: data as text, which is read without running any code.

Python's own plain types, numpy arrays and scalars, and tables of these are written as data; other
objects are sent pickled, marked as such, and are unpickled only if the client allows it.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib import format as npy

from hpdist.core.model.errors import HpdistError, ProtocolMismatch
from hpdist.views.pickled import pack, unpack

_PLAIN = (type(None), bool, int, float, str)
_SEQUENCES = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_NUMBERS = "biufcmMSU"
"""Kinds of numpy's types that hold no objects."""


_UNREADABLE = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError,
               TypeError, ValueError)  # fmt: skip


class _NoData(Exception):
    """A value that only pickle can represent."""


class PickledValue(HpdistError):
    """An engine returned an object that only unpickling could read."""


def write_value(value: Any) -> str:
    """Return ``value`` as text: data if it is data, else pickled.

    Raises
    ------
    TypeError
        If it cannot be pickled either.
    """
    try:
        return json.dumps({"data": _written(value)})
    except (_NoData, ValueError, RecursionError):  # or a number with too many digits
        return json.dumps({"pickled": pack(value), "type": type(value).__qualname__})


def read_value(text: str, unpickle: bool) -> Any:
    """Return the value that `write_value` turned into ``text``.

    Raises
    ------
    PickledValue
        If it is pickled, and not to be unpickled.
    ProtocolMismatch
        If it cannot be understood.
    """
    try:
        data = json.loads(text)
        if "data" in data:
            return _read(data["data"])
        kind, pickled = str(data["type"]), str(data["pickled"])
    except _UNREADABLE as error:
        raise ProtocolMismatch(
            "an engine sent a value that cannot be read", cause=repr(error)
        ) from error
    if unpickle:
        return unpack(pickled)
    raise PickledValue(
        f"an engine returned a {kind}, which only unpickling would open",
        cause="with the run's key one could return an object that runs code here",
        do="return numbers, text, lists, dicts, arrays or tables; "
        "or, if all who have the key may do that: Client(..., unpickle=True)",
    )


def _written(value: Any) -> Any:
    kind = type(value)  # exactly: what is derived from a list is more than a list
    if kind in _PLAIN:
        return value
    for name, sequence in _SEQUENCES.items():
        if kind is sequence:
            return [name, *(_written(each) for each in value)]
    if kind is dict:
        return ["dict", *([_written(name), _written(each)] for name, each in value.items())]
    if kind is bytes:
        return ["bytes", base64.b64encode(value).decode()]
    if kind is complex:
        return ["complex", value.real, value.imag]
    if kind is np.ndarray or isinstance(value, np.generic):
        return [("array" if kind is np.ndarray else "scalar"), _array(np.asarray(value))]
    return _table(value)


def _array(value: np.ndarray[Any, Any]) -> str:
    if value.dtype.kind not in _NUMBERS:
        raise _NoData
    file = io.BytesIO()
    npy.write_array(file, value, allow_pickle=False)
    return base64.b64encode(file.getvalue()).decode()


def _table(value: Any) -> Any:
    """Write a Series or DataFrame, if pandas is installed."""
    pandas = sys.modules.get("pandas")
    if pandas is None or type(value) not in (pandas.Series, pandas.DataFrame) or value.attrs:
        raise _NoData
    if type(value) is pandas.Series:
        return ["series", _index(value.index), _column(value), _written(value.name)]
    columns = [_column(value.iloc[:, number]) for number in range(value.shape[1])]
    return ["frame", _index(value.index), _index(value.columns), *columns]


def _index(index: Any) -> Any:
    import pandas as pd

    if type(index) not in (pd.Index, pd.RangeIndex):
        raise _NoData
    return [*_column(index), _written(index.name)]


def _column(values: Any) -> Any:
    """Write the values and the type of a column."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufcmM":
        return [str(dtype), _array(values.to_numpy())]
    if str(dtype) not in ("object", "str"):
        raise _NoData
    return [str(dtype), _written(values.tolist())]


# ------------------------------------------------------------------ reading


def _read(data: Any) -> Any:
    if not isinstance(data, list):
        return data
    return _READERS[data[0]](*data[1:])


def _read_dict(*items: Any) -> dict[Any, Any]:
    return {_read(name): _read(each) for name, each in items}


def _read_array(text: str) -> Any:
    return npy.read_array(io.BytesIO(base64.b64decode(text)), allow_pickle=False)


def _read_column(dtype: str, data: Any) -> Any:
    import pandas as pd

    values = _read(data) if isinstance(data, list) else _read_array(data)
    return pd.Series(values, dtype=dtype)


def _read_index(dtype: str, data: Any, name: Any) -> Any:
    import pandas as pd

    return pd.Index(_read_column(dtype, data), name=_read(name))


def _read_series(index: Any, column: Any, name: Any) -> Any:
    series = _read_column(*column)
    series.index = _read_index(*index)
    series.name = _read(name)
    return series


def _read_frame(index: Any, names: Any, *columns: Any) -> Any:
    import pandas as pd

    frame = pd.DataFrame({number: _read_column(*each) for number, each in enumerate(columns)})
    frame.index = _read_index(*index)
    frame.columns = _read_index(*names)
    return frame


def _sequence(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *items: kind(_read(each) for each in items)


_READERS: dict[str, Callable[..., Any]] = {
    **{name: _sequence(kind) for name, kind in _SEQUENCES.items()},
    "dict": _read_dict,
    "bytes": base64.b64decode,
    "complex": complex,
    "array": _read_array,
    "scalar": lambda text: _read_array(text)[()],
    "series": _read_series,
    "frame": _read_frame,
}
