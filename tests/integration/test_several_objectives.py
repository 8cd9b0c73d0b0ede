"""Several objectives from the objective's dict to the Pareto front."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpdist
from hpdist.core.model.errors import ConfigurationError, JournalMismatch
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import FailureKind
from hpdist.core.objective.pareto import hypervolume
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Asha, Hyperband, SingleFidelity, SuccessiveHalving
from hpdist.optimizers import ParEGO

SPACE = {"x": (0.0, 1.0), "y": (0.0, 1.0), "z": (0.0, 1.0)}
NAMES = ["loss", "seconds"]


def zdt1(config: dict[str, float]) -> tuple[float, float]:
    """A convex front, f2 = 1 - sqrt(f1), where y = z = 0 (Zitzler, Deb and Thiele, 2000)."""
    g = 1 + 4.5 * (config["y"] + config["z"])
    return config["x"], g * (1 - math.sqrt(config["x"] / g))


def both(config: dict[str, float], budget: float = 1.0) -> dict[str, float]:
    loss, seconds = zdt1(config)
    return {"loss": loss, "seconds": seconds, "else": 3.0}


def search(tmp_path: Path, objective: Any = both, **more: Any) -> hpdist.Results:
    options = {"objectives": NAMES, "executor": "serial", "progress": "none", "n_trials": 12}
    return hpdist.minimize(objective, SPACE, run=tmp_path / "run", **options | more)


def test_the_front_is_what_nothing_dominates_and_survives_a_resume(tmp_path: Path) -> None:
    half = search(tmp_path, n_trials=14)
    assert len(half.evaluations) == 14
    results = search(tmp_path, n_trials=24)
    assert results.objectives == NAMES
    values = [zdt1(one.config) for one in results.evaluations]
    front = [(one.loss, one.info["seconds"]) for one in results.pareto_front]
    beaten = [any(a <= c and b <= d and (a, b) != (c, d) for a, b in values) for c, d in values]
    assert front == sorted(v for v, is_beaten in zip(values, beaten, strict=True) if not is_beaten)
    assert results.hypervolume([1.1, 10.0]) == pytest.approx(
        hypervolume(np.array(values), [1.1, 10.0])
    )
    assert Study(SPACE, objectives=NAMES).describe("r").optimizer["name"] == "ParEGO"
    modelled = [one.config_info for one in results.evaluations if one.trial_id >= 10]
    weights = [info["weights"] for info in modelled if info["origin"] == "model"]
    assert all(len(pair) == 2 and sum(pair) == pytest.approx(1.0) for pair in weights)
    assert len({tuple(pair) for pair in weights}) == len(weights) >= 10, "one trade-off for each"


def test_tables_show_all_objectives(tmp_path: Path) -> None:
    results = search(tmp_path)
    frame = results.to_frame()
    assert frame["objective.seconds"].tolist() == [zdt1(c.config)[1] for c in results.evaluations]
    assert "objective.else" not in frame


def test_maximizing_turns_all_objectives_round(tmp_path: Path) -> None:
    def gains(config: dict[str, float]) -> dict[str, float]:
        loss, seconds = zdt1(config)
        return {"loss": -loss, "seconds": -seconds}

    options = {"objectives": NAMES, "executor": "serial", "progress": "none", "n_trials": 12}
    most = hpdist.maximize(gains, SPACE, run=tmp_path / "most", **options)
    least = hpdist.minimize(both, SPACE, run=tmp_path / "least", **options)
    assert [one.config for one in most.evaluations] == [one.config for one in least.evaluations]
    assert len(most.pareto_front) == len(least.pareto_front)
    assert most.hypervolume([-1.1, -10.0]) == pytest.approx(least.hypervolume([1.1, 10.0]))


@pytest.mark.parametrize("missing", [{}, {"seconds": math.nan}, {"seconds": "fast"}])
def test_an_objective_that_is_missing_is_an_invalid_result(
    tmp_path: Path, missing: dict[str, Any]
) -> None:
    def partly(config: dict[str, float]) -> dict[str, Any]:
        return {"loss": 1.0, **missing} if config["x"] > 0.5 else both(config)

    results = search(tmp_path, partly)
    for one in results.evaluations:
        if one.config["x"] > 0.5:
            assert one.failure is FailureKind.INVALID
            assert "no number for seconds" in one.message
    assert all(one.config["x"] <= 0.5 for one in results.pareto_front)


def test_other_objectives_are_another_search(tmp_path: Path) -> None:
    search(tmp_path)
    with pytest.raises(JournalMismatch, match="objectives"):
        search(tmp_path, objectives=["loss", "else"])


def test_an_optimizer_that_knows_one_objective_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="tpe supports one objective"):
        Study(SPACE, optimizer="tpe", objectives=NAMES)


def test_ask_and_tell_need_all_objectives() -> None:
    study = Study(SPACE, objectives=NAMES)
    evaluation = study.ask()
    assert evaluation is not None
    with pytest.raises(ConfigurationError, match="no number for seconds"):
        study.tell(evaluation, 0.5)
    study.tell(evaluation, 0.5, info={"seconds": 2.0})


@pytest.mark.parametrize("reference", [[1.0], [1.0, 2.0, 3.0], ["a", 1.0]])
def test_a_reference_of_another_length_is_refused(tmp_path: Path, reference: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match="give one number for each of loss, seconds"):
        search(tmp_path).hypervolume(reference)


def play(study: Study) -> list[tuple[dict[str, float], float, tuple[float, float]]]:
    done = []
    while (evaluation := study.ask()) is not None:
        loss, seconds = zdt1(evaluation.config)
        noise = 1.0 + 1.0 / evaluation.budget
        study.tell(evaluation, loss * noise, info={"seconds": seconds * noise})
        done.append((evaluation.config, evaluation.budget, (loss * noise, seconds * noise)))
    return done


def test_a_rung_promotes_its_first_front() -> None:
    halving = SuccessiveHalving(1, 3, num_configs=12)
    study = Study(SPACE, halving, "random", objectives=NAMES)
    done = play(study)
    lower = [(config, values) for config, budget, values in done if budget == 1.0]
    front = [
        config
        for config, (a, b) in lower
        if not any(c <= a and d <= b and (c, d) != (a, b) for _, (c, d) in lower)
    ]
    promoted = [config for config, budget, _ in done if budget == 3.0]
    assert len(promoted) == 4
    first, second = (front, promoted) if len(front) <= 4 else (promoted, front)
    assert all(config in second for config in first)


@pytest.mark.parametrize("generator", [Hyperband(1, 9), Asha(1, 9)])
def test_generators_of_all_kinds_take_several_objectives(generator: Any) -> None:
    study = Study(SPACE, generator, "random", objectives=NAMES, limits=Limits(n_evaluations=60))
    assert any(budget == 9.0 for _, budget, _ in play(study))


@pytest.mark.slow
def test_parego_covers_more_than_random_search() -> None:
    def covered(optimizer: str, seed: int) -> float:
        forty = SingleFidelity(num_configs=40)
        study = Study(SPACE, forty, optimizer, seed=seed, objectives=NAMES)
        values = np.array([zdt1(config) for config, _, _ in play(study)])
        return hypervolume(values, [1.1, 10.0])

    pairs = [(covered("parego", seed), covered("random", seed)) for seed in range(3)]
    assert all(ours > other for ours, other in pairs), pairs


def test_parego_takes_linear_weights_and_nothing_else() -> None:
    space = hpdist.Space.of(SPACE)
    assert ParEGO(space, scalarization="linear").describe()["scalarization"] == "linear"
    with pytest.raises(ConfigurationError, match="scalarization"):
        ParEGO(space, scalarization="cubic")
