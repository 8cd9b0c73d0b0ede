"""Compare optimizers on many problems, in simulated time.

    python -m benchmarks quality [--set mf|sf|par|moo] [--optimizers gp,random] [--seeds 10]
        [--peers optuna-mtpe,dehb=ENV/bin/python] [--data DIR] [--workers 8]
        [--durations lognormal] [--scheduler hyperband|asha] [--problems a,b]

mf: one worker, several budgets, as much as 30 evaluations at the highest one. sf: 100 evaluations
at one budget. par: as mf with 8 workers whose evaluations take longer or shorter. moo: 60
evaluations of two objectives, scored by hypervolume. Runs are added to
``benchmarks/results/runs``; those that are there are not repeated. Tables and a plot are made of
all runs asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.quality import results
from benchmarks.quality.ablation import ABLATIONS, Ablated
from benchmarks.quality.own import OwnSearcher
from benchmarks.quality.peers import PeerSearcher, parse_peers
from benchmarks.quality.problem import Problem
from benchmarks.quality.reference import marks
from benchmarks.quality.regret import regrets
from benchmarks.quality.results import SHARES, Row
from benchmarks.quality.sets import PROTOCOLS, Protocol
from benchmarks.quality.simulation import DURATIONS, Searcher, simulate
from benchmarks.quality.tables import by_group, duels, plot, ranking_table

RESULTS = Path(__file__).parents[1] / "results"
Make = Callable[[Problem, int], Searcher]


def main(arguments: list[str]) -> None:
    """Run what is missing, then show everything that was asked for."""
    chosen = _parser().parse_args(arguments)
    protocol = PROTOCOLS[chosen.set]
    problems = protocol.problems(chosen.data)
    if chosen.problems:
        problems = [one for one in problems if one.name in chosen.problems.split(",")]
    name = _set_name(chosen)
    runs = chosen.results / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    makers = _makers(chosen, protocol)
    done = {row.key for row in results.read(runs)}
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        for problem in problems:
            for optimizer, make in makers.items():
                if (optimizer, name, problem.name, seed) not in done:
                    row = _run(make, problem, seed, chosen, protocol, optimizer, name)
                    results.append(runs / f"{optimizer}.csv", row)
    title = chosen.title or name
    _show(runs, list(makers), problems, name, chosen.results / title, chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--set", choices=PROTOCOLS, default="mf")
    parser.add_argument("--optimizers", default="gp,random", help="names of hpdist's optimizers")
    parser.add_argument("--peers", default="", help="peers, each with its Python if it has one")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--problems", default="", help="only these")
    parser.add_argument("--data", type=Path, help="folder of YAHPO surrogates")
    parser.add_argument("--workers", type=int, default=8, help="of the set par")
    parser.add_argument("--durations", choices=DURATIONS, default="lognormal", help="of par")
    parser.add_argument("--scheduler", choices=("hyperband", "asha"), default="hyperband")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--title", help="of the table and the plot; default: the set")
    return parser


def _set_name(chosen: argparse.Namespace) -> str:
    if chosen.set != "par":
        return str(chosen.set)
    return f"par-{chosen.workers}-{chosen.durations}"


def _makers(chosen: argparse.Namespace, protocol: Protocol) -> dict[str, Make]:
    def own(name: str) -> Make:
        kind = Ablated if name in ABLATIONS else OwnSearcher
        return lambda problem, seed: kind(problem, name, seed, chosen.scheduler)

    workers = chosen.workers if chosen.set == "par" else 1
    length = protocol.length * workers

    def peer(name: str, python: str) -> Make:
        return lambda problem, seed: PeerSearcher(problem, name, python, seed, workers, length)

    suffix = "" if chosen.scheduler == "hyperband" else f"+{chosen.scheduler}"
    makers = {f"{name}{suffix}": own(name) for name in chosen.optimizers.split(",") if name}
    peers = parse_peers(chosen.peers).items()
    return makers | {name: peer(name, python) for name, python in peers}


def _run(
    make: Make,
    problem: Problem,
    seed: int,
    chosen: argparse.Namespace,
    protocol: Protocol,
    optimizer: str,
    name: str,
) -> Row:
    searcher = make(problem, seed)
    try:
        trace = simulate(
            searcher,
            problem,
            tuple(share * protocol.length for share in SHARES),
            workers=chosen.workers if chosen.set == "par" else 1,
            durations=chosen.durations if chosen.set == "par" else "fixed",
            seed=seed,
        )
    finally:
        searcher.close()
    seconds = getattr(searcher, "seconds", trace.seconds)
    print(f"{optimizer} {name} {problem.name} {seed}: {trace.scores[-1]:.6g}", file=sys.stderr)
    return Row(
        *(optimizer, name, problem.name, seed),
        trace.scores,
        trace.num_evaluations,
        seconds,
        trace.idle,
    )


def _show(
    runs: Path,
    optimizers: list[str],
    problems: list[Problem],
    name: str,
    into: Path,
    chosen: argparse.Namespace,
) -> None:
    end = chosen.seeds + chosen.first_seed
    names = {one.name for one in problems}
    rows = [
        row
        for row in results.read(runs)
        if row.set == name and row.optimizer in optimizers and row.problem in names
        if row.seed < end
    ]
    found = regrets(rows, {one.name: marks(one) for one in problems})
    text = "\n\n".join(
        [
            f"Set {name}: {len(found.problems())} problems, seeds below {end}",
            ranking_table(found, rows),
            f"{optimizers[0]} paired with the others (at 25 / 50 / 100 %):",
            duels(found, optimizers[0]),
            "log10 regret at the end:",
            by_group(found, problems),
        ]
    )
    print(text)
    into.with_suffix(".txt").write_text(text + "\n")
    plot(found, into.name, into.with_suffix(".png"))
