"""Tables and JSON of the results of a run, for standard output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.exit_codes import tidy
from hpdist.core.model.rank_and_cost import loss_sign, rank_of
from hpdist.core.model.states import JobState
from hpdist.core.results.evaluation_result import EvaluationResult
from hpdist.core.results.results import Results
from hpdist.core.results.text_format import clean, configuration

if TYPE_CHECKING:
    import pandas as pd


def show_json(data: Any) -> None:
    """Print JSON; non-ASCII characters are escaped, so nothing in it can control a terminal."""
    click.echo(json.dumps(data, indent=2, default=_plain))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; columns of numbers are aligned to the right, the last one is left as it is."""
    texts = [[clean(_cell(value)) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(headings))]
    for cells in (headings, *texts):
        padded = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, right, strict=True)
        ]
        click.echo(tidy("  ".join(padded).rstrip()))


def show_best(results: Results, top: int) -> None:
    """Print the ``top`` best evaluations: the highest budget first, then the best loss.

    With several objectives: the Pareto front.
    """
    if len(results.objectives) > 1:
        show_front(results, top)
        return
    rows = [
        (
            one.loss,
            one.budget,
            "-".join(map(str, one.config_id)),
            None if one.seconds is None else f"{one.seconds:.3g}",
            configuration(one.config),
        )
        for one in ranked(results)[:top]
    ]
    if rows:
        show_table(("loss", "budget", "config", "seconds", "configuration"), rows)


def show_front(results: Results, top: int) -> None:
    """Print the Pareto front, the best loss first, and how many evaluations it has."""
    names, front = results.objectives, results.pareto_front
    rows = [
        (
            *(one.objective(name) for name in names),
            one.budget,
            "-".join(map(str, one.config_id)),
            configuration(one.config),
        )
        for one in front[:top]
    ]
    if rows:
        click.echo(f"Pareto front: {len(front)} configurations, {len(rows)} shown")
        show_table((*map(clean, names), "budget", "config", "configuration"), rows)


def ranked(results: Results) -> list[EvaluationResult]:
    """Return the successes, best first, each configuration only at its highest budget."""
    sign = loss_sign(results.direction)
    ranked = sorted(
        (rank_of(one.budget, one.loss, one.job_id, sign), one)
        for one in results.evaluations
        if one.loss is not None
    )
    highest: dict[int, EvaluationResult] = {}
    for _, one in ranked:
        highest.setdefault(one.trial_id, one)
    return list(highest.values())


def results_json(results: Results, top: int | None = None) -> dict[str, Any]:
    """Return the results of a run as JSON data: the ``top`` evaluations, or all in their order."""
    states = [one.state for one in results.evaluations]
    listed = results.evaluations if top is None else ranked(results)[:top]
    return {
        "run_id": results.run_id,
        "path": str(results.path),
        "direction": results.direction,
        "reason": results.reason,
        "counts": {state.value: states.count(state) for state in JobState},
        "best": None if results.best is None else asdict(results.best),
        "evaluations": [asdict(one) for one in listed],
        "objectives": results.objectives,
        "pareto_front": [one.job_id for one in results.pareto_front],
    }


def as_sheet(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without text that a spreadsheet or terminal would execute."""
    cells = {}
    for name in frame.columns:
        is_number = frame[name].dtype.kind in "ifub"
        cells[_sheet_cell(name)] = frame[name] if is_number else frame[name].map(_sheet_cell)
    return frame.from_dict(cells)


def _sheet_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = tidy(value)
    return f"'{text}" if text.startswith(tuple("=+-@")) else text


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return getattr(value, "value", None) or str(value)
