"""One claim that is tried with many values: one test, which names the value that it fails with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def tried_with(name: str, values: Iterable[Any]) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator for a test that is called with each of ``values`` as argument ``name``."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def try_all(**fixtures: Any) -> None:
            for value in values:
                try:
                    test(**fixtures, **{name: value})
                except BaseException:
                    print(f"it fails with {name} = {value!r}")  # noqa: T201 - pytest shows it
                    raise

        parameters = inspect.signature(test).parameters.values()
        others = [each for each in parameters if each.name != name]
        try_all.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]
        return try_all

    return decorate
