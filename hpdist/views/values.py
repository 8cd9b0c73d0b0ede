"""What engines answer: data as text, which is read without running anything.

Python's own plain types, numpy arrays and scalars, and tables of these are told as they are; other
objects travel pickled, marked as such, and are opened only where the client says so.
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
    """Something that only pickle can carry."""


class SealedValue(HpdistError):
    """An engine answered an object that only unpickling would open."""


def write_value(value: Any) -> str:
    """Return ``value`` as text: data if it is data, else pickled.

    Raises
    ------
    TypeError
        If it cannot be pickled either.
    """
    try:
        told = {"data": _written(value)}
        return json.dumps(told)
    except (_NoData, ValueError, RecursionError):  # or a number with too many digits
        return json.dumps({"pickled": pack(value), "type": type(value).__qualname__})


def read_value(text: str, unpickle: bool) -> Any:
    """Return what `write_value` made ``text`` of.

    Raises
    ------
    SealedValue
        If it is pickled, and not to be opened.
    ProtocolMismatch
        If it cannot be understood.
    """
    try:
        told = json.loads(text)
        if "data" in told:
            return _read(told["data"])
        kind, pickled = str(told["type"]), str(told["pickled"])
    except _UNREADABLE as error:
        raise ProtocolMismatch(
            "an engine answered what nobody can read", cause=repr(error)
        ) from error
    if unpickle:
        return unpack(pickled)
    raise SealedValue(
        f"an engine answered a {kind}, which only unpickling would open",
        cause="who has the run's key could answer what runs code here",
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
    """Write a Series or DataFrame, if pandas is there at all."""
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
    """Write the values of a column, and of what type it is."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufcmM":
        return [str(dtype), _array(values.to_numpy())]
    if str(dtype) not in ("object", "str"):
        raise _NoData
    return [str(dtype), _written(values.tolist())]


# ------------------------------------------------------------------ and back


def _read(told: Any) -> Any:
    if not isinstance(told, list):
        return told
    return _READERS[told[0]](*told[1:])


def _read_dict(*items: Any) -> dict[Any, Any]:
    return {_read(name): _read(each) for name, each in items}


def _read_array(text: str) -> Any:
    return npy.read_array(io.BytesIO(base64.b64decode(text)), allow_pickle=False)


def _read_column(dtype: str, told: Any) -> Any:
    import pandas as pd

    values = _read(told) if isinstance(told, list) else _read_array(told)
    return pd.Series(values, dtype=dtype)


def _read_index(dtype: str, told: Any, name: Any) -> Any:
    import pandas as pd

    return pd.Index(_read_column(dtype, told), name=_read(name))


def _read_series(index: Any, column: Any, name: Any) -> Any:
    series = _read_column(*column)
    series.index, series.name = _read_index(*index), _read(name)
    return series


def _read_frame(index: Any, names: Any, *columns: Any) -> Any:
    import pandas as pd

    frame = pd.DataFrame({number: _read_column(*each) for number, each in enumerate(columns)})
    frame.index, frame.columns = _read_index(*index), _read_index(*names)
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
