"""The benchmark of quality: its problems, its figures and its command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HARTMANN = 0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573


@pytest.fixture(scope="module")
def problems() -> list[Any]:
    from benchmarks.quality.sets import PROTOCOLS

    return [problem for name in ("mf", "sf", "moo") for problem in PROTOCOLS[name].problems(None)]


@pytest.mark.slow
def test_samples_are_of_the_space_and_no_better_than_the_optimum(problems: list[Any]) -> None:
    assert len(problems) > 20
    for problem in problems:
        check_samples(problem)


def check_samples(problem: Any) -> None:
    from benchmarks.quality.own import space_of
    from benchmarks.quality.reference import marks

    space, rng = space_of(problem), np.random.default_rng(0)
    best, median = marks(problem)
    losses = []
    for _ in range(30):
        config = problem.sample(rng)
        assert space.check(config) == config, problem.name
        losses.append(problem.truth(config))
        assert np.isfinite(problem.loss(config, problem.lowest, rng)).all(), problem.name
    if not problem.reference:
        assert best - 1e-9 <= min(losses), problem.name
        assert best < median, problem.name


def test_optima_are_where_they_are_said_to_be() -> None:
    from benchmarks.quality.synthetic import FUNCTIONS, branin, classic, counting_ones, hartmann

    optima = [
        (branin(), {"x0": np.pi, "x1": 2.275}),
        (hartmann(6, 2.5, 2.0), {f"x{k}": value for k, value in enumerate(HARTMANN)}),
        (counting_ones(2, 2), {"c0": "1", "c1": "1", "x0": 1.0, "x1": 1.0}),
        *((classic(name, 3), {"x0": 0.0, "x1": 0.0, "x2": 0.0}) for name in FUNCTIONS),
    ]
    for problem, config in optima:
        assert problem.truth(config) == pytest.approx(problem.optimum, abs=1e-4), problem.name


@pytest.mark.slow
def test_the_cash_table_has_every_configuration(problems: list[Any]) -> None:
    from benchmarks.quality import cash_space

    (digits,) = [one for one in problems if one.name == "cash_digits"]
    configs = list(cash_space.configurations())
    assert len(configs) == 919
    losses = [digits.truth(config) for config in configs]
    assert min(losses) == digits.optimum
    assert 0.0 < min(losses) < 0.05


@pytest.mark.parametrize("scheduler", ["hyperband", "asha"])
@pytest.mark.slow
def test_eight_workers_are_simulated_in_no_time(scheduler: str) -> None:
    from benchmarks.quality.simulation import DURATIONS

    for durations in DURATIONS:
        check_simulation(durations, scheduler)


def check_simulation(durations: str, scheduler: str) -> None:
    from benchmarks.quality.own import OwnSearcher
    from benchmarks.quality.simulation import Trace, simulate
    from benchmarks.quality.synthetic import nested

    problem = nested(1)

    def run() -> Trace:
        searcher = OwnSearcher(problem, "random", 0, scheduler)
        return simulate(searcher, problem, (2.0, 4.0), workers=8, durations=durations)

    trace = run()
    assert trace.scores == run().scores, durations
    assert trace.scores[1] <= trace.scores[0], durations
    assert 0.0 <= trace.idle < 0.5, durations


def row(optimizer: str, problem: str, seed: int, end: float) -> Any:
    from benchmarks.quality.results import SHARES, Row

    scores = tuple(1.0 + (end - 1.0) * share for share in SHARES)
    return Row(optimizer, "mf", problem, seed, scores, 10, 0.5, 0.0)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    from benchmarks.quality.results import append, read

    written = [row("gp", "branin", 0, 0.5), row("gp", "branin", 1, 0.25)]
    for each in written:
        append(tmp_path / "gp.csv", each)
    back = list(read(tmp_path))
    assert [one.key for one in back] == [one.key for one in written]
    assert back[1].scores == pytest.approx(written[1].scores, rel=1e-5)


def test_regrets_are_shares_of_the_way_from_random_to_the_best() -> None:
    from benchmarks.quality.regret import FLOOR, regrets, signed_rank
    from benchmarks.quality.tables import by_group, duels, ranking_table

    rows = [row("gp", "a", seed, 0.1) for seed in range(4)]
    rows += [row("random", "a", seed, 0.5) for seed in range(4)]
    found = regrets(rows, {"a": (0.0, 1.0)})
    assert found.mean("gp", ["a"])[-1] == pytest.approx(-1.0)
    assert found.mean("random", ["a"])[-1] == pytest.approx(np.log10(0.5))
    assert found.ranks(["a"])["gp"].tolist() == [1.0, 1.0, 1.0]
    low, high = found.interval("gp", ["a"])
    assert low == pytest.approx(high) == pytest.approx(-1.0)
    assert (found.differences("gp", "random")[:, -1] < 0).all()
    perfect = regrets([row("gp", "a", 0, 0.0)], {"a": (0.0, 1.0)})
    assert perfect.mean("gp", ["a"])[-1] == np.log10(FLOOR)
    assert "gp" in ranking_table(found, rows)
    assert duels(found, "gp").splitlines()[3].split()[:5] == ["random", "4", "4", "/", "0"]
    assert signed_rank(np.zeros(5)) == 1.0
    assert by_group(found, []).startswith("=")


class Echo:
    def __init__(self, problem: dict[str, object]) -> None:
        self.told: list[float] = []

    def ask(self) -> tuple[int, dict[str, float], float]:
        from benchmarks.quality.roles import lines

        axis = {"choices": [], "kind": "float", "low": 1.0, "high": 3.0, "log": False}
        return len(self.told), {"x": lines.at(axis, 0.5)}, 1.0

    def tell(self, key: int, config: dict[str, float], budget: float, loss: float) -> None:
        self.told.append(loss)


def test_a_role_answers_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.quality.roles import lines

    said = [{}, {"ask": True}, {"tell": 0, "config": {}, "budget": 1.0, "loss": 0.5}, {"ask": True}]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(json.dumps(one) + "\n" for one in said)))
    printed = io.StringIO()
    lines.serve(Echo, printed)
    replies = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert [reply.get("job") for reply in replies] == [
        None,
        [0, {"x": 2.0}, 1.0],
        None,
        [1, {"x": 2.0}, 1.0],
    ]


def test_peers_are_named_with_their_python() -> None:
    from benchmarks.quality.peers import parse_peers

    assert parse_peers("dehb=/envs/dehb/bin/python")["dehb"] == "/envs/dehb/bin/python"
    with pytest.raises(SystemExit, match="no peer magic"):
        parse_peers("magic")
