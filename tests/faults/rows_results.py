"""Objectives return what is no finite number, and info that no message can carry."""

from __future__ import annotations

import json
import random
from functools import partial

from matrix import Figures, Row
from odd_stage import odd_master, odd_worker
from stage import Stage

#: What is a number in the end.
ACCEPTED = (
    *("np.float64", "np.float64 in a dict", "0-d array", "np.int64 as info"),
    *("__class__ as a key", "lone surrogate"),
)

#: What is not, and a word of its message: the key, or the type.
REFUSED = {
    "NaN": "nan",
    "inf": "inf",
    "None": "None",
    "str": "type str",
    "bytes": "type bytes",
    "1-d array": "ndarray",
    "dict without loss": "'accuracy'",
    "NaN as loss": "'loss'",
    "complex": "type complex",
    "10**5000": "type int",
    "10**5000 as info": "info['steps']",
    "10 MiB": "info['log']",
    "depth 1000": "info['tree']",
    "bytes as info": "info['blob']",
    "custom object": "Custom",
    "custom object as info": "info['model']",
}


def bad_results(isolation: str, stage: Stage, rng: random.Random) -> Figures:
    """All of them in one run, in any order, with good ones in between."""
    jobs = len(ACCEPTED) + len(REFUSED) + 4
    trials = rng.sample(range(jobs), len(ACCEPTED) + len(REFUSED))
    names = dict(zip(trials, [*ACCEPTED, *REFUSED], strict=True))
    stage.file("odd.json").write_text(json.dumps(names))
    master = odd_master(stage, jobs=jobs)
    worker = odd_worker(stage, isolation=isolation, objective="odd_objective.py")
    stage.begin(workers=1)
    failures = {trial: "invalid" for trial, name in names.items() if name in REFUSED}
    stage.finish(master, repeats=0, failures=failures)
    joined = [r for r in stage.journal("worker") if r["state"] == "joined"]
    assert len(joined) == 1, f"worker {worker.label} had to come again"
    for record in stage.journal("done"):
        word = REFUSED.get(names.get(record["job_id"], ""), "")
        message = record["outcome"].get("message", "")
        assert word in message, f"{names[record['job_id']]}: {word!r} is not in {message!r}"
    return {"bad results": len(failures)}


ROWS = [
    Row(
        "odd results of all kinds",
        f"M5, evaluated in {where}",
        "numbers accepted, all else failed as invalid with the key named",
        partial(bad_results, isolation),
        long=isolation == "none",
    )
    for isolation, where in (("process", "a child process"), ("none", "the worker itself"))
]
