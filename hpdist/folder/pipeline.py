"""The objective that calls an evaluation function of `launch_runtime`."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpdist.core.journal.reader import JournalReader
from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Context
from hpdist.core.objective.objective import Call, function_name
from hpdist.core.results.run_state import RunState
from hpdist.folder.trial import ERROR, Trial, set_in_progress_trial

OLD_NAMES = {
    "previous_working_directory": "previous_pipeline_directory",
    "working_directory": "pipeline_directory",
}


def check_names(function: Callable[..., Any]) -> None:
    """Reject arguments that have been renamed.

    Raises
    ------
    RuntimeError
        If there is one; the message has the new name.
    """
    parameters = inspect.signature(function).parameters
    for old, new in OLD_NAMES.items():
        if old in parameters:
            raise RuntimeError(
                f"the argument {old!r} of {function_name(function)} has been renamed to {new!r}"
            )


@dataclass(frozen=True)
class PipelineObjective:
    """Calls ``function(**config)`` and writes the trial's files.

    Parameters
    ----------
    base_dir
        The folder.
    budget
        Maximum total cost of the search; None for no limit.
    """

    function: Callable[..., Any]
    base_dir: Path
    budget: float | None = None

    @property
    def name(self) -> str:
        return function_name(self.function)

    def build(self) -> Call:
        function, budget = self.function, self.budget
        parameters = inspect.signature(function).parameters
        total_cost = _TotalCost(self.base_dir / "journal")

        def call(payload: Payload, context: Context) -> Any:
            directory = trial_directory(self.base_dir, payload.trial_id)
            metadata = {"time_sampled": time.time()}
            trial = Trial(str(payload.trial_id), payload.config, directory, None, metadata)
            trial.write_to_disk()
            trial.disk.lock.take()
            set_in_progress_trial(trial)
            directories = {
                "pipeline_directory": directory,
                "previous_pipeline_directory": trial.disk.previous_pipeline_dir,
            }
            extra = {name: value for name, value in directories.items() if name in parameters}
            trial.results = ERROR
            try:
                result = function(**payload.config, **extra)
                trial.results = _checked(result, self.name, budget)
            finally:
                trial.metadata["time_end"] = time.time()
                if isinstance(trial.results, Mapping) and "cost" in trial.results:
                    trial.metadata["budget"] = _budget_metadata(trial.results, budget, total_cost)
                trial.write_to_disk()
                trial.disk.lock.release()
                set_in_progress_trial(None)
            return _journal_result(trial.results)

        return call


def trial_directory(base_dir: Path, trial_id: int) -> Path:
    """Return the directory of a trial."""
    return base_dir / "results" / f"config_{trial_id}"


class _TotalCost:
    """The total cost of the search so far; reads only new records of the journal."""

    def __init__(self, journal: Path) -> None:
        self._reader = JournalReader(journal)
        self._state = RunState(keep_output=False)

    def now(self) -> float:
        self._state.update(self._reader.poll())
        return self._state.total_cost


def _checked(result: Any, name: str, budget: float | None) -> dict[str, Any]:
    """Return a result as a mapping with a loss."""
    found = dict(result) if isinstance(result, Mapping) else {"loss": result}
    if "loss" not in found:
        raise ValueError(f"{name} returned {found}, which has no 'loss'")
    found["loss"] = float(found["loss"])
    if budget is not None and "cost" not in found:
        raise ValueError(
            f"{name} returned {found}, which has no 'cost', and the search has a budget of {budget}"
        )
    return found


def _budget_metadata(
    results: Mapping[str, Any], budget: float | None, total_cost: _TotalCost
) -> dict[str, Any]:
    return {
        "max": budget,
        "used": total_cost.now(),
        "eval_cost": float(results["cost"]),
        "account_for_cost": bool(results.get("account_for_cost", True)),
    }


def _journal_result(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result for the journal, where a cost that is not accounted for is 0."""
    found: dict[str, Any] = {"loss": results["loss"]}
    if "cost" in results:
        found["cost"] = float(results["cost"]) if results.get("account_for_cost", True) else 0.0
    rest = {k: v for k, v in results.items() if k not in ("loss", "cost", "account_for_cost")}
    return {**found, "info": rest} if rest else found
