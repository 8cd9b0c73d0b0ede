"""The same call goes on where the last one ended, however it ended: ``python resume.py``.

Kill it whenever you like and start it again: no finished evaluation is repeated, and the same
configurations come in the same order.
"""

from pathlib import Path

from hpdist import Float, minimize

EVALUATED = Path("evaluated.txt")


def loss(config, budget):
    with EVALUATED.open("a") as file:
        file.write(f"{config['lr']!r} {budget}\n")
    return abs(config["lr"] - 0.01) + 1 / budget


def search(n_iterations):
    # Everything that happens is in the journal of this directory before it has an effect.
    return minimize(
        loss,
        {"lr": Float(1e-4, 1.0, log=True)},
        min_budget=1,
        max_budget=9,
        n_iterations=n_iterations,
        run="resumable-run",
    )


if __name__ == "__main__":
    EVALUATED.unlink(missing_ok=True)
    print("before:", len(search(1).evaluations), "evaluations")
    print("after: ", len(search(3).evaluations), "evaluations")
    print("the objective was called", len(EVALUATED.read_text().splitlines()), "times")
