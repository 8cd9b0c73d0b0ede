"""Make objects from their descriptions in a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.values import JsonValue
from hpdist.multi_fidelity import NAMES, Custom, IterGenerator


def known_generator(described: JsonValue) -> IterGenerator | None:
    """Make an iteration generator from its description; None if it is not one of hpdist's own."""
    found: IterGenerator | None = known((*NAMES.values(), Custom), described)
    return found


def known(kinds: Iterable[Callable[..., Any]], described: JsonValue, *first: Any) -> Any:
    """Call the one of ``kinds`` that is described, with ``first`` and its settings; or None."""
    settings = dict(described) if isinstance(described, dict) else {}
    name = settings.pop("name", None)
    for kind in kinds:
        if kind.__name__ == name:
            try:
                return kind(*first, **settings)
            except (ConfigurationError, TypeError):
                return None  # another one of the same name
    return None
