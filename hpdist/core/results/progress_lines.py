"""The state of a run as lines of text without control characters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import EndReason, JobState
from hpdist.core.model.values import ConfigId, Failure
from hpdist.core.results.evaluation_result import Incumbent
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.run_state import RunState
from hpdist.core.results.run_state_rows import JobStatus, RungStatus
from hpdist.core.results.text_format import (
    clean,
    configuration,
    counted,
    duration,
    rough_duration,
)
from hpdist.multi_fidelity import Rung, total_cost

MAX_BRACKETS = 6
"""How many brackets `panel` shows."""


def opening(path: Path, state: RunState, forecast: Forecast) -> list[str]:
    """Return the lines at the start of a run: its directory, and its plan."""
    return [f"run {clean(str(path))}", plan(forecast, state.limits)]


def short(state: RunState, forecast: Forecast, now: float) -> list[str]:
    """Return the parts of a single line about a run at ``now`` (seconds since 1970)."""
    return [counts(state, forecast), best(state.best), times(state, forecast, now)]


def panel(state: RunState, forecast: Forecast, now: float) -> list[str]:
    """Return a few lines about a run at ``now``."""
    incumbent = state.best
    lines = [f"{best(incumbent)}   {times(state, forecast, now)}"]
    lines += [configuration(incumbent.config)] if incumbent else []
    return [*lines, counts(state, forecast), *brackets(state, forecast)]


def ending(path: Path, state: RunState) -> list[str]:
    """Return the lines at the end of a run: why it ended, the incumbent, and the directory."""
    ended = state.ended
    reason = clean(ended.reason) if ended else "broke off"
    message = f" ({clean(ended.message)})" if ended and ended.message else ""
    failed = state.counts[JobState.FAILED]
    incumbent = state.best
    lines = [
        f"{reason}{message}: {counted(state.evaluations, 'evaluation')}"
        + (f", {failed} of them failed" if failed else ""),
        f"{best(incumbent)}: {configuration(incumbent.config)}"
        if incumbent
        else "no evaluation succeeded: see hpdist results --failures",
        f"run directory: {clean(str(path))}",
    ]
    if reason != EndReason.FINISHED:
        lines.append(f"to go on: the same command again, or: hpdist resume {clean(str(path))}")
    return lines


def plan(forecast: Forecast, limits: Limits) -> str:
    """Return the plan of a search; "" where nothing can be planned."""
    rungs = forecast.rungs(limits)
    if not rungs:
        return ""
    count = sum(rung.num_configs for rung in rungs)
    if len({rung.budget for rung in rungs}) == 1:
        return f"plan: {counted(count, 'evaluation')}"
    number = len({rung.iteration for rung in rungs})
    cost = total_cost(rungs)
    return f"plan: {counted(number, 'bracket')}, {count} evaluations, {cost:g} budget units"


def found(tally: Mapping[JobState, int]) -> str:
    """Return the text about the earlier jobs of a resumed run, given their number by state."""
    parts = [f"{tally[JobState.COMPLETED]} finished"]
    if interrupted := tally[JobState.RUNNING] + tally[JobState.QUEUED]:
        parts.append(f"{interrupted} interrupted (handed in by their workers, or run again)")
    if failed := tally[JobState.FAILED]:
        parts.append(f"{failed} failed (kept, unless --retry-failed)")
    return f"found {', '.join(parts)}"


def best(incumbent: Incumbent | None) -> str:
    """Return the text about the incumbent."""
    if incumbent is None:
        return "no result yet"
    name = _config_name(incumbent.config_id)
    return f"best {incumbent.loss:.6g} at budget {incumbent.budget:g} (config {name})"


def counts(state: RunState, forecast: Forecast) -> str:
    """Return the numbers of evaluations by state, and of workers, as text."""
    total = forecast.evaluations(state.limits)
    kinds = [f"{n} {kind.value}" for kind, n in state.failures.most_common() if n]
    joined = sum(worker.state == "joined" for worker in state.workers.values())
    parts = [
        f"done {state.evaluations}" + (f"/{total}" if total is not None else ""),
        f"running {state.counts[JobState.RUNNING]}",
        f"queued {state.counts[JobState.QUEUED]}",
        f"failed {state.counts[JobState.FAILED]}" + (f" ({', '.join(kinds)})" if kinds else ""),
        f"workers {joined}",
    ]
    return "  ".join([*parts, "paused"] if state.paused else parts)


def times(state: RunState, forecast: Forecast, now: float) -> str:
    """Return the elapsed and the estimated remaining time, as text."""
    text = f"{duration(state.elapsed(now))} elapsed"
    left = forecast.seconds_left(state, now)
    return text if left is None or state.ended else f"{text}, about {rough_duration(left)} left"


def brackets(state: RunState, forecast: Forecast) -> list[str]:
    """Return a line for each open bracket: the number of settled evaluations by budget."""
    if forecast.is_single:
        return []
    known = {bracket for bracket, _ in state.rungs}
    planned = {
        (rung.iteration, rung.rung): rung
        for rung in forecast.rungs(state.limits)
        if rung.iteration in known
    }
    lines: dict[int, list[str]] = {}
    open_brackets = set()
    for key in sorted({**state.rungs, **planned}):
        text, is_open = _rung(state, key, planned.get(key))
        lines.setdefault(key[0], []).append(text)
        if is_open:
            open_brackets.add(key[0])
    listed = [bracket for bracket in lines if bracket in open_brackets][-MAX_BRACKETS:]
    return [f"bracket {bracket}  " + "  ".join(lines[bracket]) for bracket in listed]


def _rung(state: RunState, key: tuple[int, int], planned: Rung | None) -> tuple[str, bool]:
    """Return the text about a rung, and whether it has evaluations to do."""
    status = state.rungs.get(key)
    if status is None:
        assert planned is not None
        status = RungStatus(planned.budget)
    total = max(status.created, planned.num_configs if planned else 0)
    return f"@{status.budget:g} {status.settled}/{total}", status.settled < total


def failure(one: JobStatus) -> str:
    """Return on one line which evaluation failed and why."""
    assert isinstance(one.outcome, Failure)
    message = next(iter(one.outcome.message.strip().splitlines()), "")
    where = f"config {_config_name(one.trial.config_id)} at budget {one.job.budget:g}"
    return f"{where}: {one.outcome.kind.value}: {clean(message, 120)}"


def _config_name(config_id: ConfigId) -> str:
    return "-".join(map(str, config_id))
