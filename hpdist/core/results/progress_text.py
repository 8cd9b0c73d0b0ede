"""Where a run stands, in words: plain lines without control characters. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hpdist.core.model.events import RunEnded
from hpdist.core.model.values import ConfigId, Failure, JobState, JsonValue
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.run_view import RunView
from hpdist.core.results.summary import Incumbent
from hpdist.multi_fidelity import total_cost

#: How many brackets the board shows.
MOST_BRACKETS = 6

_MOST_CHARACTERS = 200


def clean(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return ``text`` so that a terminal shows it and obeys nothing in it.

    Control characters, line ends and characters that change the direction of writing become
    escapes; what is longer than ``most`` characters is cut.
    """
    shown = text[: most + 1]
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return escaped if len(escaped) <= most else escaped[: most - 3] + "..."


def duration(seconds: float) -> str:
    """Write a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def roughly(seconds: float) -> str:
    """Write an estimated duration no finer than it deserves."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def configuration(config: Mapping[str, JsonValue], most: int = _MOST_CHARACTERS) -> str:
    """Write a configuration on one line."""
    values = (f"{name}={_value(value)}" for name, value in config.items())
    return clean(" ".join(values), most)


def opening(view: RunView) -> list[str]:
    """Say which run begins, and what is planned."""
    return [f"run {clean(str(view.path))}", plan(view.forecast)]


def short(view: RunView, now: float) -> list[str]:
    """Say where a run stands at ``now`` (seconds since 1970), for a single line."""
    parts = [counts(view), best(view.summary.best), times(view, now)]
    return [*parts, failure(*view.last_failure)] if view.last_failure else parts


def board(view: RunView, now: float) -> list[str]:
    """Say where a run stands at ``now``, on a few lines."""
    incumbent = view.summary.best
    lines = [f"{best(incumbent)}   {times(view, now)}"]
    lines += [configuration(incumbent.config)] if incumbent else []
    lines += [counts(view), *brackets(view)]
    return [*lines, failure(*view.last_failure)] if view.last_failure else lines


def ending(view: RunView) -> list[str]:
    """Say how a run ended, what was found, and where it is."""
    summary, path = view.summary, clean(str(view.path))
    ended = summary.ended or RunEnded("broke off")
    message = f" ({clean(ended.message)})" if ended.message else ""
    failed = summary.counts[JobState.FAILED]
    incumbent = summary.best
    lines = [
        f"{clean(ended.reason)}{message}: {_count(summary.evaluations, 'evaluation')}"
        + (f", {failed} of them failed" if failed else ""),
        f"{best(incumbent)}: {configuration(incumbent.config)}"
        if incumbent
        else "no evaluation succeeded: see hpdist results --failures",
        f"run directory: {path}",
    ]
    if ended.reason != "finished":
        lines.append(f"to go on: the same command again, or: hpdist resume {path}")
    return lines


def plan(forecast: Forecast) -> str:
    """Say what is planned; "" when nothing can be."""
    if not forecast.rungs:
        return ""
    count = sum(rung.num_configs for rung in forecast.rungs)
    if len({rung.budget for rung in forecast.rungs}) == 1:
        return f"plan: {_count(count, 'evaluation')}"
    number = len({rung.iteration for rung in forecast.rungs})
    cost = total_cost(forecast.rungs)
    return f"plan: {_count(number, 'bracket')}, {count} evaluations, {cost:g} budget units"


def found(tally: Mapping[JobState, int]) -> str:
    """Say what a resumed run begins with, given its jobs by state."""
    parts = [f"{tally[JobState.COMPLETED]} finished"]
    if interrupted := tally[JobState.RUNNING] + tally[JobState.QUEUED]:
        parts.append(f"{interrupted} interrupted (handed in by their workers, or run again)")
    if failed := tally[JobState.FAILED]:
        parts.append(f"{failed} failed (kept, unless --retry-failed)")
    return f"found {', '.join(parts)}"


def best(incumbent: Incumbent | None) -> str:
    """Name the incumbent."""
    if incumbent is None:
        return "no result yet"
    name = "-".join(map(str, incumbent.config_id))
    return f"best {incumbent.loss:.6g} at budget {incumbent.budget:g} (config {name})"


def counts(view: RunView) -> str:
    """Count the evaluations by where they stand."""
    summary, total = view.summary, view.forecast.evaluations
    tally = summary.counts
    kinds = [f"{n} {kind.value}" for kind, n in summary.failures.most_common() if n]
    here = sum(worker.state == "joined" for worker in summary.workers.values())
    parts = [
        f"done {summary.evaluations}" + (f"/{total}" if total is not None else ""),
        f"running {tally[JobState.RUNNING]}",
        f"queued {tally[JobState.QUEUED]}",
        f"failed {tally[JobState.FAILED]}" + (f" ({', '.join(kinds)})" if kinds else ""),
        f"workers {here}",
    ]
    return "  ".join([*parts, "paused"] if summary.paused else parts)


def times(view: RunView, now: float) -> str:
    """Say how long it took, and will take."""
    text = f"{duration(view.summary.elapsed(now))} elapsed"
    left = view.forecast.seconds_left(view.summary, now)
    return text if left is None or view.summary.ended else f"{text}, about {roughly(left)} left"


def brackets(view: RunView) -> list[str]:
    """One line for each of the open brackets: how many evaluations are done, by budget."""
    if view.forecast.is_single:
        return []
    created = view.summary.rungs
    known = {bracket for bracket, _ in created}
    planned = {
        (rung.iteration, rung.rung): rung for rung in view.forecast.rungs if rung.iteration in known
    }
    lines: dict[int, list[str]] = {}
    is_open = set()
    for place in sorted({**created, **planned}):
        rung, plan = created.get(place), planned.get(place)
        budget = rung.budget if rung else planned[place].budget
        settled = sum(rung.counts[state] for state in JobState if state.settled) if rung else 0
        total = max(rung.created if rung else 0, plan.num_configs if plan else 0)
        lines.setdefault(place[0], []).append(f"@{budget:g} {settled}/{total}")
        if settled < total:
            is_open.add(place[0])
    shown = [bracket for bracket in lines if bracket in is_open][-MOST_BRACKETS:]
    return [f"bracket {bracket}  " + "  ".join(lines[bracket]) for bracket in shown]


def failure(config_id: ConfigId, budget: float, outcome: Failure) -> str:
    """Say on one line what failed and why."""
    name = "-".join(map(str, config_id))
    message = next(iter(outcome.message.strip().splitlines()), "")
    return f"config {name} at budget {budget:g}: {outcome.kind.value}: {clean(message, 120)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _value(value: JsonValue) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
