"""Checks of the arguments of an evaluator."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.json_codec import encode
from hpdist.core.model.validation import check_list, short_repr
from hpdist.core.model.values import JsonValue
from hpdist.core.space.parameters import plain
from hpdist.evaluator.callbacks import Callback
from hpdist.evaluator.storage import Storage


class MaximumJobsReached(ConfigurationError):
    """More jobs were submitted than `Evaluator.set_maximum_num_jobs_submitted` allows."""


def checked_callbacks(callbacks: Sequence[Callback] | None) -> list[Callback]:
    """Return a list of callbacks."""
    listed = check_list("callbacks", () if callbacks is None else callbacks, of="callbacks")
    for callback in listed:
        if not isinstance(callback, Callback):
            raise ConfigurationError(
                f"{short_repr(callback)} is no callback",
                do="derive it from hpdist.evaluator.callbacks.Callback",
            )
    return listed


def checked_search(storage: Storage, search_id: Hashable | None) -> str:
    """Return a search that is in the storage; a new one for None."""
    if search_id is None:
        return storage.new_search()
    if storage.has_search(str(search_id)):
        return str(search_id)
    raise ConfigurationError(
        f"the storage has no search {short_repr(search_id)}", do="search_id=None starts one"
    )


def checked_args(args: object) -> dict[str, JsonValue]:
    """Return the parameters of a job as plain values."""
    if not isinstance(args, Mapping) or not all(isinstance(name, str) for name in args):
        raise ConfigurationError(
            f"the parameters of a job must be a dict by name, got {short_repr(args)}",
            do='submit([{"x": 0.5}])',
        )
    plain_args = {name: plain(value) for name, value in args.items()}
    encode(plain_args)
    return plain_args


def checked_options(
    kind: type, run_function: object, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return arguments of an evaluator's constructor by name."""
    named = dict(options or {})
    try:
        inspect.signature(kind).bind(run_function, **named)
    except TypeError as error:
        raise ConfigurationError(
            f"method_kwargs={short_repr(named)} are no arguments of {kind.__name__}",
            cause=str(error),
        ) from error
    return named
