"""An evaluation function of the shared folder's own form, as an objective."""

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
    """Refuse arguments that have another name by now.

    Raises
    ------
    RuntimeError
        It names the new one.
    """
    parameters = inspect.signature(function).parameters
    for old, new in OLD_NAMES.items():
        if old in parameters:
            raise RuntimeError(
                f"the argument {old!r} of {function_name(function)} is called {new!r} now"
            )


@dataclass(frozen=True)
class PipelineObjective:
    """Calls ``function(**config)`` and keeps the trial's files.

    Parameters
    ----------
    base_dir
        The folder.
    budget
        Cost that the whole search may have; None for no limit.
    """

    function: Callable[..., Any]
    base_dir: Path
    budget: float | None = None

    @property
    def name(self) -> str:
        return function_name(self.function)

    def build(self) -> Call:
        function, budget = self.function, self.budget
        wanted = inspect.signature(function).parameters
        spent = _Spent(self.base_dir / "journal")

        def call(payload: Payload, context: Context) -> Any:
            place = trial_directory(self.base_dir, payload.trial_id)
            sampled = {"time_sampled": time.time()}
            trial = Trial(str(payload.trial_id), payload.config, place, None, sampled)
            trial.write_to_disk()
            trial.disk.lock.take()
            set_in_progress_trial(trial)
            directories = {
                "pipeline_directory": place,
                "previous_pipeline_directory": trial.disk.previous_pipeline_dir,
            }
            told = {name: value for name, value in directories.items() if name in wanted}
            trial.results = ERROR
            try:
                result = function(**payload.config, **told)
                trial.results = _checked(result, self.name, budget)
            finally:
                trial.metadata["time_end"] = time.time()
                if isinstance(trial.results, Mapping) and "cost" in trial.results:
                    trial.metadata["budget"] = _accounted(trial.results, budget, spent)
                trial.write_to_disk()
                trial.disk.lock.release()
                set_in_progress_trial(None)
            return _told(trial.results)

        return call


def trial_directory(base_dir: Path, trial_id: int) -> Path:
    """Return where a trial's files are."""
    return base_dir / "results" / f"config_{trial_id}"


class _Spent:
    """The total cost of the search so far; reads only what is new in the journal."""

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


def _accounted(results: Mapping[str, Any], budget: float | None, spent: _Spent) -> dict[str, Any]:
    return {
        "max": budget,
        "used": spent.now(),
        "eval_cost": float(results["cost"]),
        "account_for_cost": bool(results.get("account_for_cost", True)),
    }


def _told(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the journal is to hold: a cost that does not count is none."""
    told: dict[str, Any] = {"loss": results["loss"]}
    if "cost" in results:
        told["cost"] = float(results["cost"]) if results.get("account_for_cost", True) else 0.0
    rest = {k: v for k, v in results.items() if k not in ("loss", "cost", "account_for_cost")}
    return {**told, "info": rest} if rest else told
