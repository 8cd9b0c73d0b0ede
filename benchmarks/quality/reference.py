"""The marks of a problem: 0 is the best value known, 1 what a random configuration gives.

They are found once, by a long search on the noise-free losses, and kept in ``data``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.quality.problem import Configuration, Parameter, Problem
from hpdist.core.objective.pareto import hypervolume

FILE = Path(__file__).parents[1] / "data" / "references.json"
NUM_RANDOM, NUM_START, NUM_NEAR = 5000, 8, 25
STEPS = (0.2, 0.1, 0.1, 0.05, 0.05, 0.03, 0.02, 0.02, 0.01, 0.01, 0.005, 0.005)


def marks(problem: Problem) -> tuple[float, float]:
    """Return the best value known, and the median of random configurations."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    name = problem.name.removesuffix(".full")
    if name not in known:
        known[name] = _search(problem)
        FILE.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    return known[name]["best"], known[name]["median"]


def _search(problem: Problem) -> dict[str, float]:
    rng = np.random.default_rng(5)
    drawn = [problem.sample(rng) for _ in range(NUM_RANDOM)]
    if problem.reference:
        one_by_one = [hypervolume(np.array([problem.truth(c)]), problem.reference) for c in drawn]
        assert problem.optimum is not None
        return {"best": problem.optimum, "median": -float(np.median(one_by_one))}
    losses = np.array([problem.truth(config) for config in drawn])
    median = float(np.median(losses))
    if problem.optimum is not None:
        return {"best": problem.optimum, "median": median}
    first = np.argsort(losses)[:NUM_START]
    ends = [_climb(problem, drawn[index], float(losses[index]), rng) for index in first]
    return {"best": min(ends), "median": median}


def _climb(problem: Problem, config: Configuration, loss: float, rng: np.random.Generator) -> float:
    for step in STEPS:
        for _ in range(NUM_NEAR):
            tried = _neighbour(problem, config, step, rng)
            if (value := problem.truth(tried)) < loss:
                config, loss = tried, value
    return loss


def _neighbour(
    problem: Problem, config: Configuration, step: float, rng: np.random.Generator
) -> Configuration:
    share = max(0.3, 2 / len(problem.parameters))
    tried = {}
    for one in problem.parameters:
        if one.name not in config or rng.random() < share:
            tried[one.name] = _moved(one, config.get(one.name), step, rng)
        else:
            tried[one.name] = config[one.name]
    return problem.active(tried)


def _moved(
    one: Parameter, value: float | str | None, step: float, rng: np.random.Generator
) -> float | str:
    if value is None or one.choices:
        return one.at(float(rng.random()))
    low, high = (np.log(one.low), np.log(one.high)) if one.log else (one.low, one.high)
    position = ((np.log(value) if one.log else value) - low) / (high - low)
    return one.at(float(np.clip(position + step * rng.standard_normal(), 0.0, 1.0 - 1e-12)))
