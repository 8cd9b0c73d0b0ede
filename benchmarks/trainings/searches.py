"""The methods: each searches for some seconds and says how its incumbent changed."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.trainings.tasks import Split, Task


@dataclass(frozen=True)
class Change:
    """A new incumbent ``at`` seconds: its budget, validation loss and test loss."""

    at: float
    budget: float
    loss: float
    test: float


def hpdist(task: Task, data: Split, seconds: float, seed: int) -> list[Change]:
    """The default optimizer in Hyperband."""
    low, high = task.budgets
    return _searched(task, data, seconds, seed, min_budget=low, max_budget=high)


def random_search(task: Task, data: Split, seconds: float, seed: int) -> list[Change]:
    """Random configurations at the highest budget."""
    from hpdist.multi_fidelity import SingleFidelity

    once = SingleFidelity(task.budgets[1], num_configs=1_000_000)
    return _searched(task, data, seconds, seed, iter_generator=once, optimizer="random")


def _searched(task: Task, data: Split, seconds: float, seed: int, **how: Any) -> list[Change]:
    from hpdist import minimize

    with tempfile.TemporaryDirectory() as directory:
        results = minimize(
            task.objective(data, seed),
            task.space(),
            time_limit=seconds,
            executor="serial",
            run=Path(directory) / "run",
            progress="none",
            seed=seed,
            **how,
        )
        return [
            Change(one.at, one.budget, one.loss, one.info["test"])
            for one in results.incumbents
            if one.at <= seconds
        ]


def optuna_tpe(task: Task, data: Split, seconds: float, seed: int) -> list[Change]:
    """Optuna's default sampler with its Hyperband pruner, where training continues by steps."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    high = task.budgets[1]
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    rungs = [high / 3**k for k in (3, 2, 1, 0)] if task.continues else [high]
    started, changes = time.monotonic(), list[Change]()

    def evaluate(trial: Any) -> float:
        config, model = _suggested(trial, task), None
        for rung, budget in enumerate(rungs):
            model = task.grow(model, config, budget, data, seed)
            loss = task.loss(model, data.validation)
            best = changes[-1] if changes else None
            if best is None or (-budget, loss) < (-best.budget, best.loss):
                test = task.loss(model, data.test)
                changes.append(Change(time.monotonic() - started, budget, loss, test))
            trial.report(loss, 3**rung)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss

    study.optimize(evaluate, timeout=seconds, catch=(ValueError,))
    return [change for change in changes if change.at <= seconds]


def _suggested(trial: Any, task: Task) -> dict[str, Any]:
    from hpdist.core.space.parameters import Float, Int

    config = {}
    for name, one in task.space().items():
        if isinstance(one, Float):
            config[name] = trial.suggest_float(name, one.low, one.high, log=one.log)
        elif isinstance(one, Int):
            config[name] = trial.suggest_int(name, one.low, one.high, log=one.log)
        else:
            config[name] = trial.suggest_categorical(name, one)
    return config


METHODS = {"hpdist": hpdist, "random": random_search, "optuna": optuna_tpe}
