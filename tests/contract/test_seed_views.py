"""The names that the seed of the views promises."""

from __future__ import annotations

import inspect
from typing import Any

from hpdist.views import AsyncResult, Client, DirectView, LoadBalancedView

NAMES: list[tuple[Any, tuple[str, ...]]] = [
    (Client, ("ids", "__getitem__", "load_balanced_view")),
    (
        DirectView,
        (
            *("map_async", "map", "map_sync", "apply", "apply_async", "get", "push", "pull"),
            *("__getitem__", "__setitem__", "scatter", "gather", "parallel"),
        ),
    ),
    (
        LoadBalancedView,
        ("map_async", "map", "map_sync", "apply", "apply_async", "parallel"),
    ),
    (
        AsyncResult,
        (
            *("get", "ready", "wait", "wait_interactive", "progress", "elapsed", "serial_time"),
            *("wall_time", "metadata", "timeline"),
        ),
    ),
]


def test_the_names_exist_and_are_explained() -> None:
    for owner, name in [(owner, name) for owner, names in NAMES for name in names]:
        found = inspect.getattr_static(owner, name)
        assert callable(found) or isinstance(found, property), (owner, name)
        assert name.startswith("__") or inspect.getdoc(found), (owner, name)


def test_a_client_needs_no_argument_and_a_map_takes_several_sequences() -> None:
    inspect.signature(Client).bind()
    for view in (DirectView, LoadBalancedView):
        inspect.signature(view.map_async).bind(view, len, [1], [2])
        inspect.signature(view.apply).bind(view, len, 1, key=2)
