"""Trainings that do not promise are ended early: ``python early_stopping.py``.

A training reports its loss after each epoch and ends when it is told to. The rule ends one whose
best loss is worse than the median of what the others had after as many epochs.
"""

import math
import time

from hpdist import Float, minimize

EPOCHS = 20


def train(config, budget, ctx):
    for epoch in range(1, EPOCHS + 1):
        time.sleep(0.005)  # an epoch
        floor = abs(math.log10(config["lr"]) + 2)
        loss = floor + math.exp(-epoch / 5)
        if ctx.report(epoch, loss) == "stop":
            break
    return {"loss": loss, "epochs": epoch}


if __name__ == "__main__":
    results = minimize(
        train, {"lr": Float(1e-5, 1.0, log=True)}, n_trials=30, early_stopping="median", workers=2
    )
    ended = [one for one in results.evaluations if one.info["epochs"] < EPOCHS]
    print(results)
    print(f"{len(ended)} of {len(results.evaluations)} trainings were ended early")
