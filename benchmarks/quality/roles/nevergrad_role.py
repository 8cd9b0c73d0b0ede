"""Nevergrad's NGOpt (``pip install nevergrad``), at the highest budget."""

import nevergrad
from lines import at, is_active, serve


class Searcher:
    def __init__(self, problem):
        self.problem, self.open = problem, {}
        axes = {one["name"]: axis(one) for one in problem["parameters"]}
        space = nevergrad.p.Dict(**axes)
        space.random_state.seed(problem["seed"])
        self.optimizer = nevergrad.optimizers.NGOpt(
            space, budget=int(problem["length"]), num_workers=problem["workers"]
        )

    def ask(self):
        asked = self.optimizer.ask()
        self.open[asked.uid] = asked
        config = {}
        for one in self.problem["parameters"]:
            if is_active(one["name"], config, self.problem["conditions"]):
                value = asked.value[one["name"]]
                config[one["name"]] = value if one["kind"] == "categorical" else at(one, value)
        return asked.uid, config, self.problem["highest"]

    def tell(self, key, config, budget, loss):
        self.optimizer.tell(self.open.pop(key), loss)


def axis(parameter):
    if parameter["kind"] == "categorical":
        return nevergrad.p.Choice(parameter["choices"])
    return nevergrad.p.Scalar(init=0.5, lower=0.0, upper=1.0)


if __name__ == "__main__":
    serve(Searcher)
