"""The payload of a job, with all that its evaluation depends on, and its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.field_codec import (
    from_json,
    integer,
    json_object,
    nested_or_null,
    number,
    optional,
    to_json,
    wrong,
)
from hpdist.core.model.values import ConfigId, JsonValue


def _read_config_id(value: Any, name: str) -> ConfigId:
    if not isinstance(value, list) or [type(each) for each in value] != [int] * 3:
        raise wrong(name, value, "three integers")
    return value[0], value[1], value[2]


def _read_names(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or {type(each) for each in value} != {str}:
        raise wrong(name, value, "names")
    return tuple(value)


@dataclass(frozen=True)
class PreviousAttempt:
    """The attempt that last succeeded with this configuration at a lower budget."""

    budget: float = field(metadata=number())
    attempt: int = field(metadata=integer())


@dataclass(frozen=True)
class Payload:
    """The configuration and the budget of a job, and what else its evaluation depends on.

    ``seed`` belongs to the trial: it is the same at each budget and in each attempt. A training
    may continue from the directory of ``previous``, which is None when there is none.
    ``objectives`` are the names of the numbers that the objective has to return.
    """

    trial_id: int = field(metadata=integer())
    config_id: ConfigId = field(metadata={"read": _read_config_id, "write": list})
    config: dict[str, JsonValue] = field(metadata=json_object())
    budget: float = field(metadata=number())
    seed: int = field(default=0, metadata=integer())
    config_info: dict[str, JsonValue] = field(default_factory=dict, metadata=json_object())
    previous: PreviousAttempt | None = field(
        default=None, metadata=optional(nested_or_null(PreviousAttempt))
    )
    objectives: tuple[str, ...] = field(
        default=("loss",), metadata=optional({"read": _read_names, "write": list})
    )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the payload as a JSON object."""
        return to_json(self)


def read_payload(data: Any, where: str = "payload") -> Payload:
    """Build the payload that `Payload.to_json` turned into ``data``.

    Raises
    ------
    ProtocolMismatch
        If a field is missing or malformed; the message names it, after ``where``.
    """
    return from_json(Payload, data, where)
