"""A run's state as plain JSON data: the body of ``hpdist status --json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hpdist.core.model.states import JobState
from hpdist.core.model.values import JsonValue
from hpdist.core.results.evaluation_result import Incumbent
from hpdist.core.results.run_state import RunState
from hpdist.core.results.run_state_rows import RungStatus, WorkerStatus


def run_state_json(state: RunState) -> dict[str, JsonValue]:
    """Return the state of a run as JSON data, without its single evaluations."""
    return {
        "run_id": state.run.run_id if state.run else None,
        "direction": state.direction,
        "counts": {each.value: state.counts[each] for each in JobState},
        "failures": {kind.value: n for kind, n in state.failures.items() if n},
        "workers": [_worker(worker) for worker in state.workers.values()],
        "rungs": [_rung(*key, rung) for key, rung in sorted(state.rungs.items())],
        "incumbents": [_incumbent(incumbent) for incumbent in state.incumbents],
        "evaluations": state.evaluations,
        "total_cost": state.total_cost,
        "first_at": state.first_at,
        "started_at": state.started_at,
        "last_at": state.last_at,
        "ended": asdict(state.ended) if state.ended else None,
        "paused": state.paused,
    }


def _incumbent(incumbent: Incumbent) -> dict[str, Any]:
    return asdict(incumbent) | {"config_id": list(incumbent.config_id)}


def _worker(worker: WorkerStatus) -> dict[str, Any]:
    holds = [list(assigned) for assigned in worker.holds.items()]
    return asdict(worker.info) | {"state": worker.state, "holds": holds, "done": worker.done}


def _rung(bracket: int, rung: int, status: RungStatus) -> dict[str, Any]:
    counts = {state.value: status.counts[state] for state in JobState}
    data = {"bracket": bracket, "rung": rung, "budget": status.budget}
    return data | {"created": status.created} | counts
