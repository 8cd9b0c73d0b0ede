"""Early stopping from the objective's report to its end, with every kind of worker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from hpdist.cluster.master import Master
from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.worker import Worker
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptStoppedEarly
from hpdist.core.space.space import Space
from hpdist.core.study.early_stopping import MedianRule
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimize import maximize, minimize
from hpdist.optimizers import RandomSearch

CONFIGS = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}, {"x": 0.9}, {"x": 0.15}]
RULE = MedianRule(min_trials=3)


def training(config: dict[str, float], budget: float, ctx: Any) -> dict[str, Any]:
    """Report two steps; a bad configuration then goes on until it is told to stop."""
    x = config["x"]
    for step in (1, 2):
        ctx.report(step, x)
    until = time.monotonic() + 60.0
    while x > 0.5 and not ctx.should_stop() and time.monotonic() < until:
        time.sleep(0.002)  # a step of training
    return {"loss": x, "info": {"told": ctx.report(3, x)}}


def gain(config: dict[str, float], budget: float, ctx: Any) -> dict[str, Any]:
    """The same to be maximized."""
    ctx.report(1, 1 - config["x"])
    until = time.monotonic() + 60.0
    while config["x"] > 0.5 and not ctx.should_stop() and time.monotonic() < until:
        time.sleep(0.002)
    return {"loss": 1 - config["x"]}


def stopped_early(directory: Path) -> list[int]:
    records = read_journal(directory / "journal").records
    return [record.job_id for _, record in records if isinstance(record, AttemptStoppedEarly)]


@pytest.mark.parametrize("executor", ["process", "thread", "loky"])
def test_minimize_ends_what_does_not_promise(tmp_path: Path, executor: str) -> None:
    search = {
        "n_trials": 5,
        "initial_configs": CONFIGS,
        "early_stopping": RULE,
        "executor": executor,
        "workers": 1,
        "run": tmp_path / "run",
        "progress": "none",
    }
    results = minimize(training, {"x": (0.0, 1.0)}, **search)
    assert stopped_early(tmp_path / "run") == [3]
    told = [one.info["told"] for one in results.evaluations]
    assert told == [None, None, None, "stop", None]
    assert [one.loss for one in results.evaluations] == [one["x"] for one in CONFIGS]
    again = minimize(training, {"x": (0.0, 1.0)}, **search | {"n_trials": 6})
    assert len(again.evaluations) == 6, "the run is resumed"


def test_maximize_ends_what_stays_small(tmp_path: Path) -> None:
    maximize(
        gain,
        {"x": (0.0, 1.0)},
        n_trials=5,
        initial_configs=CONFIGS,
        early_stopping=RULE,
        executor="thread",
        workers=1,
        run=tmp_path / "run",
        progress="none",
    )
    assert stopped_early(tmp_path / "run") == [3]


@pytest.mark.slow
def test_a_worker_of_a_cluster_is_told_to_end_early(tmp_path: Path) -> None:
    space = Space.of({"x": (0.0, 1.0)})
    with NameServer("early", tmp_path):
        worker = Worker("early", isolation="none")
        worker.initialize(training)
        worker.load_nameserver_credentials(tmp_path)
        worker.run(background=True)
        master = Master(
            "early",
            RandomSearch(space),
            SingleFidelity(num_configs=5),
            working_directory=tmp_path,
            nameserver=None,
            initial_configs=CONFIGS,
            early_stopping=RULE,
        )
        master.wait_for_workers(1)
        results = master.run(1)
        master.shutdown(shutdown_workers=True)
    assert stopped_early(tmp_path / "early") == [3]
    assert [one.loss for one in results.evaluations] == [one["x"] for one in CONFIGS]


def test_a_serial_executor_cannot_judge_while_it_evaluates(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no effect with executor='serial'"):
        minimize(training, {"x": (0.0, 1.0)}, early_stopping="median", executor="serial")


def test_another_rule_is_another_search(tmp_path: Path) -> None:
    from hpdist.core.model.errors import JournalMismatch

    search = {"executor": "thread", "workers": 1, "run": tmp_path / "run", "progress": "none"}
    minimize(training, {"x": (0.0, 0.4)}, n_trials=1, early_stopping="median", **search)
    with pytest.raises(JournalMismatch, match="early_stopping"):
        minimize(training, {"x": (0.0, 0.4)}, n_trials=2, early_stopping="rungs", **search)
