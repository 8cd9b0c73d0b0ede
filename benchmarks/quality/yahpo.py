"""YAHPO surrogates (Pfisterer et al., "YAHPO Gym", AutoML 2022) from a folder the user names.

The folder has one directory a scenario with ``config_space.json``, ``encoding.json`` and
``model.onnx``, as yahpo_data lays them out. Needs the ``onnxruntime`` package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.problem import Condition, Configuration, Parameter, Problem


@dataclass(frozen=True)
class Scenario:
    """What the surrogate takes and gives, in its own order of columns."""

    name: str
    instance: str
    fidelity: str
    highest: float
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    column: int  #: of the accuracy in the output
    scale: float  #: by which accuracy becomes a share


RBV2 = "trainsize", 1.0
SCENARIOS = {
    "lcbench": Scenario(
        "lcbench",
        "OpenML_task_id",
        "epoch",
        52.0,
        (
            "epoch",
            "batch_size",
            "learning_rate",
            "momentum",
            "weight_decay",
            "num_layers",
            "max_units",
            "max_dropout",
        ),
        ("OpenML_task_id",),
        1,
        0.01,
    ),
    "rbv2_xgboost": Scenario(
        "rbv2_xgboost",
        "task_id",
        *RBV2,
        (
            "nrounds",
            "eta",
            "gamma",
            "lambda",
            "alpha",
            "subsample",
            "max_depth",
            "min_child_weight",
            "colsample_bytree",
            "colsample_bylevel",
            "rate_drop",
            "skip_drop",
            "trainsize",
            "repl",
        ),
        ("task_id", "booster", "num.impute.selected.cpo"),
        0,
        1.0,
    ),
    "rbv2_rpart": Scenario(
        "rbv2_rpart",
        "task_id",
        *RBV2,
        ("cp", "maxdepth", "minbucket", "minsplit", "trainsize", "repl"),
        ("task_id", "num.impute.selected.cpo"),
        0,
        1.0,
    ),
}


class Surrogate:
    """A network that predicts the error rate of a configuration on an instance."""

    def __init__(self, data: Path, scenario: Scenario, instance: str) -> None:
        self.scenario, self.instance = scenario, instance
        self._directory = data / scenario.name
        self._codes = json.loads((self._directory / "encoding.json").read_text())
        self._space = json.loads((self._directory / "config_space.json").read_text())

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(self._directory / "model.onnx")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def error(self, config: Configuration, budget: float) -> float:
        """Return 1 - accuracy at ``budget``, in units of the scenario's fidelity."""
        scenario = self.scenario
        if scenario.name == "lcbench":
            budget = max(1, round(budget))
        known = {scenario.fidelity: budget, "repl": 10, **config}
        numbers = [[known.get(name, 0.0) for name in scenario.numbers]]
        known[scenario.instance] = self.instance
        codes = [[self._codes[name][known.get(name, "#na#")] for name in scenario.categories]]
        names = [entry.name for entry in self._session.get_inputs()]
        given = {names[0]: np.array(codes, np.int32), names[1]: np.array(numbers, np.float32)}
        (output,) = self._session.run(None, given)
        return 1.0 - float(output[0, scenario.column]) * scenario.scale

    def parameters(self) -> tuple[Parameter, ...]:
        left_out = (self.scenario.instance, self.scenario.fidelity, "repl")
        entries = self._space["hyperparameters"]
        return tuple(_parameter(entry) for entry in entries if entry["name"] not in left_out)

    def conditions(self) -> tuple[Condition, ...]:
        return tuple(
            Condition(
                entry["child"],
                entry["parent"],
                tuple(entry["values"] if entry["type"] == "IN" else [entry["value"]]),
            )
            for entry in self._space["conditions"]
        )


def _parameter(entry: dict[str, Any]) -> Parameter:
    if entry["type"] == "categorical":
        return Parameter(entry["name"], "categorical", choices=tuple(entry["choices"]))
    kind = {"uniform_int": "int", "uniform_float": "float"}[entry["type"]]
    return Parameter(entry["name"], kind, entry["lower"], entry["upper"], entry["log"])


def surrogate(data: Path, scenario: str, instance: str, noise: float = 0.0) -> Problem:
    """Return the problem of an instance; ``noise`` is the deviation of an observation."""
    model = Surrogate(data, SCENARIOS[scenario], instance)

    def loss(config: Configuration, budget: float, rng: np.random.Generator) -> float:
        return model.error(config, budget) + noise * rng.standard_normal()

    highest = model.scenario.highest
    return Problem(
        f"{scenario}_{instance}{'_noisy' if noise else ''}",
        scenario,
        model.parameters(),
        loss,
        lambda config: model.error(config, highest),
        highest=highest,
        num_rungs=4,
        conditions=model.conditions(),
    )
