"""The figures as tables that people read, and as a plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.quality.problem import Problem
from benchmarks.quality.regret import CHECKPOINTS, Regrets, signed_rank
from benchmarks.quality.results import SHARES, Row

MOST_TICKS = (0.25, 0.5, 0.75, 1.0)


def ranking_table(found: Regrets, rows: Sequence[Row]) -> str:
    """Compare optimizers over all problems they have in common, the best first."""
    problems, ranks = found.problems(), found.ranks(found.problems())
    lines = [["optimizer", "runs", "mean rank", "log10 regret", "90 % at end", "ms", "idle"]]
    for name in sorted(found.of, key=lambda name: found.mean(name, problems)[-1]):
        own = [row for row in rows if row.optimizer == name]
        low, high = found.interval(name, problems)
        cost = 1e3 * sum(row.seconds for row in own) / sum(row.evaluations for row in own)
        lines.append(
            [
                name,
                str(len(own)),
                " / ".join(f"{rank:.1f}" for rank in ranks[name]),
                _at_checkpoints(found.mean(name, problems)),
                f"{low:.2f} .. {high:.2f}",
                f"{cost:.1f}",
                f"{np.mean([row.idle for row in own]):.0%}",
            ]
        )
    return table(lines)


def by_group(found: Regrets, problems: Sequence[Problem]) -> str:
    """Give the log10 regret at the end for each problem, and the mean of each group."""
    known = set(found.problems())
    groups: dict[str, list[str]] = defaultdict(list)
    for one in problems:
        if one.name in known:
            groups[one.group].append(one.name)
    names = list(found.of)
    lines = [["problem", *names]]
    for group, members in groups.items():
        if len(members) > 1:
            lines.append([f"({group})", *(f"{found.mean(n, members)[-1]:.2f}" for n in names)])
        for one in members:
            lines.append([one, *(f"{found.mean(n, [one])[-1]:.2f}" for n in names)])
    return table(lines)


def duels(found: Regrets, name: str) -> str:
    """Compare one optimizer with each other one, pair by pair (Wilcoxon's signed-rank test)."""
    lines = [["against", "pairs", "won / lost at end", "mean difference", "p"]]
    for other in found.of:
        if other == name:
            continue
        apart = found.differences(name, other)
        if not len(apart):
            continue
        ends = apart[:, -1]
        tests = " / ".join(f"{signed_rank(apart[:, index]):.1g}" for index in CHECKPOINTS)
        counts = f"{(ends < -1e-9).sum()} / {(ends > 1e-9).sum()}"
        lines.append([other, str(len(apart)), counts, _at_checkpoints(apart.mean(axis=0)), tests])
    return table(lines)


def plot(found: Regrets, title: str, path: Path) -> None:
    """Draw the mean log10 regret over the share of the budget, with 90 % of problem means."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    problems = found.problems()
    order = sorted(found.of, key=lambda name: found.mean(name, problems)[-1])
    for index, name in enumerate(order):
        mean = found.mean(name, problems)
        style = ["-", "--", ":", "-."][index // 10 % 4]
        axes.plot(SHARES, mean, style, label=f"{name} ({mean[-1]:.2f})", color=f"C{index % 10}")
    axes.set_xticks(MOST_TICKS, [f"{share:.0%}" for share in MOST_TICKS])
    axes.set_xlabel("budget spent")
    axes.set_ylabel("mean log10 normalised regret")
    axes.set_title(f"{title}: {len(problems)} problems")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False, loc="lower left")
    figure.savefig(path, dpi=110)


def _at_checkpoints(values: np.ndarray) -> str:
    return " / ".join(f"{values[index]:.2f}" for index in CHECKPOINTS)


def table(lines: list[list[str]]) -> str:
    """Set cells as a table of reStructuredText."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = "  ".join("=" * width for width in widths)
    rows = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    ]
    return "\n".join([rule, rows[0].rstrip(), rule, *(row.rstrip() for row in rows[1:]), rule])
