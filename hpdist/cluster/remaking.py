"""Objects that can be made again in another process, from their constructor's arguments."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

_T = TypeVar("_T", bound="RecordsArguments")


class _ConstructorSignature:
    """Shows a class with the parameters of ``__init__``, not with those of ``__new__``."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        signature = inspect.signature(owner.__init__)  # type: ignore[misc]
        _, *parameters = signature.parameters.values()
        return signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)


class RecordsArguments:
    """Records the arguments that its constructor is called with, those of subclasses too."""

    constructor_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    __signature__ = _ConstructorSignature()

    def __new__(cls: type[_T], *args: Any, **kwargs: Any) -> _T:
        made = object.__new__(cls)
        made.constructor_arguments = (args, kwargs)
        return made
