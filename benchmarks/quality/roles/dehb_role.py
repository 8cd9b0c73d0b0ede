"""DEHB (``pip install dehb``)."""

import tempfile

import ConfigSpace
from dehb import DEHB
from lines import serve


class Searcher:
    def __init__(self, problem):
        self.problem, self.open, self.number = problem, {}, 0
        space = ConfigSpace.ConfigurationSpace(seed=problem["seed"])
        space.add([hyperparameter(one) for one in problem["parameters"]])
        space.add(
            [
                ConfigSpace.InCondition(space[one["child"]], space[one["parent"]], one["values"])
                for one in problem["conditions"]
            ]
        )
        self.optimizer = DEHB(
            f=lambda config, fidelity: None,
            cs=space,
            min_fidelity=problem["lowest"] * 0.9999,
            max_fidelity=problem["highest"],
            eta=3,
            n_workers=1,
            seed=problem["seed"],
            output_path=tempfile.mkdtemp(),
            log_level="ERROR",
        )

    def ask(self):
        job = self.optimizer.ask()
        self.number += 1
        self.open[self.number] = job
        config = {name: plain(value) for name, value in dict(job["config"]).items()}
        return self.number, config, min(float(job["fidelity"]), self.problem["highest"])

    def tell(self, key, config, budget, loss):
        self.optimizer.tell(self.open.pop(key), {"fitness": loss, "cost": budget})


def plain(value):
    return value.item() if hasattr(value, "item") else value


def hyperparameter(one):
    if one["kind"] == "categorical":
        return ConfigSpace.CategoricalHyperparameter(one["name"], one["choices"])
    if one["kind"] == "ordinal":
        return ConfigSpace.OrdinalHyperparameter(one["name"], one["choices"])
    kinds = {
        "float": ConfigSpace.UniformFloatHyperparameter,
        "int": ConfigSpace.UniformIntegerHyperparameter,
    }
    return kinds[one["kind"]](one["name"], one["low"], one["high"], log=one["log"])


if __name__ == "__main__":
    serve(Searcher)
