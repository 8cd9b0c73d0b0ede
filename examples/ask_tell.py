"""Evaluations in a loop of your own, without workers and files: ``python ask_tell.py``."""

from hpdist import Float, Study
from hpdist.multi_fidelity import SuccessiveHalving

if __name__ == "__main__":
    study = Study({"lr": Float(1e-4, 1.0, log=True)}, SuccessiveHalving(1, 9))
    best = None
    while (evaluation := study.ask()) is not None:
        loss = abs(evaluation.config["lr"] - 0.01) + 1 / evaluation.budget
        study.tell(evaluation, loss)
        best = min(best or (loss, evaluation), (loss, evaluation), key=lambda pair: pair[0])
    print(f"loss {best[0]:.4f} at budget {best[1].budget:g}: {best[1].config}")
