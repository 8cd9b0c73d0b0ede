"""Objectives of workers: a function, or the `compute` method of a `Worker` subclass."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Context
from hpdist.core.objective.objective import Call, Objective


@dataclass(frozen=True)
class ComputeObjective:
    """A `Worker` subclass, made again from its constructor's arguments in each child process.

    Data that its constructor loads is loaded once in each child process.
    """

    kind: type
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    carry_over: bool = True

    @property
    def name(self) -> str:
        return f"{self.kind.__qualname__}.compute"

    def build(self) -> Call:
        worker = self.kind(*self.arguments, **self.keywords)
        return compute_call(worker.compute, self.carry_over)


@dataclass(frozen=True)
class BoundObjective:
    """The `compute` method of a worker, called in the worker's own process."""

    compute: Callable[..., object]
    carry_over: bool = True

    @property
    def name(self) -> str:
        return getattr(self.compute, "__qualname__", repr(self.compute))

    def build(self) -> Call:
        return compute_call(self.compute, self.carry_over)


def compute_call(compute: Callable[..., object], carry_over: bool) -> Call:
    """Adapt ``compute(config_id, config, config_info, budget, working_directory)``."""

    def call(payload: Payload, context: Context) -> object:
        if carry_over and context.previous_directory is not None:
            copy_contents(context.previous_directory, context.directory)
        return compute(
            config_id=payload.config_id,
            config=dict(payload.config),
            config_info=dict(payload.config_info),
            budget=payload.budget,
            working_directory=str(context.directory),
        )

    return call


def direct_compute(objective: Objective) -> Callable[..., object]:
    """Turn an objective into a function with the parameters of ``Worker.compute``."""

    def compute(
        config_id: tuple[int, int, int],
        config: dict[str, Any],
        config_info: dict[str, Any] | None = None,
        budget: float = 1.0,
        working_directory: str = ".",
    ) -> object:
        payload = Payload(0, config_id, config, budget, config_info=config_info or {})
        return objective.build()(payload, Context(payload, 1, Path(working_directory)))

    return compute


def copy_contents(source: Path, target: Path) -> None:
    """Copy the files of the lower budget; symbolic links stay links."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def details_of(objective: Any) -> dict[str, str]:
    """Return the details that a worker registers with: versions, and the name of its objective."""
    name = getattr(objective, "name", "")
    return {
        "hpdist": version("hpdist"),
        "python": platform.python_version(),
        "evaluates": name if isinstance(name, str) else "",
    }
