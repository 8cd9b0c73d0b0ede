"""Optuna (``pip install optuna``; torch too for its Gaussian process), at the highest budget."""

import sys

import optuna
from lines import is_active, serve

SAMPLERS = {
    "optuna-tpe": lambda seed, liar: optuna.samplers.TPESampler(seed=seed, constant_liar=liar),
    "optuna-mtpe": lambda seed, liar: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=liar
    ),
    "optuna-gp": lambda seed, liar: optuna.samplers.GPSampler(
        seed=seed, deterministic_objective=False
    ),
}


class Searcher:
    def __init__(self, problem):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.problem = problem
        sampler = SAMPLERS[sys.argv[1]](problem["seed"], problem["workers"] > 1)
        self.study = optuna.create_study(sampler=sampler)
        self.open = {}

    def ask(self):
        trial = self.study.ask()
        self.open[trial.number] = trial
        config = {}
        for parameter in self.problem["parameters"]:  # parents come first
            if is_active(parameter["name"], config, self.problem["conditions"]):
                config[parameter["name"]] = suggest(trial, parameter)
        return trial.number, config, self.problem["highest"]

    def tell(self, key, config, budget, loss):
        self.study.tell(self.open.pop(key), loss)


def suggest(trial, parameter):
    name = parameter["name"]
    if parameter["kind"] == "ordinal":
        return parameter["choices"][trial.suggest_int(name, 0, len(parameter["choices"]) - 1)]
    if parameter["choices"]:
        return trial.suggest_categorical(name, parameter["choices"])
    kinds = {"int": trial.suggest_int, "float": trial.suggest_float}
    low, high = parameter["low"], parameter["high"]
    return kinds[parameter["kind"]](name, low, high, log=parameter["log"])


if __name__ == "__main__":
    serve(Searcher)
