"""A search on this machine, with a child process on each CPU: ``python local.py``."""

from hpdist import minimize


def loss(config):
    return (config["x"] - 1.0) ** 2 + (config["kind"] == "bad")


if __name__ == "__main__":
    print(minimize(loss, {"x": (-5.0, 5.0), "kind": ["good", "bad"]}, n_trials=30))
