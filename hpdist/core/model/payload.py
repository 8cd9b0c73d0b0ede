"""The payload of a job: what a worker needs to know to evaluate it, and its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.fields import (
    Fields,
    is_int,
    is_number,
    read_int,
    read_object,
    wrong,
)
from hpdist.core.model.values import ConfigId, JsonValue


@dataclass(frozen=True)
class PreviousAttempt:
    """The attempt that last succeeded with this configuration at a lower budget."""

    budget: float
    attempt: int


@dataclass(frozen=True)
class Payload:
    """The configuration and the budget of a job, and what else its evaluation depends on.

    ``seed`` belongs to the trial: it is the same at each budget and in each attempt. A training
    may continue from the directory of ``previous``, which is None when there is none.
    ``objectives`` are the names of the numbers that the objective has to return.
    """

    trial_id: int
    config_id: ConfigId
    config: dict[str, JsonValue]
    budget: float
    seed: int = 0
    config_info: dict[str, JsonValue] = field(default_factory=dict)
    previous: PreviousAttempt | None = None
    objectives: tuple[str, ...] = ("loss",)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the payload as JSON data; ``objectives`` is left out if there is only the loss."""
        data = {
            **vars(self),
            "config_id": list(self.config_id),
            "previous": None if self.previous is None else dict(vars(self.previous)),
            "objectives": list(self.objectives),
        }
        if self.objectives == ("loss",):
            del data["objectives"]
        return data


def read_payload(data: Any, where: str = "payload") -> Payload:
    """Build the payload that `Payload.to_json` turned into ``data``.

    Raises
    ------
    ProtocolMismatch
        If a field is missing or malformed; the message names it, after ``where``.
    """
    if not isinstance(data, dict):
        raise wrong(where, data, "an object")
    return Payload(
        read_int(data, "trial_id", where=where),
        _config_id(data, where),
        read_object(data, "config", where=where),
        _budget(data, where),
        read_int(data, "seed", where=where),
        read_object(data, "config_info", where=where),
        _previous(data, where),
        _objectives(data, where),
    )


def _config_id(data: Fields, where: str) -> ConfigId:
    config_id = data.get("config_id")
    if not isinstance(config_id, list) or [type(each) for each in config_id] != [int] * 3:
        raise wrong(f"{where}.config_id", config_id, "three integers")
    return config_id[0], config_id[1], config_id[2]


def _budget(data: Fields, where: str) -> float:
    budget: float = data.get("budget")  # type: ignore[assignment]
    if not is_number(budget):
        raise wrong(f"{where}.budget", budget, "a finite number")
    return budget  # an int stays one


def _previous(data: Fields, where: str) -> PreviousAttempt | None:
    previous = data.get("previous")
    if previous is None:
        return None
    if not isinstance(previous, dict) or not is_int(previous.get("attempt")):
        raise wrong(f"{where}.previous", previous, "a budget and an attempt, or null")
    return PreviousAttempt(_budget(previous, f"{where}.previous"), previous["attempt"])


def _objectives(data: Fields, where: str) -> tuple[str, ...]:
    names = data.get("objectives", ["loss"])
    if not isinstance(names, list) or {type(name) for name in names} != {str}:
        raise wrong(f"{where}.objectives", names, "names")
    return tuple(names)
