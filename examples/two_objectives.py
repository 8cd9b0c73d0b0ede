"""A search for good trade-offs between two objectives: ``python two_objectives.py``."""

from hpdist import Float, Int, minimize


def evaluate(config):
    error = 0.02 + 0.3 / config["units"] ** 0.5 + (config["dropout"] - 0.3) ** 2
    return {"loss": error, "megabytes": config["units"] ** 2 / 1e4}


if __name__ == "__main__":
    results = minimize(
        evaluate,
        {"units": Int(8, 512, log=True), "dropout": Float(0.0, 0.9)},
        objectives=["loss", "megabytes"],
        n_trials=30,
        workers=2,
    )
    for one in results.pareto_front:
        print(f"loss {one.loss:.3f}, {one.info['megabytes']:6.2f} MB: {one.config}")
    print(f"hypervolume up to (0.5, 25): {results.hypervolume([0.5, 25.0]):.2f}")
