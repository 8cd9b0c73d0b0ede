"""How long does a suggestion take, with 100, 1,000 and 10,000 results?

    python -m benchmarks suggestion [--optimizers gp,tpe] [--asks 20]

Milliseconds of processor time: the mean of suggestions between which one result comes in each, so
that fits are in it as often as in a search. Thirteen parameters, twelve of them conditional, and
four budgets.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.quality.own import space_of
from benchmarks.quality.synthetic import nested
from benchmarks.quality.tables import table
from hpdist.core.space.space import Space
from hpdist.optimizers import NAMES, Observation, Optimizer, make_optimizer

SIZES = (100, 1_000, 10_000)
BUDGETS = (1.0, 3.0, 9.0, 27.0)


def measure(name: str, size: int, asks: int) -> float:
    """Return milliseconds a suggestion."""
    problem = nested(1)
    space, rng = space_of(problem), np.random.default_rng(0)
    optimizer = make_optimizer(name, space)
    for trial in range(size):
        optimizer.tell(_observation(space, problem.truth, trial, rng))
    optimizer.ask(27.0, [], np.random.default_rng(0))  # imports, and the first fit
    seconds = 0.0
    for trial in range(size, size + asks):
        started = time.process_time()
        _ask(optimizer, trial)
        seconds += time.process_time() - started
        optimizer.tell(_observation(space, problem.truth, trial, rng))
    return 1e3 * seconds / asks


def _ask(optimizer: Optimizer, trial: int) -> None:
    optimizer.ask(BUDGETS[trial % 4], [], np.random.default_rng(trial))


def _observation(space: Space, truth: object, trial: int, rng: np.random.Generator) -> Observation:
    config = space.sample(rng)
    budget = BUDGETS[int(rng.choice(4, p=[0.6, 0.25, 0.1, 0.05]))]
    loss = float(truth(config)) + 1.0 / budget  # type: ignore[operator]
    return Observation(trial, config, budget, loss, (loss, float(rng.random())))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks suggestion", description=__doc__)
    suited = [name for name in NAMES if name != "cmaes"]  # conditions are not for it
    parser.add_argument("--optimizers", default=",".join(suited))
    parser.add_argument("--asks", type=int, default=20)
    chosen = parser.parse_args(arguments)
    lines = [["optimizer", *(f"{size:,}" for size in SIZES)]]
    for name in chosen.optimizers.split(","):
        lines.append([name, *(f"{measure(name, size, chosen.asks):.1f}" for size in SIZES)])
    print(table(lines))
